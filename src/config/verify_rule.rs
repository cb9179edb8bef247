//! `verify:` of a rule: the scheme of the signature, and where its secrets are. They are read from files and the environment; one that is
//! written in the rules file itself is refused, and its line is never shown.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use super::decode::Decoder;
use super::diagnostics::Code;
use super::grammar::VERIFY;
use super::spanned::{Kind, Node};
use crate::dedup::Verify;
use crate::dedup::signature::{Scheme, Secret};

/// What becomes of a secret that a rule names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// Not looked at: whoever judges does not run the rules. They hold none, and would let nothing pass.
    #[default]
    Unread,
    /// Looked for: where it cannot be read, that is a warning, as `check` may run elsewhere.
    Wished,
    /// Needed: where it cannot be read, the rules are refused.
    Needed,
}

/// Most secrets of one rule: the old and the new one, and what else is being rotated.
const MAX_SECRETS: usize = 8;
/// Largest file with a secret, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// Reads `{ scheme, secret_file | secret_env }`; both may be lists. Where something is wrong, a secret may stand in the wrong place: no line
/// of it is shown.
pub fn verify(d: &mut Decoder, node: &Node) -> Option<Verify> {
    let before = d.problems.len();
    let verify = decode(d, node);
    d.problems.iter_mut().skip(before).for_each(|problem| problem.private = true);
    verify
}

fn decode(d: &mut Decoder, node: &Node) -> Option<Verify> {
    let written = literal(d, node);
    let fields = d.fields_but(node, &VERIFY, &written)?;
    let schemes = Scheme::ALL.map(|scheme| (scheme.as_str(), scheme));
    let scheme = fields.required(d, "scheme").and_then(|n| d.word(n, &schemes));
    let places = ["secret_file", "secret_env"].into_iter().filter_map(|key| Some((fields.get(key)?, key == "secret_file")));
    let named: Vec<(&Node, bool)> = places.flat_map(|(node, file)| one_or_more(node).iter().map(move |item| (item, file))).collect();
    if named.is_empty() && written.is_empty() {
        let help = "add `secret_file: /run/secrets/NAME` or `secret_env: NAME`; a list of them while the secret is rotated";
        d.error(Code::MissingKey, node.span, "it is not said where the secret is", help);
        return None;
    }
    if named.len() > MAX_SECRETS {
        d.error(Code::OutOfRange, node.span, format!("more than {MAX_SECRETS} secrets"), "keep those that senders still sign with");
    }
    let scheme = scheme?;
    let mut secrets = Vec::new();
    let understood = named.into_iter().fold(true, |all, (item, file)| secret(d, item, file, scheme, &mut secrets) && all);
    understood.then_some(Verify { scheme, secrets })
}

/// Keys whose value looks like a secret written in the file.
fn literal<'n>(d: &mut Decoder, node: &'n Node) -> Vec<&'n str> {
    let Kind::Mapping(entries) = &node.kind else { return Vec::new() };
    let meant = |key: &str| ["secret", "token", "key", "password"].iter().any(|word| key.contains(word));
    let written =
        entries.iter().filter(|(key, node)| VERIFY.key(&key.text).is_none() && meant(&key.text) && !node.scalar().is_some_and(is_path));
    let written: Vec<_> = written.map(|(key, _)| key).collect();
    for key in &written {
        let help = "put it into a file of its own and write `secret_file: /run/secrets/NAME`, or `secret_env: NAME`";
        d.error(Code::Secret, key.span, "a secret does not belong in this file", help);
    }
    written.into_iter().map(|key| key.text.as_str()).collect()
}

fn one_or_more(node: &Node) -> &[Node] {
    if matches!(node.kind, Kind::Sequence(_)) { node.items() } else { std::slice::from_ref(node) }
}

/// Reads the secret at one place, unless it may be missing; false where the rule cannot do with what is there. What is no place is taken
/// for the secret itself, and not repeated.
fn secret(d: &mut Decoder, node: &Node, file: bool, scheme: Scheme, secrets: &mut Vec<Secret>) -> bool {
    let Some(place) = d.text(node) else { return false };
    let fits = if file { is_path(place) } else { is_variable(place) };
    if !fits {
        let (message, help) = if file {
            (
                "`secret_file` names a file, by a path that begins with `/` or `./`",
                "such as `/run/secrets/meta-app-secret`; the secret itself stays out of this file",
            )
        } else {
            ("`secret_env` names a variable, in capitals", "such as `META_APP_SECRET`; the secret itself stays out of this file")
        };
        d.error(Code::Secret, node.span, message, help);
        return false;
    }
    if d.secrets == Secrets::Unread {
        return true;
    }
    let text = if file {
        read(Path::new(place))
    } else {
        std::env::var_os(place).map(OsString::into_encoded_bytes).ok_or("is not set".to_owned())
    };
    match text.and_then(|text| Secret::new(scheme, &text).map_err(str::to_owned)) {
        Ok(secret) => secrets.push(secret),
        Err(why) => {
            let what = if file { "file" } else { "variable" };
            let (message, help) = (
                format!("the secret in the {what} `{place}` {why}"),
                "mount or set it, or correct the name; the process must be allowed to read it",
            );
            if d.secrets == Secrets::Wished {
                d.warning(Code::Unreadable, node.span, message, "fine where the rules are only checked; `run` needs it");
            } else {
                d.error(Code::Unreadable, node.span, message, help);
                return false;
            }
        }
    }
    true
}

fn is_path(text: &str) -> bool {
    ["/", "./", "../"].iter().any(|start| text.starts_with(start))
}

fn is_variable(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// A file's bytes; without waiting on what is no file.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let meta = fs::metadata(path).map_err(cannot)?;
    if !meta.is_file() || meta.len() > MAX_BYTES {
        return Err(format!("is no file of at most {} KiB", MAX_BYTES >> 10));
    }
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text)).map_err(cannot)?;
    Ok(text)
}
