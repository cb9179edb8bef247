//! A glob of a `match:` block, compiled.

use globset::{GlobBuilder, GlobMatcher};

/// A compiled glob: `*` within a segment, `**` across segments, `?` one character, `{a,b}` and `[ab]` as usual.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    form: Form,
    /// How much of the text stands before its first special character.
    beginning: usize,
}

/// Most globs say no more than one of these, which costs a comparison instead of an automaton.
#[derive(Clone, Debug)]
enum Form {
    /// `a/b`
    Exact,
    /// `a*`
    Start,
    /// `a/**`
    Under,
    /// `**/a`
    End,
    /// `**`, and `**/`
    All,
    /// Anything else. What stands before the first special character and behind the last one is compared first.
    Glob {
        /// Where the text behind the last special character begins.
        ending: usize,
        glob: Box<GlobMatcher>,
    },
}

/// Characters that mean something else in a glob.
const SPECIAL: [char; 8] = ['*', '?', '[', ']', '{', '}', '\\', ','];

impl Pattern {
    /// Compiles a glob.
    ///
    /// # Errors
    /// What is wrong with it, as one sentence part.
    pub fn new(text: &str) -> Result<Self, String> {
        let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build().map_err(|e| e.kind().to_string())?;
        let beginning = text.find(SPECIAL).unwrap_or(text.len());
        let literal = |part: Option<&str>| part.is_some_and(|part| !part.contains(SPECIAL));
        let form = if beginning == text.len() {
            Form::Exact
        } else if matches!(text, "**" | "**/") {
            Form::All
        } else if literal(text.strip_suffix('*')) {
            Form::Start
        } else if literal(text.strip_suffix("/**")) {
            Form::Under
        } else if literal(text.strip_prefix("**/")) {
            Form::End
        } else {
            let last = text.rfind(SPECIAL).map_or(0, |at| at + 1);
            // the slash behind `**` belongs to it
            let ending = if text[last..].starts_with('/') { last + 1 } else { last };
            Form::Glob { ending, glob: Box::new(glob.compile_matcher()) }
        };
        Ok(Self { text: text.to_owned(), form, beginning })
    }

    /// The glob as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What every text begins with that matches.
    #[must_use]
    pub fn beginning(&self) -> &str {
        &self.text[..self.beginning]
    }

    /// Whether the whole text matches.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        let rest = text.strip_prefix(self.beginning());
        match &self.form {
            Form::Exact => rest == Some(""),
            Form::Start => rest.is_some_and(|rest| !rest.contains('/')),
            Form::Under => rest.is_some(),
            Form::End => text.strip_suffix(&self.text[3..]).is_some_and(|rest| rest.is_empty() || rest.ends_with('/')),
            Form::All => true,
            Form::Glob { ending, glob } => rest.is_some() && text.ends_with(&self.text[*ending..]) && glob.is_match(text),
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_segment() {
        let p = Pattern::new("/a/*").expect("valid");
        assert!(p.is_match("/a/b") && !p.is_match("/a/b/c"));
        let p = Pattern::new("**/login").expect("valid");
        assert!(p.is_match("/login") && p.is_match("/x/y/login") && !p.is_match("/loginx"));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(1_000))]

        /// Each form matches what the automaton of its glob does.
        #[test]
        fn a_form_is_its_glob(glob in "(\\*\\*/|/|a){0,2}[ab/*]{0,3}(\\{a,b\\}|\\[ab\\]|\\?|\\\\a)?[ab/]{0,2}(\\*|/\\*\\*|\\*\\*)?", texts in proptest::collection::vec("[ab/]{0,7}", 40)) {
            let pattern = Pattern::new(&glob).expect("a valid glob");
            let whole = GlobBuilder::new(&glob).literal_separator(true).backslash_escape(true).build().expect("valid").compile_matcher();
            for text in texts {
                proptest::prop_assert_eq!(pattern.is_match(&text), whole.is_match(&text), "{} {} {:?}", &glob, &text, &pattern.form);
                proptest::prop_assert!(!pattern.is_match(&text) || text.starts_with(pattern.beginning()));
            }
        }
    }
}
