//! A secret that somebody wrote into a file is refused wherever it stands, and no form of what is said shows it.

use super::super::spanned::{self, Kind, Node};
use super::super::{FileKind, Judgement, Overrides, diagnostics::Code, judge_rules, judge_sidecar};
use super::host;

const RULES: &str = include_str!("../../../config/rules.yaml");
const SIDECAR: &str = include_str!("../../../config/sidecar.yaml");
/// One of each form; none of them opens anything.
const SECRETS: [&str; 4] = [
    "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.bm90LWEtc2lnbmF0dXJl",
    "sk_live_not0a0real0key0at0all",
    "whsec_bm90LWEtcmVhbC1zZWNyZXQ",
    "EAAGnotArealTokenButLongEnough",
];

/// All that is said of a text: on a terminal, to a program, with and without colour; and the codes.
fn said(kind: FileKind, text: &str) -> (String, Vec<Code>) {
    fn of<T>(judgement: &Judgement<T>) -> (String, Vec<Code>) {
        let json = serde_json::to_string(&judgement.problems).expect("plain data");
        let codes = judgement.problems.iter().map(|p| p.code).collect();
        (json + &judgement.render("f.yaml", false) + &judgement.render("f.yaml", true), codes)
    }
    match kind {
        FileKind::Rules => of(&judge_rules(text.as_bytes())),
        FileKind::Sidecar => of(&judge_sidecar(text.as_bytes(), &Overrides::default(), &host())),
    }
}

/// The places of all single values and keys.
fn scalars(node: &Node, found: &mut Vec<(usize, usize)>) {
    match &node.kind {
        Kind::Scalar { .. } => found.push((node.span.start, node.span.end)),
        Kind::Sequence(items) => items.iter().for_each(|item| scalars(item, found)),
        Kind::Mapping(entries) => {
            for (key, value) in entries {
                found.push((key.span.start, key.span.end));
                scalars(value, found);
            }
        }
        Kind::Refused => {}
    }
}

#[test]
fn a_credential_anywhere_in_a_file_is_refused_and_never_shown() {
    let mut seen = 0;
    for (kind, text) in [(FileKind::Rules, RULES), (FileKind::Sidecar, SIDECAR)] {
        let mut places = Vec::new();
        scalars(&spanned::parse(text).0.expect("shipped"), &mut places);
        for (at, (start, end)) in places.into_iter().enumerate() {
            let secret = SECRETS[at % SECRETS.len()];
            for written in [secret.to_owned(), format!("\"Bearer {secret}\""), format!("*{secret}"), format!("\"{secret}")] {
                let broken = format!("{}{written}{}", &text[..start], &text[end..]);
                let (said, codes) = said(kind, &broken);
                assert!(!said.contains(secret), "{written} in the place of {}: {said}", &text[start..end]);
                assert!(!codes.is_empty(), "{written} in the place of {}", &text[start..end]);
                seen += usize::from(codes.contains(&Code::Secret));
            }
        }
    }
    assert!(seen > 300, "{seen}");
}

#[test]
fn nor_one_in_a_comment_beside_a_mistake() {
    for secret in SECRETS {
        let (said, codes) = said(FileKind::Rules, &format!("version: 1\nsloww: [] # was {secret}\n"));
        assert!(!said.contains(secret) && codes == [Code::UnknownKey], "{said}");
    }
}

#[test]
fn nor_anything_that_stands_for_a_secret_of_verify() {
    let rule = |verify: &str| format!("version: 1\ndedup:\n  include:\n    - {{ name: a, match: \"/a\", id: stripe, verify: {verify} }}\n");
    for verify in [
        "{ scheme: stripe, secret_file: hunter2 }",
        "{ scheme: stripe, secret_env: hunter2 }",
        "{ scheme: stripe, secret: hunter2 }",
        "{ scheme: stripe, token: [hunter2], secret_env: A }",
        "{ scheme: stripe, secret_env: [A, hunter2] }",
        "{ scheme: stripe, secret_file: { value: hunter2 } }",
        "{ sceme: stripe, secret_env: \"hunter2\" }",
        "{ scheme: stripe, secret_env: hunter2",
    ] {
        let (said, codes) = said(FileKind::Rules, &rule(verify));
        assert!(!said.contains("hunter2") && !codes.is_empty(), "{verify}: {said}");
    }
}
