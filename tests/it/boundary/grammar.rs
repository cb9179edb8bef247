//! HTTP/1.1 by the letter (RFC 9110, RFC 9112), without any of the leniency that the RFCs leave to recipients: what does not match the
//! grammar here is no HTTP, and on a connection between the sidecar and a function it means that the two no longer agree on where a
//! message ends.

use std::fmt;

/// What bytes are so far.
#[derive(Debug, PartialEq)]
pub enum Parse<T> {
    /// A message, and how many bytes it takes.
    Whole(T, usize),
    /// The beginning of one.
    More,
    /// No HTTP, and why.
    Bad(&'static str),
}

/// A request or an answer. Text is Latin-1: each byte is one character.
#[derive(Clone, Default, PartialEq)]
pub struct Message {
    /// Method, target, version; or version, status, reason.
    pub start: [String; 3],
    /// Fields as written.
    pub fields: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// False for an answer that ended before its end.
    pub whole: bool,
}

impl Message {
    /// Every value of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str()).collect()
    }

    /// Whether one of a field's values lists `word`.
    pub fn lists(&self, name: &str, word: &str) -> bool {
        self.all(name).iter().flat_map(|v| v.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
    }

    /// The status of an answer.
    pub fn status(&self) -> u16 {
        self.start[1].parse().expect("checked when it was read")
    }
}

/// In short, as reports show it.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = ["host", "content-length", "transfer-encoding", "connection", "upgrade", "expect"];
        let fields = self.fields.iter().filter(|(n, _)| n.contains('_') || shown.contains(&&*n.to_ascii_lowercase()));
        let fields: Vec<String> = fields.map(|(n, v)| format!("{n}: {v}")).collect();
        let (body, end) = (&self.body[..self.body.len().min(200)], if self.whole { "" } else { " (cut)" });
        write!(f, "<{} [{}] {:?}{end}>", self.start.join(" "), fields.join("; "), body.escape_ascii().to_string())
    }
}

/// How long a body is.
#[derive(Debug, PartialEq)]
enum Length {
    Bytes(usize),
    Chunks,
    UntilClose,
}

/// The request at the start of `bytes`.
pub fn request(bytes: &[u8]) -> Parse<Message> {
    let (mut message, head) = match head(bytes) {
        Parse::Whole(message, head) => (message, head),
        Parse::More => return Parse::More,
        Parse::Bad(why) => return Parse::Bad(why),
    };
    if let Err(why) = request_line(&message.start).and_then(|()| one_host(&message)) {
        return Parse::Bad(why);
    }
    message.whole = true;
    match framing(&message) {
        Err(why) => Parse::Bad(why),
        Ok(length) => body(&mut message, &bytes[head..], &length.unwrap_or(Length::Bytes(0))).with(message, head),
    }
}

/// The answer at the start of `bytes` to a request of `method`. `end`: nothing will follow them.
pub fn response(bytes: &[u8], method: &str, end: bool) -> Parse<Message> {
    let (mut message, head) = match head(bytes) {
        Parse::Whole(message, head) => (message, head),
        Parse::More => return Parse::More,
        Parse::Bad(why) => return Parse::Bad(why),
    };
    let [version, status, _] = &message.start;
    if !matches!(version.as_str(), "HTTP/1.1" | "HTTP/1.0") || status.len() != 3 || !status.bytes().all(|b| b.is_ascii_digit()) {
        return Parse::Bad("a status line that is none");
    }
    message.whole = true;
    if method == "HEAD" || matches!(message.status(), 100..=199 | 204 | 304) {
        return Parse::Whole(message, head);
    }
    let length = match framing(&message) {
        Ok(length) => length.unwrap_or(Length::UntilClose),
        Err(why) => return Parse::Bad(why),
    };
    let rest = &bytes[head..];
    match body(&mut message, rest, &length) {
        Parse::More if end => {
            message.whole = length == Length::UntilClose;
            Parse::Whole(message, bytes.len())
        }
        parsed => parsed.with(message, head),
    }
}

impl Parse<()> {
    fn with(self, message: Message, head: usize) -> Parse<Message> {
        match self {
            Self::Whole((), used) => Parse::Whole(message, head + used),
            Self::More => Parse::More,
            Self::Bad(why) => Parse::Bad(why),
        }
    }
}

/// Start line and fields.
fn head(bytes: &[u8]) -> Parse<Message> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
    if bytes[..end.unwrap_or(bytes.len())].windows(2).any(|w| w[1] == b'\n' && w[0] != b'\r') || bytes.first() == Some(&b'\n') {
        return Parse::Bad("a bare LF in a head");
    }
    let Some(end) = end else { return Parse::More };
    let text = latin1(&bytes[..end]);
    let mut lines = text.split("\r\n");
    let mut parts = lines.next().unwrap_or_default().splitn(3, ' ').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let mut message = Message { start: [part(), part(), part()], ..Message::default() };
    for line in lines {
        match field(line) {
            Ok(field) => message.fields.push(field),
            Err(why) => return Parse::Bad(why),
        }
    }
    Parse::Whole(message, end + 4)
}

fn field(line: &str) -> Result<(String, String), &'static str> {
    if line.starts_with([' ', '\t']) {
        return Err("a folded line");
    }
    let Some((name, value)) = line.split_once(':') else { return Err("a field without a colon") };
    if !is_token(name) {
        return Err("a field name that is no token");
    }
    if value.chars().any(|c| c.is_ascii_control() && c != '\t') {
        return Err("a control character in a field value");
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn request_line([method, target, version]: &[String; 3]) -> Result<(), &'static str> {
    let origin_form = target.starts_with('/') && target.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'#');
    match () {
        () if !is_token(method) => Err("a method that is no token"),
        () if !(origin_form || target == "*" && method == "OPTIONS") => Err("a target that is not in origin form"),
        () if version != "HTTP/1.1" => Err("not HTTP/1.1"),
        () => Ok(()),
    }
}

fn one_host(message: &Message) -> Result<(), &'static str> {
    let [host] = message.all("host")[..] else { return Err("not exactly one Host") };
    let valid = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:[]%!$&'()*+;=".contains(&b));
    if valid { Ok(()) } else { Err("a Host that is none") }
}

/// How the body is framed; `None` where nothing says so.
fn framing(message: &Message) -> Result<Option<Length>, &'static str> {
    let (lengths, codings) = (message.all("content-length"), message.all("transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(None),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Length::Chunks)),
        ([length], []) if length.bytes().all(|b| b.is_ascii_digit()) => {
            length.parse().map(|n| Some(Length::Bytes(n))).map_err(|_| "a Content-Length without end")
        }
        ([_], []) => Err("a Content-Length that is no number"),
        ([], _) => Err("a Transfer-Encoding other than chunked"),
        (_, []) => Err("several Content-Length"),
        _ => Err("Content-Length and Transfer-Encoding"),
    }
}

/// Reads the body into `message`; how much of it came is kept also where it is not whole.
fn body(message: &mut Message, bytes: &[u8], length: &Length) -> Parse<()> {
    match *length {
        Length::Bytes(n) => {
            message.body = bytes[..n.min(bytes.len())].to_vec();
            if bytes.len() < n { Parse::More } else { Parse::Whole((), n) }
        }
        Length::UntilClose => {
            message.body = bytes.to_vec();
            Parse::More
        }
        Length::Chunks => chunks(message, bytes),
    }
}

fn chunks(message: &mut Message, bytes: &[u8]) -> Parse<()> {
    let mut at = 0;
    loop {
        let Some(line) = line(&bytes[at..]) else { return Parse::More };
        let text = latin1(line);
        let (size, extension) = text.split_at(text.find(';').unwrap_or(text.len()));
        if size.is_empty() || size.len() > 15 || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Parse::Bad("a chunk size that is no number");
        }
        if extension.chars().any(|c| c.is_ascii_control() && c != '\t') {
            return Parse::Bad("a control character in a chunk extension");
        }
        at += line.len() + 2;
        let size = usize::from_str_radix(size, 16).expect("hex digits that fit");
        if size == 0 {
            return trailers(&bytes[at..], at);
        }
        let data = &bytes[at..];
        message.body.extend_from_slice(&data[..size.min(data.len())]);
        if data.len() < size + 2 {
            return Parse::More;
        }
        if &data[size..size + 2] != b"\r\n" {
            return Parse::Bad("no line end behind a chunk");
        }
        at += size + 2;
    }
}

fn trailers(bytes: &[u8], before: usize) -> Parse<()> {
    let mut at = 0;
    loop {
        let Some(line) = line(&bytes[at..]) else { return Parse::More };
        at += line.len() + 2;
        if line.is_empty() {
            return Parse::Whole((), before + at);
        }
        if let Err(why) = field(&latin1(line)) {
            return Parse::Bad(why);
        }
    }
}

fn line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.windows(2).position(|w| w == b"\r\n").map(|end| &bytes[..end])
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|b| char::from(*b)).collect()
}

#[cfg(test)]
mod tests;
