//! `SECURITY.md` states the limits as numbers: the ones that are shipped.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a file of the project")
}

/// `section.key` -> value of every plain value in `config/sidecar.yaml`, which holds the defaults.
fn shipped() -> BTreeMap<String, String> {
    let (mut all, mut section) = (BTreeMap::new(), String::new());
    for line in read("config/sidecar.yaml").lines().filter(|l| !l.starts_with('#')) {
        let line = line.split(" #").next().unwrap_or_default();
        let Some((key, value)) = line.split_once(':') else { continue };
        if value.trim().is_empty() {
            key.trim().clone_into(&mut section);
        } else if key.starts_with(' ') {
            all.insert(format!("{section}.{}", key.trim()), value.trim().to_owned());
        }
    }
    all
}

/// First and second column of the table of limits, where the first is a key.
fn stated() -> BTreeMap<String, String> {
    let text = read("SECURITY.md");
    let rows = text.lines().filter_map(|l| l.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(key, rest)| (key.to_owned(), rest.split(" |").next().unwrap_or_default().to_owned())).collect()
}

#[test]
fn its_limits_are_the_shipped_ones() {
    let (shipped, stated) = (shipped(), stated());
    assert!(shipped["limits.body"] == "8MiB" && shipped["pool.max_in_use"] == "256" && stated.len() > 10, "{shipped:?}\n{stated:?}");
    for (key, value) in &stated {
        if let Some(real) = shipped.get(key) {
            assert_eq!(value, real, "{key}");
        }
    }
    for key in shipped.keys().filter(|k| k.starts_with("limits.") || k.starts_with("memory.")) {
        assert!(stated.contains_key(key), "{key} is not in SECURITY.md");
    }
}
