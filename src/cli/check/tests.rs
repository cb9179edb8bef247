//! What is printed, and what the exit code follows from.

use super::*;

const NOWHERE: DoorArgs = DoorArgs { socket: None, admin: None, token_file: None, json: false };

const fn options(format: Format) -> Options<'static> {
    Options { format, deny_warnings: false, against: None, door: &NOWHERE }
}

fn run(files: &[(&str, &str)], format: Format) -> (bool, String) {
    let dir = tempfile::tempdir().expect("a folder");
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| dir.path().join(name)).collect();
    for (path, (_, text)) in paths.iter().zip(files) {
        fs::write(path, text).expect("written");
    }
    let mut out = Vec::new();
    let good = check(&paths, &options(format), &mut out, false).expect("a vector takes all");
    (good, String::from_utf8(out).expect("text").replace(&format!("{}/", dir.path().display()), ""))
}

#[test]
fn good_files_are_summed_up() {
    let sidecar = "version: 1\nupstreams: [{ name: functions, servers: [\"http://127.0.0.1:9000\"] }]\n";
    let (good, out) = run(&[("a.yaml", "version: 1\nslow: [{ match: \"**\", after: 1s }]\n"), ("b.yaml", sidecar)], Format::Human);
    assert!(good, "{out}");
    assert!(
        out.starts_with("a.yaml: ok (rules: 0 cache, 0 dedup, 1 slow, 0 exclusions)\nb.yaml: ok (listeners: 1, upstreams: 1)\n"),
        "{out}"
    );
    assert!(out.contains("budget                112.0 MiB"), "{out}");
}

#[test]
fn bad_files_are_explained_and_the_rest_checked() {
    let (good, out) = run(&[("a.yaml", "version: 1\nslo: []\n"), ("b.yaml", "version: 1\n")], Format::Human);
    assert!(!good);
    assert!(out.contains("a.yaml:2:1") && out.contains("a.yaml: 1 error\n") && out.contains("b.yaml: ok"), "{out}");
}

#[test]
fn json_has_one_object_a_file() {
    let (good, out) = run(&[("sidecar.yaml", "version: 1\nslo: []\n"), ("b.yaml", "version: 1\n")], Format::Json);
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert!(!good);
    assert_eq!((&json[0]["kind"], &json[0]["valid"], &json[1]["valid"]), (&"sidecar".into(), &false.into(), &true.into()));
    assert_eq!(json[0]["diagnostics"][0]["line"], 2);
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let mut out = Vec::new();
    assert!(!check(&["/nowhere/rules.yaml".into()], &options(Format::Human), &mut out, false).expect("written"));
    assert!(String::from_utf8_lossy(&out).contains("cannot be read"));
}

#[test]
fn warnings_can_be_denied_and_lines_named_for_github() {
    let dir = tempfile::tempdir().expect("a folder");
    let (old, new) = (dir.path().join("old.yaml"), dir.path().join("new.yaml"));
    let rules = |more: &str| format!("version: 1\ncache:\n  include:\n    - {{ name: a, match: /a, ttl: 1s }}\n{more}");
    fs::write(&old, rules("")).expect("written");
    fs::write(&new, rules("    - { name: b, match: /a, ttl: 1s, scope: public }\n")).expect("written");
    let said = |options: &Options<'_>| {
        let mut out = Vec::new();
        let good = check(std::slice::from_ref(&new), options, &mut out, false).expect("a vector takes all");
        (good, String::from_utf8(out).expect("text").replace(&format!("{}/", dir.path().display()), ""))
    };
    let against = old.display().to_string();
    let (good, out) = said(&Options { against: Some(&against), ..options(Format::Human) });
    assert!(good && out.contains("  cache rule b: added, {name: b, match: /a, ttl: 1s, scope: public}\n  look twice: b gives"), "{out}");
    let (good, out) = said(&Options { deny_warnings: true, ..options(Format::Github) });
    assert!(!good);
    assert!(out.starts_with("::warning file=new.yaml,line=5,col=7,title=unreachable::the rule `b` is never reached"), "{out}");
}
