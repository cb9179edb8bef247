//! Credentials that somebody wrote into a file: found by their form wherever they stand, refused, and never repeated.

use super::decode::Decoder;
use super::diagnostics::{Code, Span};
use super::spanned::{Kind, Node};

/// How credentials of the usual senders and platforms begin.
const BEGINNINGS: [&str; 16] = [
    "sb_secret_",
    "sbp_",
    "sk_live_",
    "rk_live_",
    "sk_test_",
    "whsec_",
    "ghp_",
    "gho_",
    "github_pat_",
    "xoxb-",
    "xoxp-",
    "shpss_",
    "shpat_",
    "EAA",
    "AKIA",
    "-----BEGIN",
];

/// Whether a character can be part of a credential.
fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '/' | '=')
}

/// Whether a word has the form of a credential that opens something: a JSON Web Token, or one of [`BEGINNINGS`] and enough behind it.
fn is_secret(word: &str) -> bool {
    let token = word.starts_with("eyJ") && word.matches('.').count() == 2 && word.len() > 30;
    let known = BEGINNINGS.iter().find(|start| word.starts_with(*start));
    token || known.is_some_and(|start| word.len() > 20 || *start == "-----BEGIN")
}

/// Where in a word a credential begins: at its beginning, or after what cannot be meant as part of it.
fn beginning(word: &str) -> Option<usize> {
    let after = word.match_indices(['/', '=']).map(|(at, _)| at + 1);
    [0].into_iter().chain(after).find(|at| is_secret(&word[*at..]))
}

/// Whether a text holds a credential.
#[must_use]
pub fn has_secret(text: &str) -> bool {
    text.split(|c| !is_part(c)).any(|word| beginning(word).is_some())
}

/// The text with `...` in the place of each credential.
#[must_use]
pub fn without_secrets(text: &str) -> String {
    let shown = |piece: &str| {
        let word = piece.trim_end_matches(|c| !is_part(c));
        beginning(word).map_or_else(|| piece.to_owned(), |at| format!("{}...{}", &word[..at], &piece[word.len()..]))
    };
    text.split_inclusive(|c| !is_part(c)).map(shown).collect()
}

/// Refuses credentials in the keys and values of a file, unless their line has been refused for one already.
pub fn refuse(d: &mut Decoder, node: &Node) {
    match &node.kind {
        Kind::Scalar { text, .. } => check(d, text, node.span),
        Kind::Sequence(items) => items.iter().for_each(|item| refuse(d, item)),
        Kind::Mapping(entries) => {
            for (key, value) in entries {
                check(d, &key.text, key.span);
                refuse(d, value);
            }
        }
        Kind::Refused => {}
    }
}

fn check(d: &mut Decoder, text: &str, span: Span) {
    let refused = d.problems.iter().any(|p| p.code == Code::Secret && p.line == span.line);
    if has_secret(text) && !refused {
        let help = "name a file or a variable that holds it (`secret_file`, `secret_env`); in a test any made-up value serves as well";
        d.error(Code::Secret, span, "this looks like a real credential", help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_told_by_their_form() {
        let token = format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", "eyJzdWIiOiIxIn0");
        for secret in [token.as_str(), "sk_live_0123456789abcdef", "whsec_0123456789abcdef", "EAAGm0PX4ZCpsBAKZCZA7", "-----BEGIN"] {
            for text in
                [secret.to_owned(), format!("Bearer {secret}"), format!("a=`{secret}`, b"), format!("`**/{secret}`"), format!("a={secret}")]
            {
                assert!(has_secret(&text), "{text}");
                let shown = without_secrets(&text);
                assert!(!shown.contains(secret) && shown.contains("..."), "{shown}");
            }
        }
        for text in [
            "",
            "Bearer x",
            "eyJhbGciOi",
            "whsec_short",
            "sk_live_",
            "EAA",
            "**/profile*",
            "wamid.A",
            "é `x`\u{2026}",
            "/run/secrets/whsec_",
        ] {
            assert!(!has_secret(text) && without_secrets(text) == text, "{text}");
        }
    }
}
