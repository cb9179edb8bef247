//! From nodes to typed values: a walk that knows the keys of each place and collects every problem instead of stopping.

use super::diagnostics::{Code, Problem, Span};
use super::grammar::{Default as Without, Map};
use super::spanned::{Key, Kind, Node};
use super::values::{Fault, nearest, suggestion};
use super::verify_rule::Secrets;
use crate::engine::Site;

/// Collects problems on the way.
#[derive(Debug, Default)]
pub struct Decoder {
    /// What was found so far.
    pub problems: Vec<Problem>,
    /// What becomes of secrets.
    pub secrets: Secrets,
    /// Where requests come in, as far as is known.
    pub sites: Vec<Site>,
}

/// The entries of one mapping whose keys are all known.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'n> {
    /// Where the mapping begins.
    pub span: Span,
    map: &'static Map,
    entries: &'n [(Key, Node)],
}

impl Decoder {
    /// Notes a problem that refuses the file.
    pub fn error(&mut self, code: Code, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::error(code, span, message).help(help));
    }

    /// Notes a problem that does not.
    pub fn warning(&mut self, code: Code, span: Span, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::warning(code, span, message).help(help));
    }

    fn wrong_type(&mut self, node: &Node, wanted: &str) {
        let found = match &node.kind {
            Kind::Refused => return,
            _ if node.is_null() => {
                let help = format!("give it {wanted}, or remove the key");
                return self.error(Code::EmptyValue, node.span, "the value is missing", help);
            }
            Kind::Scalar { .. } => "a single value",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        };
        let how = match wanted {
            "a list" => ": begin each entry with `- `, or write `[a, b]`",
            "a mapping" => ": `key: value` in lines of their own, or `{ key: value }`",
            _ => "",
        };
        self.error(Code::WrongType, node.span, format!("expected {wanted}, found {found}"), format!("give it {wanted}{how}"));
    }

    /// The entries of a mapping with the keys of the grammar; unknown ones are reported with the nearest known one.
    pub fn fields<'n>(&mut self, node: &'n Node, map: &'static Map) -> Option<Fields<'n>> {
        self.fields_but(node, map, &[])
    }

    /// The same, where some keys have been reported already.
    pub fn fields_but<'n>(&mut self, node: &'n Node, map: &'static Map, reported: &[&str]) -> Option<Fields<'n>> {
        let entries = self.entries(node)?;
        let known = map.names();
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.text.as_str()) && !reported.contains(&key.text.as_str())) {
            let text = key.text.escape_debug();
            let message = match key.text.chars().find(|c| !c.is_ascii()) {
                Some(c) => format!("unknown key `{text}` (U+{:04X} in it is not an ASCII letter)", u32::from(c)),
                None => format!("unknown key `{text}`"),
            };
            self.error(Code::UnknownKey, key.span, message, suggestion(&key.text, &known));
        }
        Some(Fields { span: node.span, map, entries })
    }

    /// The entries of a mapping with keys of the author's choice.
    pub fn entries<'n>(&mut self, node: &'n Node) -> Option<&'n [(Key, Node)]> {
        if let Kind::Mapping(entries) = &node.kind {
            return Some(entries);
        }
        self.wrong_type(node, "a mapping");
        None
    }

    /// The entries of a list.
    pub fn list<'n>(&mut self, node: &'n Node) -> Option<&'n [Node]> {
        if let Kind::Sequence(items) = &node.kind {
            return Some(items);
        }
        self.wrong_type(node, "a list");
        None
    }

    /// The entries of a list, each read; those with problems are left out.
    pub fn each<'n, T>(&mut self, node: &'n Node, mut read: impl FnMut(&mut Self, &'n Node) -> Option<T>) -> Vec<T> {
        self.list(node).unwrap_or_default().iter().filter_map(|item| read(self, item)).collect()
    }

    /// A single value as text; control characters (of quoted text) are refused, they would never match anything.
    pub fn text<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        match &node.kind {
            Kind::Scalar { text, .. } if !node.is_null() => {
                if let Some(c) = text.chars().find(|c| c.is_control()) {
                    let message = format!("the value holds the control character U+{:04X}", u32::from(c));
                    self.error(Code::BadValue, node.span, message, "write it on one line, without escapes");
                    return None;
                }
                Some(text)
            }
            _ => {
                self.wrong_type(node, "a single value");
                None
            }
        }
    }

    /// A single value of some kind, see [`super::values`].
    pub fn read<T>(&mut self, node: &Node, parse: impl Fn(&str) -> Result<T, Fault>) -> Option<T> {
        let text = self.text(node)?;
        parse(text).map_err(|fault| self.fault(fault, node.span)).ok()
    }

    /// Notes the fault of a value.
    pub fn fault(&mut self, fault: Fault, span: Span) {
        self.error(fault.code, span, fault.message, fault.help);
    }

    /// One of several words.
    pub fn word<T: Copy>(&mut self, node: &Node, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let options: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        self.error(Code::BadValue, node.span, format!("`{text}` is not a value of this key"), suggestion(text, &options));
        None
    }

    /// Checks `version: 1`.
    pub fn version(&mut self, fields: Fields<'_>) {
        let Some(node) = fields.get("version") else {
            return self.error(Code::MissingKey, Span::START, "the key `version` is missing", "begin the file with `version: 1`");
        };
        match self.text(node) {
            Some("1") | None => {}
            Some(other) => {
                let message = format!("version `{other}` is not known to this program");
                self.error(Code::BadVersion, node.span, message, "write `version: 1`");
            }
        }
    }

    /// Checks that a name is new, and notes it.
    pub fn unique<'n>(&mut self, seen: &mut Vec<(&'n str, Span)>, name: &'n str, span: Span) {
        match seen.iter().find(|(other, _)| *other == name) {
            Some((_, first)) => {
                let help = format!("it is first used in line {}", first.line);
                self.error(Code::Duplicate, span, format!("`{name}` is used twice"), help);
            }
            None => seen.push((name, span)),
        }
    }

    /// Checks that a name is one of those given.
    pub fn known(&mut self, name: &str, span: Span, what: &str, options: &[&str]) {
        if !options.contains(&name) {
            self.error(Code::UnknownName, span, format!("no {what} is named `{name}`"), suggestion(name, options));
        }
    }
}

impl<'n> Fields<'n> {
    /// The value of a key of the grammar.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        debug_assert!(self.map.key(key).is_some(), "`{key}` is not in the grammar of a {}", self.map.name);
        #[cfg(test)]
        super::tests::asked(self.map, key);
        self.entries.iter().find(|(k, _)| k.text == key).map(|(_, node)| node)
    }

    /// The value of a key that must be there.
    pub fn required(&self, decoder: &mut Decoder, key: &str) -> Option<&'n Node> {
        debug_assert!(self.map.key(key).is_some_and(|k| k.default == Without::Required), "the grammar says that `{key}` may be absent");
        let node = self.get(key);
        let known = self.map.names();
        // of a misspelt key it has been said already
        let misspelt = |key: &str| self.entries.iter().any(|(k, _)| !known.contains(&&*k.text) && nearest(&k.text, &known) == Some(key));
        if node.is_none() && !misspelt(key) {
            decoder.error(Code::MissingKey, self.span, format!("the key `{key}` is missing here"), format!("add `{key}: ...`"));
        }
        node
    }

    /// The value of a key, read; the default if the key is absent or has a problem.
    pub fn or<T>(&self, decoder: &mut Decoder, key: &str, default: T, parse: impl Fn(&str) -> Result<T, Fault>) -> T {
        self.get(key).and_then(|node| decoder.read(node, parse)).unwrap_or(default)
    }

    /// The value of a key that may be `null`.
    #[must_use]
    pub fn optional(&self, key: &str) -> Option<&'n Node> {
        self.get(key).filter(|node| !matches!(&node.kind, Kind::Scalar { text, .. } if node.is_null() && !text.is_empty()))
    }
}
