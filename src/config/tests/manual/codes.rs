//! For each code: what to do, and a file that has the problem.

use super::super::super::diagnostics::Code;

/// What the manual says of a code, and the file it shows.
pub struct Advice {
    /// What to do.
    pub what_to_do: &'static str,
    /// The broken file.
    pub example: Example,
}

/// A broken file.
pub enum Example {
    /// A `rules.yaml`.
    Rules(&'static str),
    /// A `sidecar.yaml`.
    Sidecar(&'static str),
    /// A `rules.yaml` that is not shown as it is: what is shown, and what is judged.
    Shown(&'static str, Vec<u8>),
    /// No key of this version can have the problem.
    None,
}

use Example::{Rules, Sidecar};

fn rules(what_to_do: &'static str, example: &'static str) -> Advice {
    Advice { what_to_do, example: Rules(example) }
}

fn sidecar(what_to_do: &'static str, example: &'static str) -> Advice {
    Advice { what_to_do, example: Sidecar(example) }
}

/// The advice on a code.
pub fn of(code: Code) -> Advice {
    structure(code).or_else(|| values(code)).unwrap_or_else(|| meaning(code))
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn structure(code: Code) -> Option<Advice> {
    Some(match code {
        Code::Unreadable => rules(
            "Correct the path, or let the process read the file. For a secret: mount the file or set the variable; `check` \
             only warns, because it may run elsewhere.",
            "version: 1\ndedup:\n  include:\n    - name: whatsapp\n      match: { function: \"wa-*\" }\n      id: whatsapp\n\
             \x20     verify: { scheme: meta, secret_file: /nowhere/meta-app-secret }\n",
        ),
        Code::Encoding => Advice {
            what_to_do: "Save the file as UTF-8. A byte order mark at its beginning does no harm.",
            example: Example::Shown("version: 1\nslow: \u{FFFD}(\n", b"version: 1\nslow: \xC3(\n".to_vec()),
        },
        Code::TooLarge => Advice {
            what_to_do: "A file has at most 1 MiB: look for what was pasted into it by mistake.",
            example: Example::Shown("# a file of more than 1 MiB\n", vec![b'#'; (1 << 20) + 1]),
        },
        Code::Empty => rules(
            "A file without settings still says `version: 1`, so that one which was emptied or cut by accident is never \
             taken for \"no rules\".",
            "# nothing but comments\n",
        ),
        Code::Syntax => rules(
            "The structure is broken here or shortly above: an open bracket or quotation mark, a tab, a wrong indentation, \
             or `: ` in text without quotes. What follows is not read until it is mended.",
            "version: 1\ncache:\n  include: [\n    - name: a\n",
        ),
        Code::Documents => rules(
            "A file holds one document: remove the `---` and what follows, or put it into a file of its own.",
            "version: 1\n---\nversion: 1\n",
        ),
        Code::Depth => rules(
            "No setting is that deep: look for brackets that were typed twice.",
            "version: 1\nslow: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
        ),
        Code::Tag => rules(
            "Remove the tag; text that begins with `!` goes in quotes.",
            "version: 1\nslow:\n  - { match: !path \"**\", after: 1s }\n",
        ),
        Code::Anchor => rules(
            "Write the values out where they are used. Anchors hide which rule a value belongs to, and a text with many of \
             them can be made to grow without end.",
            "version: 1\nslow:\n  - match: &all \"**\"\n    after: 1s\n",
        ),
        Code::Alias => rules(
            "A glob that begins with `*` goes in quotes. Aliases are not supported.",
            "version: 1\ncache:\n  exclude:\n    - **/login\n",
        ),
        Code::MergeKey => {
            rules("Write the keys out in each place.", "version: 1\nslow:\n  - { <<: { after: 1s }, match: \"**\", after: 2s }\n")
        }
        Code::OddCharacter => rules(
            "The text was copied from a page or a chat: write the plain character in its place. Inside quotes and comments \
             such characters are allowed.",
            "version: 1\nslow:\n  - match: \u{201C}**\u{201D}\n    after: 1s\n",
        ),
        Code::BadKey => rules("A key is one word.", "version: 1\nslow:\n  - { match: \"**\", after: 1s, [x]: y }\n"),
        Code::DuplicateKey => rules(
            "Remove one of the two: other programs silently take the last.",
            "version: 1\nslow:\n  - match: \"**\"\n    after: 1s\n    after: 2s\n",
        ),
        Code::UnknownKey => rules("Take the name that is offered, or look the key up above.", "version: 1\ncache:\n  includes: []\n"),
        Code::MissingKey => rules("Add the key.", "version: 1\nslow:\n  - { match: \"**\" }\n"),
        Code::EmptyValue => rules("Give it a value, or remove the key: nothing is no value.", "version: 1\ncache:\n"),
        Code::WrongType => rules("Give it what it takes: a single value, a list or a mapping.", "version: 1\nslow: 10s\n"),
        Code::BadVersion => rules("Write `version: 1`. A file for a later version needs a later program.", "version: 2\n"),
        _ => return None,
    })
}

fn values(code: Code) -> Option<Advice> {
    Some(match code {
        Code::BadDuration => rules(
            "A number and a unit, without a space: `250ms`, `30s`, `5m`, `24h`, `7d`, `1m30s`.",
            "version: 1\nslow:\n  - { match: \"**\", after: 5 }\n",
        ),
        Code::BadSize => sidecar(
            "A number and a unit, without a space: `512KiB`, `64MiB`, `1GiB`; `kB`, `MB` and `GB` count in thousands.",
            "version: 1\nmemory: { cache: 32M }\n",
        ),
        Code::BadPercentage => {
            rules("A number from 0 to 100 with its sign: `5%`, `0.5%`.", "version: 1\nhealth: { error_rate: { degraded: 0.05 } }\n")
        }
        Code::BadNumber => rules("A whole number in digits.", "version: 1\nhealth: { min_requests: many }\n"),
        Code::BadBoolean => Advice {
            what_to_do: "`true` or `false`. `yes`, `no`, `on` and `off` mean different things to different programs, and are refused.",
            example: Example::None,
        },
        Code::BadGlob => rules(
            "`*` stays within a segment, `**` goes across, `?` is one character, `{a,b}` and `[ab]` as usual. A path begins \
             with `/` or `**`; a function's name has no `/`.",
            "version: 1\ncache:\n  exclude: [login, { name: a, match: { function: /functions/v1/a } }]\n",
        ),
        Code::BadMethod => rules(
            "In capitals, as it is sent: GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.",
            "version: 1\ncache:\n  exclude: [{ name: a, match: { method: get } }]\n",
        ),
        Code::BadName => rules(
            "A lower-case letter, then at most 39 lower-case letters, digits and `-`: it becomes a label of metrics.",
            "version: 1\ncache:\n  exclude: [{ name: My_Rule, match: \"**/a\" }]\n",
        ),
        Code::BadHeader => rules(
            "The name of a header field, such as `x-tenant`.",
            "version: 1\ncache:\n  exclude: [{ name: a, match: { header: { \"x tenant\": \"*\" } } }]\n",
        ),
        Code::BadAddress => sidecar(
            "An IP address and a port, such as `0.0.0.0:8080` or `[::1]:8080`; no names.",
            "version: 1\nadmin: { address: \"localhost:9901\" }\n",
        ),
        Code::BadUrl => sidecar(
            "`http://` or `https://`, a host and, if need be, a port; no path, no query.",
            "version: 1\nupstreams:\n  - { name: functions, servers: [\"127.0.0.1:9000\"] }\n",
        ),
        Code::BadValue => rules(
            "Take one of the values that are offered.",
            "version: 1\ndedup:\n  include:\n    - { name: a, match: { function: a }, id: whatsap }\n",
        ),
        Code::OutOfRange => rules(
            "Stay within the bounds that are named.",
            "version: 1\ndedup:\n  include:\n    - { name: a, match: { function: a }, id: whatsapp, window: 30d }\n",
        ),
        _ => return None,
    })
}

fn meaning(code: Code) -> Advice {
    match code {
        Code::Secret => rules(
            "Put the secret into a file or an environment variable and name that; in a test write a made-up value. A secret \
             that stood in a file has been seen: replace it.",
            "version: 1\ndedup:\n  include:\n    - name: a\n      match: { function: a }\n      id: stripe\n\
             \x20     verify: { scheme: stripe, secret: whsec_this_would_be_a_secret }\n",
        ),
        Code::Duplicate => rules(
            "Give one of the two another name: names are labels of metrics, fields of the log and lines of `explain`.",
            "version: 1\ncache:\n  include:\n    - { name: a, match: \"/a\", ttl: 1m }\n\
             \x20   - { name: a, match: \"/b\", ttl: 1m }\n",
        ),
        Code::UnknownName => sidecar(
            "Take the name that is offered, or add what is meant.",
            "version: 1\nlisteners:\n  - { name: public, address: \"0.0.0.0:8080\", upstream: function }\n",
        ),
        Code::Unsupported => sidecar(
            "The grammar has it, this version does not do it yet: take what is offered.",
            "version: 1\ndedup: { store: { valkey: { url_env: VALKEY_URL } } }\n",
        ),
        Code::Unreachable => rules(
            "Move the narrower rule up, or remove the one that decides nothing. Only GET and HEAD are cached, and they are \
             never deduplicated.",
            "version: 1\ncache:\n  include:\n    - { name: all, match: \"**\", ttl: 1m }\n\
             \x20   - { name: profile, match: { function: \"profile*\" }, ttl: 5m }\n",
        ),
        Code::Contradiction => rules(
            "A warning. Remove the setting that has no effect, or change the one that takes it away.",
            "version: 1\ndedup:\n  include:\n    - name: a\n      match: { function: a }\n      id: stripe\n\
             \x20     while_first_runs: forward\n      wait_timeout: 10s\n",
        ),
        Code::Risk => sidecar(
            "A warning. Say it more narrowly, unless it is meant: `check --deny-warnings` refuses it in CI.",
            "version: 1\ntrusted_proxies: [\"0.0.0.0/0\"]\n",
        ),
        Code::TestFailed => rules(
            "Correct the rules or the test: `edge-sidecar explain` shows step by step why the request is decided as it is.",
            "version: 1\ncache:\n  include:\n\
             \x20   - { name: profile, match: { function: \"profile*\", method: GET }, ttl: 5m }\ntests:\n\
             \x20 - { request: GET /functions/v1/profil, expect: { cache: profile } }\n",
        ),
        Code::Budget => sidecar(
            "Raise `memory.budget` or the container's limit, or lower the parts: `check` prints the sum.",
            "version: 1\nmemory: { budget: 64MiB }\n",
        ),
        other => panic!("the manual says nothing of {}", other.as_str()),
    }
}
