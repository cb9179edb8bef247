//! Hostile answers: what a function that was taken over, or that is broken, can do to its own callers and to those of others. On every
//! way to it: nobody takes a cut body for a whole one, bytes behind the end reach nobody, nothing of it is kept.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::caller::{Caller, Delivery, Heard, is_last};
use super::grammar::Message;
use super::origin::echo;
use super::replies::{self, Hostile, May};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::routes::{RULES, message};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::until;
use crate::support::wire::Buffer;

/// Method and function of each way.
const WAYS: [(&str, &str); 4] = [("GET", "/plain"), ("POST", "/plain"), ("GET", "/profile"), ("POST", "/wa-webhook-core")];

/// A sidecar in front of a function that is hostile to requests for `…/hostile…` until it is cured, and good to all others.
pub struct Ward {
    sidecar: Sidecar,
    illness: Arc<Mutex<Option<Reply>>>,
    runs: AtomicUsize,
    _origin: Origin,
}

/// What a caller saw.
#[derive(Debug, PartialEq)]
enum Seen {
    Gateway,
    Cut,
    Whole(u16, String),
}

impl Ward {
    /// Starts both.
    pub async fn start(change: impl FnOnce(&mut edge_sidecar::config::Sidecar)) -> Self {
        let illness = Arc::<Mutex<Option<Reply>>>::default();
        let now = Arc::clone(&illness);
        let origin = Origin::start(move |seen| {
            let ill = now.lock().expect("no panic while held").clone().filter(|_| seen.target().contains("/hostile"));
            ill.unwrap_or_else(|| Reply::ok(echo(seen.method(), seen.target(), b"")))
        })
        .await;
        let sidecar = in_front_of(&origin.url()).rules(RULES).with(change).start().await;
        Self { sidecar, illness, runs: AtomicUsize::new(0), _origin: origin }
    }

    /// Runs one hostile answer on every way; the list of what is wrong.
    pub async fn run(&self, hostile: &Hostile) -> Vec<String> {
        let mut wrongs = Vec::new();
        for (method, function) in WAYS {
            let target = format!("{function}/hostile{}", self.runs.fetch_add(1, Relaxed));
            *self.illness.lock().expect("no panic while held") = Some(hostile.reply.clone());
            if let Err(why) = self.way(hostile, method, &target).await {
                wrongs.push(format!("{} ({method} {function}): {why}", hostile.name));
            }
        }
        wrongs
    }

    async fn way(&self, hostile: &Hostile, method: &str, target: &str) -> Result<(), String> {
        hostile.behind.iter().for_each(Gate::shut);
        let mut caller = Caller::open(self.sidecar.address).await;
        caller.send(&request(method, target), Delivery::Whole).await;
        let heard = caller.hear(method).await;
        let first = seen(&heard)?;
        let allowed = hostile.may.iter().any(|may| match (may, &first) {
            (May::Gateway, Seen::Gateway) | (May::Cut, Seen::Cut) => true,
            (May::Whole(status, body), Seen::Whole(s, b)) => (status, *body) == (s, b),
            _ => false,
        });
        if !allowed {
            return Err(format!("the caller saw {heard:?}"));
        }
        if let Some(gate) = &hostile.behind {
            let before = self.connections().await;
            gate.open();
            // what came before this would be the function's answer to the next request
            until("the connection is given up", async || (self.connections().await < before).then_some(())).await;
        }
        if matches!(&heard, Heard::Answer(answer) if answer.whole && !is_last(answer)) {
            same_connection(&mut caller).await?;
        }
        for (n, (method, function)) in WAYS.into_iter().enumerate() {
            let victim = format!("{function}/{n}{}", target.replace("hostile", "victim"));
            let heard = ask(self.sidecar.address, method, &victim).await;
            if !is_own(&heard, method, &victim) {
                return Err(format!("a victim ({victim}) saw {heard:?}"));
            }
        }
        self.again(method, target, &first).await
    }

    /// How many connections to the function are open.
    async fn connections(&self) -> u64 {
        self.sidecar.metrics().await["clientPool"]["functions"]["size"].as_u64().expect("a number")
    }

    /// The same request, once the function is good again: only what came whole may have been kept.
    async fn again(&self, method: &str, target: &str, first: &Seen) -> Result<(), String> {
        *self.illness.lock().expect("no panic while held") = None;
        let heard = ask(self.sidecar.address, method, target).await;
        let Heard::Answer(answer) = &heard else { return Err(format!("once it is good: {heard:?}")) };
        let kept = matches!(first, Seen::Whole(..)) && answer.lists("x-cache", "HIT");
        // accepted at the head of a 2xx, whatever became of its body
        let accepted = *first != Seen::Gateway && is_duplicate(answer);
        if kept || accepted || (is_own(&heard, method, target) && !answer.lists("x-cache", "HIT")) {
            return Ok(());
        }
        Err(format!("once it is good: {heard:?}"))
    }
}

fn seen(heard: &Heard) -> Result<Seen, String> {
    match heard {
        Heard::Answer(answer) if matches!(answer.status(), 502 | 504) && answer.body.starts_with(b"{\"error\":") => Ok(Seen::Gateway),
        Heard::Answer(answer) if !answer.whole => Ok(Seen::Cut),
        Heard::Answer(answer) => Ok(Seen::Whole(answer.status(), String::from_utf8_lossy(&answer.body).into_owned())),
        Heard::Closed => Ok(Seen::Cut),
        other => Err(format!("the caller saw {other:?}")),
    }
}

/// The connection of the caller who got the hostile answer is in step, or closed.
async fn same_connection(caller: &mut Caller) -> Result<(), String> {
    let target = "/plain/next";
    caller.send(&request("GET", target), Delivery::Whole).await;
    match caller.hear("GET").await {
        Heard::Closed => Ok(()),
        heard if is_own(&heard, "GET", target) => Ok(()),
        heard => Err(format!("the next request on its connection saw {heard:?}")),
    }
}

/// One request on a connection of its own.
async fn ask(address: SocketAddr, method: &str, target: &str) -> Heard {
    let mut caller = Caller::open(address).await;
    caller.send(&request(method, target), Delivery::Whole).await;
    caller.hear(method).await
}

fn request(method: &str, target: &str) -> Vec<u8> {
    let body = match method {
        "POST" => message(target),
        _ => String::new(),
    };
    let length = if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    format!("{method} {target} HTTP/1.1\r\nHost: a.test\r\n{length}\r\n{body}").into_bytes()
}

fn is_own(heard: &Heard, method: &str, target: &str) -> bool {
    matches!(heard, Heard::Answer(a) if a.status() == 200 && a.whole && a.body == echo(method, target, b"").as_bytes())
}

fn is_duplicate(answer: &Message) -> bool {
    answer.lists("x-duplicate", "true")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_of_a_function_reaches_another_caller_or_looks_whole_when_it_is_not() {
    let ward = Ward::start(|_| ()).await;
    let (hostile, mut wrongs) = (replies::all(), Vec::new());
    for one in &hostile {
        wrongs.extend(ward.run(one).await);
    }
    let line = format!("{} hostile answers on {} ways: wrong {}", hostile.len(), WAYS.len(), wrongs.len());
    let _ = writeln!(std::io::stderr(), "boundary, answers: {line}");
    assert!(hostile.len() >= 20, "{} are too few", hostile.len());
    assert!(wrongs.is_empty(), "{}\n{line}", wrongs.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stops_is_ended_by_the_limits_on_time() {
    const SHORT: Duration = Duration::from_millis(300);
    let run = |hostile: Hostile| async move {
        Ward::start(|s| (s.upstreams[0].first_byte, s.upstreams[0].between_bytes) = (SHORT, SHORT)).await.run(&hostile).await
    };
    let wrongs = replies::stalls().into_iter().map(run).collect::<JoinSet<_>>().join_all().await.concat();
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_head_is_nobodys_answer() {
    let body = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let origin = Origin::start(move |seen| match seen.method() {
        "HEAD" => Reply::raw(body),
        method => Reply::ok(echo(method, seen.target(), b"")),
    })
    .await;
    let sidecar = in_front_of(&origin.url()).rules(RULES).start().await;
    for function in ["/plain", "/profile"] {
        let asked = format!("{function}/head");
        let mut caller = Caller::open(sidecar.address).await;
        caller.send(&request("HEAD", &asked), Delivery::Whole).await;
        let heard = caller.hear("HEAD").await;
        assert!(matches!(&heard, Heard::Answer(a) if a.status() == 200 && a.all("content-length") == ["6"]), "{heard:?}");
        same_connection(&mut caller).await.expect("in step");
        for (method, function) in WAYS {
            let target = format!("{function}/after{asked}");
            let heard = ask(sidecar.address, method, &target).await;
            assert!(is_own(&heard, method, &target), "{target}: {heard:?}");
        }
        let heard = ask(sidecar.address, "GET", &asked).await;
        assert!(is_own(&heard, "GET", &asked), "nothing of it is kept: {heard:?}");
    }
}

/// A function that answers as soon as it has a head, whatever the body; it reads no further where `early` is in the target.
async fn hasty(closes: bool) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = Buffer::default();
                while let Ok(Some(mut head)) = buffer.head(&mut stream).await {
                    let early = head.start.1.contains("early");
                    if !early && buffer.body(&mut stream, &mut head, false).await.is_err() {
                        return;
                    }
                    let text = if early { "large".to_owned() } else { echo(&head.start.0, &head.start.1, b"") };
                    let (status, close) = if early { (413, "Connection: close\r\n") } else { (200, "") };
                    let answer = format!("HTTP/1.1 {status} Reason\r\n{close}Content-Length: {}\r\n\r\n{text}", text.len());
                    if stream.write_all(answer.as_bytes()).await.is_err() || (early && closes) {
                        return;
                    }
                    if early {
                        std::future::pending::<()>().await;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_request_is_read_is_the_callers_and_ends_that_connection() {
    for closes in [true, false] {
        let sidecar = in_front_of(&hasty(closes).await).rules(RULES).start().await;
        for function in ["/plain", "/wa-webhook-core", "/profile"] {
            let mut caller = Caller::open(sidecar.address).await;
            let body = "x".repeat(1_000_000);
            let start = format!("POST {function}/early HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", body.len());
            caller.send([start, body].concat().as_bytes(), Delivery::Whole).await;
            let heard = caller.hear("POST").await;
            let seen = seen(&heard).expect("an answer, or its end");
            assert!(matches!(&seen, Seen::Gateway | Seen::Cut) || seen == Seen::Whole(413, "large".into()), "{function}: {heard:?}");
            for (method, victim) in WAYS {
                let target = format!("{victim}{function}/{closes}");
                let heard = ask(sidecar.address, method, &target).await;
                assert!(is_own(&heard, method, &target), "{target}: {heard:?}");
            }
        }
    }
}
