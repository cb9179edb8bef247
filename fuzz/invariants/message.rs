//! A message's head as the targets write it: a first line of words, then `name: value` lines. What is no field is left out.

use edge_sidecar::rules::path::Path;
use edge_sidecar::rules::{Facts, function};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// More fields than a request may have.
const MAX_FIELDS: usize = 200;

/// A head.
pub struct Message {
    /// The words of its first line.
    pub words: Vec<String>,
    /// Its fields.
    pub headers: HeaderMap,
}

/// A request's head: `METHOD TARGET HOST`.
#[derive(Clone)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub query: Option<String>,
    /// In lower case.
    pub host: String,
    pub function: String,
    pub headers: HeaderMap,
}

impl Message {
    pub fn read(text: &[u8]) -> Self {
        let mut lines = text.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = String::from_utf8_lossy(lines.next().unwrap_or_default());
        let words = first.split(' ').map(str::to_owned).collect();
        let mut headers = HeaderMap::new();
        for line in lines.take(MAX_FIELDS) {
            let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
            let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(line[colon + 1..].trim_ascii()));
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        Self { words, headers }
    }

    /// The word at a place, or nothing.
    pub fn word(&self, at: usize) -> &str {
        self.words.get(at).map_or("", String::as_str)
    }
}

impl Request {
    pub fn read(text: &[u8]) -> Self {
        let message = Message::read(text);
        let target = message.word(1);
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.to_owned())));
        Self {
            method: Method::from_bytes(message.word(0).as_bytes()).unwrap_or(Method::GET),
            path: path.to_owned(),
            query,
            host: message.word(2).to_ascii_lowercase(),
            function: function::name(Path::new(path).as_str(), "/functions/v1/").to_owned(),
            headers: message.headers,
        }
    }

    /// What rules look at.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            listener: "functions",
            upstream: "functions",
            method: &self.method,
            host: &self.host,
            path: Path::new(&self.path),
            query: self.query.as_deref(),
            function: &self.function,
            headers: &self.headers,
            trusted: false,
        }
    }
}

/// The parts of an input between marks.
pub fn parts<'a>(input: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(input);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = text.windows(mark.len()).position(|window| window == mark);
        rest = at.map(|at| &text[at + mark.len()..]);
        Some(&text[..at.unwrap_or(text.len())])
    })
}
