//! The admin doors against those who may not pass: pages under names of their own, callers without socket or token. And the commands that
//! go through them.

use std::process::Output;

use edge_sidecar::admin::serve::CONNECTIONS;

use crate::support::client::{Connection, get, post, request, send, through_socket};
use crate::support::command::{Process, command};
use crate::support::origin::{Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};

/// Names under which a web page can reach the address, or that are none at all.
const FOREIGN: [&str; 9] = [
    "rebind.example.com",
    "rebind.example.com:9901",
    "127.0.0.1.nip.io",
    "localhost.example.com",
    "example.com@localhost",
    "localhost,example.com",
    "[::1].example.com",
    "localhost:nine",
    "",
];
const OURS: [&str; 8] = [
    "127.0.0.1",
    "localhost:9901",
    "[::1]:9901",
    "sidecar",
    "a.localhost",
    "node.local",
    "edge.prod.svc.cluster.local:9901",
    "vm.internal",
];

async fn origin() -> Origin {
    Origin::start(|_| Reply::ok("{}")).await
}

async fn refusals(sidecar: &Sidecar, reason: &str) -> f64 {
    sidecar.series(&format!("edge_sidecar_admin_refused_total{{reason=\"{reason}\"}}")).await
}

/// A sidecar whose address the token `t0ken` opens.
async fn with_token(origin: &Origin, folder: &tempfile::TempDir) -> Sidecar {
    let file = folder.path().join("token");
    std::fs::write(&file, "t0ken\n").expect("writable");
    in_front_of(&origin.url()).with(|s| s.admin.token_file = Some(file)).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_answers_under_no_name_that_a_page_could_have() {
    let (origin, folder) = (origin().await, tempfile::tempdir().expect("a folder"));
    let sidecar = with_token(&origin, &folder).await;
    for host in FOREIGN {
        for (method, target) in
            [("GET", "/metrics"), ("GET", "/health"), ("HEAD", "/livez"), ("GET", "/config"), ("POST", "/drain"), ("GET", "/x")]
        {
            let asked = request(method, target).header("host", host).header("authorization", "Bearer t0ken").header("connection", "close");
            let answer = send(sidecar.admin, &asked).await;
            assert_eq!((answer.status, answer.header("cache-control")), (400, "no-store"), "{method} {target} as {host:?}");
            if method != "HEAD" {
                let body = answer.json();
                assert_eq!(body["error"], "bad_host");
                assert!(body["message"].as_str().is_some_and(|m| m.contains("localhost") && m.contains(".internal")), "{body}");
            }
        }
    }
    for host in OURS {
        let answer = send(sidecar.admin, &get("/readyz").header("host", host).header("connection", "close")).await;
        assert_eq!(answer.status, 200, "{host}: nothing has begun to drain");
    }
    assert_eq!(refusals(&sidecar, "bad_host").await.to_bits(), (6.0 * 9.0_f64).to_bits());
    let answer = through_socket(&sidecar.socket, &get("/config").header("host", "rebind.example.com")).await;
    assert_eq!(answer.status, 200, "no browser reaches the socket");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_host_is_needed_and_only_the_old_version_may_leave_it_out() {
    let origin = origin().await;
    let sidecar = in_front_of(&origin.url()).start().await;
    for (head, status) in [
        ("GET /livez HTTP/1.0\r\n\r\n", 200),
        ("GET /livez HTTP/1.0\r\nHost: example.com\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: example.com\r\nConnection: close\r\n\r\n", 400),
        ("GET http://example.com/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 400),
        ("GET http://localhost/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 200),
    ] {
        let mut client = Connection::open(sidecar.admin).await;
        client.write_raw(head.as_bytes()).await;
        assert_eq!(client.read(&get("/livez")).await.status, status, "{head:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_without_socket_or_token_and_no_page_is_told_it_may() {
    let (origin, folder) = (origin().await, tempfile::tempdir().expect("a folder"));
    let sidecar = with_token(&origin, &folder).await;
    let page = |method: &str| {
        request(method, "/drain").header("host", "127.0.0.1").header("origin", "https://page.example").header("connection", "close")
    };
    let form = page("POST").with_body("a=b").header("content-type", "application/x-www-form-urlencoded");
    let preflight =
        page("OPTIONS").header("access-control-request-method", "POST").header("access-control-request-headers", "authorization");
    for (asked, status) in [
        (form, 401),
        (page("POST").header("authorization", "Bearer t0kem"), 401),
        (page("POST").header("cookie", "token=t0ken"), 401),
        (post("/drain?token=t0ken", "t0ken").header("connection", "close"), 401),
        (preflight, 405),
        (page("GET").header("authorization", "Bearer t0ken"), 405),
        (page("PUT").header("authorization", "Bearer t0ken"), 405),
    ] {
        let answer = send(sidecar.admin, &asked).await;
        assert_eq!(answer.status, status, "{asked:?}");
        assert!(!answer.message.headers.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("access-control-")), "{asked:?}");
    }
    assert_eq!(refusals(&sidecar, "unauthorized").await.to_bits(), 4.0_f64.to_bits());
    assert_eq!(send(sidecar.admin, &get("/readyz").header("connection", "close")).await.status, 200, "nothing has begun to drain");
}

/// Runs a client command to its end, beside the runtime.
async fn run(args: Vec<String>) -> Output {
    let output = move || command(&args.iter().map(String::as_str).collect::<Vec<_>>()).output().expect("it runs");
    tokio::task::spawn_blocking(output).await.expect("no panic")
}

fn args(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_answer_by_exit_code_over_socket_and_address() {
    let origin = origin().await;
    let process = Process::start(&origin.url(), &[]).await;
    let (socket, admin) = (process.socket.display(), process.admin);
    for (door, probe, said) in [
        (format!("--socket {socket}"), "live", "live\n"),
        (format!("--socket {socket}"), "ready", "ready\n"),
        (format!("--admin http://{admin}"), "ready", "ready\n"),
        (format!("--admin http://localhost:{}", admin.port()), "live --json", "{\"live\":true}\n"),
        (format!("--socket {socket}"), "ready --json", "{\"ready\":true,\"reasons\":[]}\n"),
    ] {
        let output = run(args(&format!("probe {probe} {door}"))).await;
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(0), said), "{door}");
    }
    // as in a container: by the environment, and by the sidecar file
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sidecar.yaml");
    std::fs::write(&file, format!("version: 1\nadmin: {{ socket: {socket} }}\n")).expect("writable");
    for (variable, value) in [("EDGE_SIDECAR_ADMIN_SOCKET", &process.socket), ("EDGE_SIDECAR_CONFIG", &file)] {
        let output = command(&["probe", "ready"]).env(variable, value).output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{variable}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let unready = Process::spawn("http://127.0.0.1:9", &[]);
    let door = format!("--socket {}", unready.socket.display());
    crate::support::until("its socket", async || unready.socket.exists().then_some(())).await;
    let asked = async || {
        let output = run(args(&format!("probe ready {door}"))).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!((output.status.code(), said.starts_with("not ready: ")), (Some(1), true), "{said}");
        (said == "not ready: upstream\n").then_some(())
    };
    crate::support::until("its listeners are open", asked).await;
    assert_eq!(run(args(&format!("probe live {door}"))).await.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_nobody_answers_or_that_may_not_says_why() {
    let (origin, folder) = (origin().await, tempfile::tempdir().expect("a folder"));
    let sidecar = with_token(&origin, &folder).await;
    let (admin, token) = (sidecar.admin, folder.path().join("wrong"));
    std::fs::write(&token, "wr0ng").expect("writable");
    let nobody = folder.path().join("nobody.sock").display().to_string();
    let token = token.display();
    for (words, code, part) in [
        (format!("probe live --socket {nobody}"), 1, "cannot reach"),
        (format!("drain --socket {nobody}"), 1, "is it running?"),
        ("drain --admin http://127.0.0.1:9".to_owned(), 1, "cannot reach http://127.0.0.1:9"),
        (format!("drain --admin http://{admin}"), 1, "401 send `Authorization: Bearer`"),
        (format!("drain --admin http://{admin} --token-file {token}"), 1, "401"),
        (format!("drain --admin http://{admin} --token-file {nobody}"), 1, "cannot read"),
        (format!("drain --admin http://{}", sidecar.address), 1, "this is no answer of an admin door"),
        (format!("drain --admin {admin}"), 2, "http://"),
        (format!("drain --admin http://{admin} --socket {nobody}"), 2, "cannot be used with"),
        ("probe".to_owned(), 2, "<PROBE>"),
        ("probe health".to_owned(), 2, "live, ready"),
    ] {
        let output = run(args(&words)).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words}: {said}");
        assert!(said.contains(part) && output.stdout.is_empty(), "{words}: {said}");
    }
    assert_eq!(send(admin, &get("/readyz").header("connection", "close")).await.status, 200, "nothing has begun to drain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_takes_few_connections_and_gives_none_much_time() {
    let origin = origin().await;
    let sidecar = in_front_of(&origin.url()).start().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(sidecar.admin).await;
        connection.write_raw(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n").await;
        silent.push(connection);
    }
    // accepted in order, so the others have their places
    assert!(Connection::open(sidecar.admin).await.is_closed().await, "no place");
    assert_eq!(through_socket(&sidecar.socket, &get("/livez")).await.status, 200, "the other door has its own");
    assert_eq!(sidecar.get("/plain").await.status, 200);
    for mut connection in silent {
        assert!(connection.is_closed().await, "its head did not come in time");
    }
    assert_eq!(send(sidecar.admin, &get("/livez").header("connection", "close")).await.status, 200);
}
