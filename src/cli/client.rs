//! The client side of the admin doors: one request, one answer, over the socket or the address. Blocking, and HTTP/1.1 as far as our own
//! doors speak it: each answer has a length, and the connection ends with it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use super::run;
use crate::config::sidecar::Server;
use crate::config::{Host, Overrides, judge_sidecar, values};

/// Which sidecar is asked, and how the answer is printed.
#[derive(Debug, Args)]
pub struct DoorArgs {
    /// The admin socket. Its variable is read by hand: as clap's it would rule out `--admin` wherever it is set.
    #[arg(long, value_name = "FILE", conflicts_with = "admin", help = SOCKET_HELP)]
    pub socket: Option<PathBuf>,
    /// Admin address in place of the socket, such as `http://127.0.0.1:9901`
    #[arg(long, value_name = "URL", value_parser = address)]
    pub admin: Option<Server>,
    /// File with the bearer token for the admin address
    #[arg(long, env = "EDGE_SIDECAR_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,
}

const SOCKET_HELP: &str = "Admin socket [env: EDGE_SIDECAR_ADMIN_SOCKET=] [default: the one that run would open here]";

/// An answer of the admin doors.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Value,
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// A door: connection, how messages call it, `Host`, token.
type Open = (Box<dyn Stream>, String, String, Option<String>);

/// Longest wait for a connection, and for each piece of an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer read, in bytes.
const LARGEST: u64 = 16 << 20;

/// A URL of an admin address.
fn address(text: &str) -> Result<Server, String> {
    match values::server(text) {
        Ok(server) if !server.tls => Ok(server),
        Ok(_) => Err("the admin address speaks http, not https".to_owned()),
        Err(fault) => Err(fault.message),
    }
}

impl DoorArgs {
    /// Sends a request without a body.
    ///
    /// # Errors
    /// Nobody answers, or not as an admin door does.
    pub fn ask(&self, method: &str, target: &str) -> Result<Answer> {
        self.tell(method, target, None)
    }

    /// Sends a request with a body, if there is one.
    ///
    /// # Errors
    /// Nobody answers, or not as an admin door does.
    pub fn tell(&self, method: &str, target: &str, body: Option<&Value>) -> Result<Answer> {
        let body = body.map(Value::to_string);
        self.send(method, target, body.as_deref().map(|body| ("application/json", body)))
    }

    /// Sends a request with a body of a content type, if there is one.
    ///
    /// # Errors
    /// Nobody answers, or not as an admin door does.
    pub fn send(&self, method: &str, target: &str, body: Option<(&str, &str)>) -> Result<Answer> {
        self.send_within(PATIENCE, method, target, body)
    }

    /// Sends a request without a body whose answer may take longer.
    ///
    /// # Errors
    /// Nobody answers, or not as an admin door does.
    pub fn ask_within(&self, patience: Duration, method: &str, target: &str) -> Result<Answer> {
        self.send_within(patience, method, target, None)
    }

    fn send_within(&self, patience: Duration, method: &str, target: &str, body: Option<(&str, &str)>) -> Result<Answer> {
        let (stream, door, host, token) = match &self.admin {
            Some(server) => self.address(server, patience)?,
            None => self.open_socket(patience)?,
        };
        // without the query: it may hold what a screen or a log should not
        let path = target.split('?').next().unwrap_or_default();
        exchange(stream, method, target, (&host, token.as_deref()), body).with_context(|| format!("{door} {method} {path}"))
    }

    fn address(&self, server: &Server, patience: Duration) -> Result<Open> {
        let token = self.token_file.as_deref().map(token).transpose()?;
        let host = if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
        let host = format!("{host}:{}", server.port);
        let stream = connect(server, patience).with_context(|| format!("cannot reach http://{host}"))?;
        Ok((Box::new(stream), format!("http://{host}"), host, token))
    }

    fn open_socket(&self, patience: Duration) -> Result<Open> {
        let path = self.socket();
        let stream = UnixStream::connect(&path)
            .with_context(|| format!("cannot reach {}; is it running? --socket or --admin says where else it may be", path.display()))?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok((Box::new(stream), path.display().to_string(), "admin".to_owned(), None))
    }

    /// Flag, environment, the sidecar file that `run` would take, default.
    fn socket(&self) -> PathBuf {
        let variable = || std::env::var_os("EDGE_SIDECAR_ADMIN_SOCKET").map(PathBuf::from);
        self.socket.clone().or_else(variable).unwrap_or_else(|| {
            let host = Host::detect();
            let file = std::env::var_os("EDGE_SIDECAR_CONFIG").map(PathBuf::from).or_else(run::found);
            let written = file.and_then(|file| judge_sidecar(&fs::read(file).ok()?, &Overrides::default(), &host).value);
            written.map_or_else(|| host.default_socket(), |sidecar| sidecar.admin.socket)
        })
    }
}

fn token(file: &Path) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let token = text.trim();
    ensure!(!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()), "{} holds no bearer token", file.display());
    Ok(token.to_owned())
}

fn connect(server: &Server, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (server.host.as_str(), server.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange(
    mut stream: Box<dyn Stream>,
    method: &str,
    target: &str,
    (host, token): (&str, Option<&str>),
    body: Option<(&str, &str)>,
) -> Result<Answer> {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let (kind, body) = body.map_or((String::new(), ""), |(kind, body)| (format!("Content-Type: {kind}\r\n"), body));
    let length = if method == "GET" { String::new() } else { format!("{kind}Content-Length: {}\r\n", body.len()) };
    let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{token}{length}\r\n{body}");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(LARGEST).read_to_end(&mut bytes)?;
    answer(&bytes)
}

/// Reads an answer that came to its end.
fn answer(bytes: &[u8]) -> Result<Answer> {
    let strange = "this is no answer of an admin door";
    let text = std::str::from_utf8(bytes).context(strange)?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else { bail!("the answer broke off") };
    let (first, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).context(strange)?;
    let mut fields = fields.lines().filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.and_then(|(_, value)| value.trim().parse().ok()).context(strange)?;
    ensure!(length == body.len(), "the answer broke off");
    Ok(Answer { status, body: serde_json::from_str(body).context(strange)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_answer_is_one() {
        let whole = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nContent-Length: 15\r\n\r\n{\"ready\":false}";
        let body = serde_json::json!({ "ready": false });
        assert_eq!(answer(whole.as_bytes()).expect("an answer"), Answer { status: 503, body });
        for end in 0..whole.len() {
            assert!(answer(&whole.as_bytes()[..end]).is_err(), "{}", &whole[..end]);
        }
        for other in ["HTTP/1.1 200 OK\r\n\r\n{}", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno", "SSH-2.0-x\r\n\r\n", "\u{ff}"] {
            assert!(answer(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn addresses_and_tokens() {
        assert_eq!(address("http://[::1]:9901").map(|s| (s.host, s.port)), Ok(("::1".to_owned(), 9901)));
        for wrong in ["https://localhost:9901", "localhost:9901", "http://localhost:9901/metrics", "unix:/x", ""] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (text, good) in [(" t0ken\n", true), ("\n", false), ("a b", false), ("a\r\nX: y", false)] {
            fs::write(file.path(), text).expect("writable");
            assert_eq!(token(file.path()).ok(), good.then(|| "t0ken".to_owned()), "{text:?}");
        }
    }
}
