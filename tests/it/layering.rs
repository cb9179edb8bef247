//! The direction of the rooms (ARCHITECTURE.md): each may use only those below it, and only `proxy` and `app` name Pingora.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from the lowest up; those on one line do not know each other.
const FLOORS: [&[&str]; 10] = [
    &["clock"],
    &["rules", "dedup", "cache", "upstream"],
    &["engine"],
    &["config", "store"],
    &["telemetry"],
    &["flow", "admin"],
    &["proxy"],
    &["app"],
    &["cli"],
    &["main", "lib"],
];

/// Crates that a room below the given floor does not use.
const CRATES: [(&str, usize); 6] = [("pingora", 6), ("tokio", 3), ("tracing", 3), ("prometheus", 4), ("axum", 5), ("notify", 3)];

fn floor(room: &str) -> usize {
    FLOORS.iter().position(|rooms| rooms.contains(&room)).unwrap_or_else(|| panic!("no floor for the room {room}: add it to FLOORS"))
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn room(path: &Path, src: &Path) -> String {
    let first = path.strip_prefix(src).expect("below src").components().next().expect("a file").as_os_str();
    first.to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The code of a file, without comments, strings' contents left in, unit tests left out.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a readable file");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn words_after<'a>(code: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(mark).flat_map(move |(at, _)| {
        let rest = &code[at + mark.len()..];
        let list = rest.strip_prefix('{').map_or(rest, |r| r.split(';').next().unwrap_or_default());
        let grouped = rest.starts_with('{');
        let name = |t: &'a str| t.trim().split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
        if grouped { list.split(',').map(name).collect::<Vec<_>>() } else { vec![name(rest)] }
    })
}

#[test]
fn rooms_use_only_those_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&src, &mut paths);
    assert!(paths.len() > 40, "the scan has lost the tree");
    let mut wrong = Vec::new();
    for path in &paths {
        let (code, own) = (code(path), room(path, &src));
        for used in words_after(&code, "crate::").filter(|w| FLOORS.iter().any(|f| f.contains(w))) {
            if used != own && floor(used) >= floor(&own) {
                wrong.push(format!("{}: {own} uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_and_the_proxys_crates() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&src, &mut paths);
    let mut wrong = Vec::new();
    for path in &paths {
        let (code, own) = (code(path), room(path, &src));
        for (name, lowest) in CRATES {
            if floor(&own) < lowest && (code.contains(&format!("{name}::")) || code.contains(&format!("use {name}"))) {
                wrong.push(format!("{}: {own} uses {name}", path.display()));
            }
        }
        if own == "cli" && code.contains("pingora::") {
            wrong.push(format!("{}: only proxy and app name Pingora", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
