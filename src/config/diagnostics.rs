//! What is wrong with a file, where, and how to put it right; for a terminal, a log line and JSON.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::secrets::has_secret;

/// Most problems shown by [`render`]; the JSON form has all.
const SHOWN: usize = 100;

/// A place in a file, offsets counted without a byte order mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
    /// Line, from 1; 0 = no place in the file.
    pub line: usize,
    /// Column in characters, from 1; 0 = no place in the file.
    pub column: usize,
}

impl Span {
    /// No place in the file.
    pub const NOWHERE: Self = Self { start: 0, end: 0, line: 0, column: 0 };
    /// The file's first character.
    pub const START: Self = Self { start: 0, end: 0, line: 1, column: 1 };

    /// The span of `length` bytes at an offset.
    #[must_use]
    pub fn at(text: &str, start: usize, length: usize) -> Self {
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        Self { start, end: start + length, line, column: before[line_start..].chars().count() + 1 }
    }
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is accepted.
    Warning,
}

macro_rules! codes {
    ($(#[doc = $about:literal] $name:ident = $word:literal,)*) => {
        /// The kinds of problems. Closed: the `code` of a diagnostic.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $about] $name,)*
        }

        impl Code {
            /// All of them, with what each means.
            pub const ALL: &[(Self, &'static str)] = &[$((Self::$name, $about),)*];

            /// The closed word of the code.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

codes! {
    /// The file cannot be read.
    Unreadable = "unreadable",
    /// Not UTF-8.
    Encoding = "bad-encoding",
    /// Above 1 MiB.
    TooLarge = "too-large",
    /// Nothing in it.
    Empty = "empty-file",
    /// Not YAML.
    Syntax = "bad-syntax",
    /// More than one document.
    Documents = "several-documents",
    /// Nested too deep.
    Depth = "too-deep",
    /// A `!tag`.
    Tag = "tag",
    /// An `&anchor`.
    Anchor = "anchor",
    /// An `*alias`, or an unquoted glob.
    Alias = "alias",
    /// A `<<` key.
    MergeKey = "merge-key",
    /// An invisible or look-alike character.
    OddCharacter = "odd-character",
    /// A key that is no word.
    BadKey = "bad-key",
    /// A key given twice.
    DuplicateKey = "duplicate-key",
    /// A key that means nothing here.
    UnknownKey = "unknown-key",
    /// A required key is absent.
    MissingKey = "missing-key",
    /// A key without a value.
    EmptyValue = "empty-value",
    /// Not text, list or mapping as needed.
    WrongType = "wrong-type",
    /// `version` is not one this program knows.
    BadVersion = "bad-version",
    /// Not a duration.
    BadDuration = "bad-duration",
    /// Not a size.
    BadSize = "bad-size",
    /// Not a percentage.
    BadPercentage = "bad-percentage",
    /// Not a whole number.
    BadNumber = "bad-number",
    /// Not `true` or `false`.
    BadBoolean = "bad-boolean",
    /// Not a glob.
    BadGlob = "bad-glob",
    /// Not a method.
    BadMethod = "bad-method",
    /// Not a name.
    BadName = "bad-name",
    /// Not a header field's name.
    BadHeader = "bad-header",
    /// Not an address.
    BadAddress = "bad-address",
    /// Not a server's URL.
    BadUrl = "bad-url",
    /// A secret in the file; its line is never shown.
    Secret = "secret-in-file",
    /// Not one of the words allowed.
    BadValue = "bad-value",
    /// Right in form, but too small or too large.
    OutOfRange = "out-of-range",
    /// A name or address given twice.
    Duplicate = "duplicate",
    /// A name that nothing has.
    UnknownName = "unknown-name",
    /// Known, but not there yet.
    Unsupported = "unsupported",
    /// Can never match.
    Unreachable = "unreachable",
    /// Two settings of which one makes the other pointless.
    Contradiction = "contradiction",
    /// Allowed, but more than most people mean by it.
    Risk = "risk",
    /// An expectation of `tests:` that does not hold.
    TestFailed = "test-failed",
    /// More memory than there is.
    Budget = "over-budget",
}

impl Code {
    /// Where the code is explained: a place in the documentation that stays.
    #[must_use]
    pub fn anchor(self) -> String {
        format!("docs/rules.md#{}", self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_struct("Code", 2)?;
        pair.serialize_field("code", self.as_str())?;
        pair.serialize_field("anchor", &self.anchor())?;
        pair.end()
    }
}

/// One problem of a file. Its JSON form is `{severity, code, anchor, message, line, column, help}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// What kind.
    #[serde(flatten)]
    pub code: Code,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// Line, from 1; 0 = no place in the file.
    pub line: usize,
    /// Column in characters, from 1; 0 = no place in the file.
    pub column: usize,
    /// The place.
    #[serde(skip)]
    pub span: Span,
    /// How to put it right.
    pub help: Option<String>,
    /// Whether its line may hold a secret, and is not shown.
    #[serde(skip)]
    pub private: bool,
}

impl Problem {
    /// A problem that refuses the file.
    #[must_use]
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        let (line, column, private) = (span.line, span.column, code == Code::Secret);
        Self { severity: Severity::Error, code, message: message.into(), line, column, span, help: None, private }
    }

    /// A problem that does not.
    #[must_use]
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// With a word on how to put it right.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Whether it refuses the file.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The problems as a person reads them: message, `file:line:column`, the line with a mark under the place, help. `source` is the text
/// that the spans count in; a byte order mark it begins with is one too many, and part of it.
#[must_use]
pub fn render(problems: &[Problem], file: &str, source: &str, colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    let private: Vec<usize> = problems.iter().filter(|p| p.private).map(|p| p.line).collect();
    for problem in problems.iter().take(SHOWN) {
        // nor is the line of a secret shown for what else is wrong in it
        let hidden = private.contains(&problem.line) || may_hold_secret(around(source, problem.span).0);
        let _ = writeln!(out, "{}\n", renderer.render(&[group(problem, file, source, hidden)]));
    }
    if problems.len() > SHOWN {
        let _ = writeln!(out, "and {} more\n", problems.len() - SHOWN);
    }
    out
}

fn group<'a>(problem: &'a Problem, file: &'a str, source: &'a str, hidden: bool) -> Group<'a> {
    let level = if problem.is_error() { Level::ERROR } else { Level::WARNING };
    let title = level.primary_title(problem.message.as_str()).id(problem.code.as_str());
    let mut group = if problem.line == 0 {
        title.element(Origin::path(file))
    } else if hidden {
        title.element(Origin::path(file).line(problem.line).char_column(problem.column))
    } else {
        let (lines, start, end) = around(source, problem.span);
        let mark = AnnotationKind::Primary.span(start..end);
        title.element(Snippet::source(lines).path(file).line_start(problem.line).annotation(mark))
    };
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group.element(Level::NOTE.with_name("see").message(problem.code.anchor()))
}

/// Whether a line names what is secret, wherever in the file somebody wrote it.
fn may_hold_secret(line: &str) -> bool {
    let plain = line.to_ascii_lowercase().replace(['"', '\'', ' '], "");
    ["verify:", "secret:", "secrets:", "secret_", "password:", "token:", "whsec_"].iter().any(|word| plain.contains(word))
        || has_secret(line)
}

/// The one line of a span, and the span within it; a value of several lines is marked on its first.
fn around(source: &str, span: Span) -> (&str, usize, usize) {
    let start = span.start.min(source.len());
    let from = source[..start].rfind('\n').map_or(0, |at| at + 1);
    let to = source[start..].find('\n').map_or(source.len(), |at| start + at);
    let line = source[from..to].trim_end_matches('\r');
    let first = (start - from).min(line.len());
    let last = (span.end.max(start) - from).min(line.len()).max(first);
    (line, first, last)
}
