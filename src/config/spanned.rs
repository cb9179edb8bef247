//! YAML text -> nodes that know their place, so that every later problem can point at it.
//!
//! A deliberate subset of YAML: one document, no tags, no anchors, aliases or merge keys, no invisible or look-alike characters.
//! Each of those has made a file mean something else than its author saw. All of them are reported; only a broken structure
//! stops the reading.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::characters;
use super::diagnostics::{Code, Problem, Span};
pub use super::node::{Key, Kind, Node};

/// Largest file that is read, in bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting.
pub const MAX_DEPTH: usize = 32;

/// The text of a file: UTF-8, without its byte order mark. Where it is not UTF-8, a readable form for the snippet, and the problem.
#[must_use]
pub fn text(bytes: &[u8]) -> (String, Option<Problem>) {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.len() > MAX_BYTES {
        let problem = Problem::error(Code::TooLarge, Span::NOWHERE, format!("the file is larger than {MAX_BYTES} bytes"))
            .help("no settings are that long: look for what was pasted into it");
        return (String::new(), Some(problem));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(error) => {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let span = Span::at(&text, error.valid_up_to(), '\u{FFFD}'.len_utf8());
            let problem = Problem::error(Code::Encoding, span, "the file is not valid UTF-8").help("save it as UTF-8");
            (text, Some(problem))
        }
    }
}

/// Parses a text (see [`text`]) into its one document. `None` where the structure is broken; the problems then say why.
#[must_use]
pub fn parse(text: &str) -> (Option<Node>, Vec<Problem>) {
    let mut problems = characters::odd(text);
    let mut builder = Builder { text, offsets: Offsets::new(text), open: Vec::new(), root: None, problems: Vec::new() };
    let whole = builder.read();
    problems.append(&mut builder.problems);
    problems.sort_by_key(|p| p.span.start);
    let mut lines = HashSet::new();
    problems.retain(|p| p.code != Code::OddCharacter || lines.insert(p.line));
    (builder.root.filter(|_| whole), problems)
}

/// saphyr counts characters, snippets count bytes.
struct Offsets(Option<Vec<usize>>);

impl Offsets {
    fn new(text: &str) -> Self {
        Self((!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).chain([text.len()]).collect()))
    }

    fn byte(&self, marker: &Marker, len: usize) -> usize {
        let at = marker.index();
        self.0.as_ref().map_or(at, |table| table.get(at).copied().unwrap_or(len)).min(len)
    }
}

/// A collection whose end has not come yet.
enum Open {
    Sequence(Span, Vec<Node>),
    Mapping { span: Span, entries: Vec<(Key, Node)>, lines: HashMap<String, usize>, slot: Slot },
}

/// What a mapping waits for.
enum Slot {
    Key,
    /// The value of a key, which is left out if the key was refused.
    Value(Option<Key>),
}

impl Open {
    const fn span(&self) -> Span {
        let (Self::Sequence(span, _) | Self::Mapping { span, .. }) = self;
        *span
    }
}

struct Builder<'t> {
    text: &'t str,
    offsets: Offsets,
    open: Vec<Open>,
    root: Option<Node>,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    /// Reads all events; false where the structure is broken.
    fn read(&mut self) -> bool {
        let mut parser = Parser::new_from_str(self.text);
        let mut documents = 0;
        while let Some(next) = parser.next_event() {
            let (event, span) = match next {
                Ok((event, span)) => (event, self.span(span.start, span.end)),
                // the parser has already stepped over the alias, so the rest of the file is read as well
                Err(error) if error.info().contains("unknown anchor") => (Event::Alias(0), self.token(*error.marker())),
                Err(error) => {
                    self.syntax(&error);
                    return false;
                }
            };
            match event {
                Event::DocumentStart(_) => documents += 1,
                Event::StreamEnd => break,
                _ => {}
            }
            if documents > 1 {
                self.report(Code::Documents, span, "a second document begins here", "a file holds one document: remove the `---`");
                return false;
            }
            if !self.event(event, span) {
                return false;
            }
        }
        if self.root.as_ref().is_none_or(Node::is_null) {
            self.report(Code::Empty, Span::START, "the file is empty", "it needs at least `version: 1`");
            return false;
        }
        true
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> bool {
        match event {
            Event::Alias(_) => {
                let help = "a value that begins with `*` goes in quotes; aliases are not supported";
                self.report(Code::Alias, span, format!("`{}` is read as an alias", &self.text[span.start..span.end]), help);
                self.add(Node { kind: Kind::Refused, span });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_marks(anchor, tag.is_some(), span);
                let plain = style == ScalarStyle::Plain;
                let text = if plain { self.cleaned(&text, span) } else { text.into_owned() };
                self.add(Node { kind: Kind::Scalar { text, plain }, span });
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_marks(anchor, tag.is_some(), span);
                return self.push(Open::Sequence(span, Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_marks(anchor, tag.is_some(), span);
                return self.push(Open::Mapping { span, entries: Vec::new(), lines: HashMap::new(), slot: Slot::Key });
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::Sequence(start, items)) => self.add(Node { kind: Kind::Sequence(items), span: start }),
                Some(Open::Mapping { span: start, entries, .. }) => self.add(Node { kind: Kind::Mapping(entries), span: start }),
                None => {}
            },
            _ => {}
        }
        true
    }

    fn push(&mut self, open: Open) -> bool {
        if self.open.len() >= MAX_DEPTH {
            self.report(Code::Depth, open.span(), format!("nested deeper than {MAX_DEPTH} levels"), "no setting is that deep");
            return false;
        }
        self.open.push(open);
        true
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::Sequence(_, items)) => items.push(node),
            Some(Open::Mapping { entries, lines, slot, .. }) => {
                *slot = match std::mem::replace(slot, Slot::Key) {
                    Slot::Key => Slot::Value(accept_key(node, lines, &mut self.problems)),
                    Slot::Value(key) => {
                        entries.extend(key.map(|key| (key, node)));
                        Slot::Key
                    }
                };
            }
        }
    }

    fn refuse_marks(&mut self, anchor: usize, tag: bool, span: Span) {
        if anchor != 0 {
            self.report(Code::Anchor, span, "anchors (`&name`) are not supported", "write the values out where they are used");
        }
        if tag {
            self.report(Code::Tag, span, "tags (`!name`) are not supported", "put text that begins with `!` in quotes");
        }
    }

    /// Unquoted text without its odd characters: reported here, so that they do not make an unknown key as well.
    fn cleaned(&mut self, text: &str, span: Span) -> String {
        if let Some(at) = self.text[span.start..span.end].find(characters::is_odd) {
            self.problems.push(characters::problem(self.text, span.start + at));
        }
        text.chars().filter(|c| !characters::is_odd(*c)).collect()
    }

    fn syntax(&mut self, error: &saphyr_parser::ScanError) {
        let span = self.token(*error.marker());
        let quoted = matches!(self.text[span.start..].chars().next(), Some('*' | '&' | '!' | '%' | '@' | '`'));
        let help = if error.info().contains("quoted scalar") {
            "look for a quotation mark above that is not closed"
        } else if quoted {
            "a value that begins with this character goes in quotes"
        } else {
            "look for an open bracket or quotation mark above, a wrong indentation, or `: ` in text without quotes"
        };
        self.report(Code::Syntax, span, format!("this is not valid YAML: {}", error.info()), help);
    }

    fn report(&mut self, code: Code, span: Span, message: impl Into<String>, help: &str) {
        self.problems.push(Problem::error(code, span, message).help(help));
    }

    fn span(&self, start: Marker, end: Marker) -> Span {
        let (from, to) = (self.offsets.byte(&start, self.text.len()), self.offsets.byte(&end, self.text.len()));
        Span { start: from, end: to.max(from), line: start.line(), column: start.col() + 1 }
    }

    /// The word at a place, for errors that name only where they begin.
    fn token(&self, marker: Marker) -> Span {
        let span = self.span(marker, marker);
        let rest = &self.text[span.start..];
        let length = rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '}')).unwrap_or(rest.len());
        Span { end: span.start + length, ..span }
    }
}

/// A key, or `None` where it is refused and its value with it.
fn accept_key(node: Node, lines: &mut HashMap<String, usize>, problems: &mut Vec<Problem>) -> Option<Key> {
    let span = node.span;
    let null = node.is_null();
    let Kind::Scalar { text, plain } = node.kind else {
        if node.kind != Kind::Refused {
            let help = "write one word before the `:`; text that begins with `[` or `{` goes in quotes";
            problems.push(Problem::error(Code::BadKey, span, "a key must be a word").help(help));
        }
        return None;
    };
    if text == "<<" && plain {
        let help = "write the keys out in each place";
        problems.push(Problem::error(Code::MergeKey, span, "the merge key `<<` is not supported").help(help));
        return None;
    }
    if null {
        let help = "write a word before the `:`, or remove the entry";
        problems.push(Problem::error(Code::BadKey, span, "a key must be a word, not empty").help(help));
        return None;
    }
    if let Some(first) = lines.get(&text) {
        let help = format!("it is first given in line {first}");
        problems.push(Problem::error(Code::DuplicateKey, span, format!("the key `{text}` is given twice")).help(help));
        return None;
    }
    lines.insert(text.clone(), span.line);
    Some(Key { text, span })
}
