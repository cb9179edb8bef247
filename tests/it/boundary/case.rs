//! One case of the corpus: the bytes, and what may become of them.
//!
//! In the bytes `$T` is the target that is meant and `$S` one that is not: a request for it hides in a body or behind one. The function
//! never sees `$S`, unless the case is [`pipelined`](Case::pipelined).

/// Length of every target that `$S` stands for: what is hidden in a body has a known size.
const SMUGGLED_LENGTH: usize = "/smuggled/00000".len();

/// A request that is not meant.
pub const SMUGGLED: &[u8] = b"GET $S HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// What arrives at the function, if anything does.
#[derive(Clone, Debug)]
pub struct Arrives {
    /// Its method.
    pub method: &'static str,
    /// Its target, byte for byte.
    pub target: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
    /// Fields it has.
    pub with: Vec<(&'static str, String)>,
    /// Fields it does not have.
    pub without: Vec<&'static str>,
}

impl Arrives {
    fn new(method: &'static str, body: &[u8]) -> Self {
        Self { method, target: b"$T".to_vec(), body: body.to_vec(), with: Vec::new(), without: Vec::new() }
    }
}

/// What may become of a case. To refuse is to answer 4xx and close, or to close without a word; what arrives is exactly one request.
#[derive(Clone, Debug)]
pub enum May {
    /// It is refused.
    Refuse,
    /// It is refused or arrives, as the sidecar likes.
    Either(Arrives),
    /// It should be refused; if it arrives, that harms nobody, as the connection closes.
    Tolerate(Arrives),
    /// It is valid: it arrives.
    Arrive(Arrives),
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What the caller sends.
    pub bytes: Vec<u8>,
    /// What may become of it.
    pub may: May,
    /// Whether a second request, for `$S`, is part of it: answered in its turn, or dropped with the connection.
    pub pipelined: bool,
    /// Whether the caller closes its half behind the bytes.
    pub ends: bool,
}

/// Bytes as they are; to be refused, unless more is said.
pub fn raw(name: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    Case { name, bytes: bytes.into(), may: May::Refuse, pipelined: false, ends: false }
}

/// A POST for `$T` with further fields (lines without the last line end) and a body.
pub fn post(name: &'static str, fields: &[u8], body: &[u8]) -> Case {
    raw(name, [b"POST $T HTTP/1.1\r\nHost: a.test\r\n", fields, b"\r\n\r\n", body].concat())
}

/// A GET for `$T` with further fields.
pub fn get(name: &'static str, fields: &[u8]) -> Case {
    raw(name, [b"GET $T HTTP/1.1\r\nHost: a.test\r\n", fields, b"\r\n\r\n"].concat())
}

/// A request line, with a Host.
pub fn line(name: &'static str, line: &[u8]) -> Case {
    raw(name, [line, b"\r\nHost: a.test\r\n\r\n"].concat())
}

/// `body` as a Content-Length field.
pub fn length(body: &[u8]) -> Vec<u8> {
    format!("Content-Length: {}", size(body)).into_bytes()
}

/// `body` as one chunk and the last.
pub fn chunked(body: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", size(body)).as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

fn size(body: &[u8]) -> usize {
    expand(body, "", &"s".repeat(SMUGGLED_LENGTH)).len()
}

/// Puts the targets in.
pub fn expand(bytes: &[u8], meant: &str, smuggled: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 64);
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|w| w == b"$T" || w == b"$S") {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(if rest[at + 1] == b'T' { meant } else { smuggled }.as_bytes());
        rest = &rest[at + 2..];
    }
    out.extend_from_slice(rest);
    out
}

impl Case {
    /// It is a valid request: it must arrive.
    pub fn arrives(self, method: &'static str, body: &[u8]) -> Self {
        Self { may: May::Arrive(Arrives::new(method, body)), ..self }
    }

    /// Whether it is passed on or refused is the sidecar's choice.
    pub fn may_arrive(self, method: &'static str, body: &[u8]) -> Self {
        Self { may: May::Either(Arrives::new(method, body)), ..self }
    }

    /// It should be refused; passed on like this, on a connection that closes, it harms nobody.
    pub fn tolerated(self, method: &'static str, body: &[u8]) -> Self {
        Self { may: May::Tolerate(Arrives::new(method, body)), ..self }
    }

    fn expected(&mut self) -> &mut Arrives {
        match &mut self.may {
            May::Refuse => panic!("{} does not arrive", self.name),
            May::Either(arrives) | May::Tolerate(arrives) | May::Arrive(arrives) => arrives,
        }
    }

    /// It arrives with this target.
    pub fn target(mut self, target: &[u8]) -> Self {
        self.expected().target = target.to_vec();
        self
    }

    /// It arrives with this field.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.expected().with.push((name, value.into()));
        self
    }

    /// It arrives without these fields.
    pub fn without(mut self, names: &[&'static str]) -> Self {
        self.expected().without.extend(names);
        self
    }

    /// A second request, for `$S`, follows and is meant.
    pub fn pipelined(mut self) -> Self {
        self.pipelined = true;
        self
    }

    /// Nothing more follows: the caller closes its half.
    pub fn ends(mut self) -> Self {
        self.ends = true;
        self
    }
}
