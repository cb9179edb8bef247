//! HTTP/1.1 on the wire, as both the client and the origin of the tests read it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A message as it came: its first line's parts, its fields in order, its body.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// Method and target, or version and status.
    pub start: (String, String),
    /// Fields, names as written.
    pub headers: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// Whether the body came to its proper end.
    pub whole: bool,
}

impl Message {
    /// The first value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Every value of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Bytes read beyond what was asked for, kept for the next message.
#[derive(Debug, Default)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// Reads more. False at the end of the stream.
    pub async fn fill(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
        Ok(stream.read_buf(&mut self.0).await? > 0)
    }

    /// A line without its end; `None` at the end of the stream.
    pub async fn line(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.0.windows(2).position(|w| w == b"\r\n") {
                let rest = self.0.split_off(end + 2);
                let line = std::mem::replace(&mut self.0, rest);
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            if !self.fill(stream).await? {
                return Ok(None);
            }
        }
    }

    async fn exactly(&mut self, stream: &mut (impl AsyncRead + Unpin), n: usize, into: &mut Vec<u8>) -> io::Result<bool> {
        while self.0.len() < n {
            if !self.fill(stream).await? {
                into.append(&mut self.0);
                return Ok(false);
            }
        }
        let rest = self.0.split_off(n);
        into.append(&mut self.0);
        self.0 = rest;
        Ok(true)
    }

    /// Start line and fields; `None` where the stream ends before them.
    pub async fn head(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Message>> {
        let Some(first) = self.line(stream).await? else { return Ok(None) };
        let mut parts = first.splitn(3, ' ');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let mut message = Message { start: (part(), part()), ..Message::default() };
        loop {
            match self.line(stream).await? {
                None => return Ok(None),
                Some(line) if line.is_empty() => return Ok(Some(message)),
                Some(line) => {
                    let (name, value) = line.split_once(':').unwrap_or((&line, ""));
                    message.headers.push((name.to_owned(), value.trim().to_owned()));
                }
            }
        }
    }

    /// One chunk; an empty one is the end of the body, `None` that of the stream.
    pub async fn chunk(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
        let Some(size) = self.line(stream).await? else { return Ok(None) };
        let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16).map_err(io::Error::other)?;
        let mut data = Vec::new();
        let whole = self.exactly(stream, size, &mut data).await? && self.line(stream).await?.is_some();
        Ok(whole.then_some(data))
    }

    /// The body of `message`. `until_close`: one without length or chunks ends with the stream, as answers' do.
    pub async fn body(&mut self, stream: &mut (impl AsyncRead + Unpin), message: &mut Message, until_close: bool) -> io::Result<()> {
        let length = message.header("content-length").and_then(|v| v.parse::<usize>().ok());
        if message.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            while let Some(chunk) = self.chunk(stream).await? {
                message.whole = chunk.is_empty();
                if message.whole {
                    return Ok(());
                }
                message.body.extend(chunk);
            }
        } else if let Some(length) = length {
            message.whole = self.exactly(stream, length, &mut message.body).await?;
        } else {
            if until_close {
                while self.fill(stream).await? {}
                message.body.append(&mut self.0);
            }
            message.whole = true;
        }
        Ok(())
    }
}
