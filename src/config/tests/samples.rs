//! Documents made of the grammar's own examples, in which every mapping of the grammar occurs, and what they become by one change.

use serde_json::{Map as Object, Value as Json, json};

use super::super::grammar::{Key, Map, Needs, Value};
use super::super::schema::json as read;
use super::super::{FileKind, Overrides, Problem, judge_rules, judge_sidecar, spanned};

/// A document that is good, with every key that another one does not rule out.
pub fn sample(kind: FileKind) -> Json {
    let mut document = filled(kind.grammar());
    if kind == FileKind::Rules {
        // the same examples of `match` and names serve several places
        document["dedup"]["include"][0]["match"]["method"] = json!("POST");
        document["dedup"]["exclude"][0]["name"] = json!("another");
        for section in ["cache", "dedup"] {
            document[section]["exclude"][0]["match"]["function"] = json!("other");
        }
        let nothing = json!({ "cache": "none", "ttl": "none", "scope": "none", "bypass": "none", "dedup": "none", "skip": "none" });
        document["tests"][0]["expect"] = nothing;
        document["tests"][0]["expect"]["ids"] = json!(0);
        document["tests"][0]["expect"]["slow"] = json!("1s");
    }
    document
}

/// The keys of a kind's sample, each with its place there.
pub fn keys(kind: FileKind) -> Vec<(String, &'static Key)> {
    fn add(map: &'static Map, place: &str, found: &mut Vec<(String, &'static Key)>) {
        for key in of(map) {
            let place = format!("{place}/{}", key.name);
            match mapping(&key.value) {
                Some((inner, step)) => {
                    found.push((place.clone(), key));
                    add(inner, &format!("{place}{step}"), found);
                }
                None => found.push((place, key)),
            }
        }
    }
    let mut found = Vec::new();
    add(kind.grammar(), "", &mut found);
    found
}

fn of(map: &'static Map) -> impl Iterator<Item = &'static Key> {
    map.keys.iter().filter(|key| !matches!(map.needs, Needs::One(keys) if keys[1..].contains(&key.name)))
}

fn filled(map: &'static Map) -> Json {
    let value = |key: &'static Key| match mapping(&key.value) {
        Some((inner, "")) => filled(inner),
        Some((inner, _)) => json!([filled(inner)]),
        None => flow(key.example),
    };
    Json::Object(of(map).map(|key| (key.name.to_owned(), value(key))).collect())
}

/// The mapping that a value may be, or that is in a list of which it is the first; and the way to it.
fn mapping(value: &'static Value) -> Option<(&'static Map, &'static str)> {
    match value {
        Value::Map(map) => Some((map, "")),
        Value::Any(values) => values.iter().find_map(mapping),
        Value::List(item) | Value::Filled(item) => mapping(item).map(|(map, _)| (map, "/0")),
        _ => None,
    }
}

/// A value in the form of YAML that fits on a line.
pub fn flow(text: &str) -> Json {
    let list = spanned::parse(&format!("- {text}")).0.unwrap_or_else(|| panic!("not YAML: {text}"));
    read(&list.items()[0])
}

/// What the judge says of a document, and the ready value as text.
pub fn judged(kind: FileKind, document: &Json) -> (Option<String>, Vec<Problem>) {
    let text = document.to_string();
    if kind == FileKind::Rules {
        let judgement = judge_rules(text.as_bytes());
        (judgement.value.map(|rules| format!("{rules:?}")), judgement.problems)
    } else {
        let judgement = judge_sidecar(text.as_bytes(), &Overrides::default(), &super::host());
        (judgement.value.map(|sidecar| format!("{sidecar:?}")), judgement.problems)
    }
}

/// The places of a document, as JSON pointers, the whole left out.
pub fn places(document: &Json) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |step: String, inner: &Json| {
        found.push(format!("/{step}"));
        found.extend(places(inner).into_iter().map(|place| format!("/{step}{place}")));
    };
    match document {
        Json::Object(entries) => entries.iter().for_each(|(key, inner)| add(key.replace('~', "~0").replace('/', "~1"), inner)),
        Json::Array(items) => items.iter().enumerate().for_each(|(at, inner)| add(at.to_string(), inner)),
        _ => {}
    }
    found
}

/// The document with another value at a place.
pub fn with(document: &Json, place: &str, value: &Json) -> Json {
    let mut changed = document.clone();
    *changed.pointer_mut(place).expect("a place of the document") = value.clone();
    changed
}

/// The document without what is at a place.
pub fn without(document: &Json, place: &str) -> Json {
    let mut changed = document.clone();
    let (parent, last) = place.rsplit_once('/').expect("a pointer");
    match changed.pointer_mut(parent).expect("a place of the document") {
        Json::Object(entries) => drop(entries.remove(last)),
        Json::Array(items) => drop(items.remove(last.parse().expect("a number"))),
        _ => panic!("no place: {place}"),
    }
    changed
}

/// The document with one key more in the mapping at a place; none where there is no mapping.
pub fn with_key(document: &Json, place: &str, key: &str) -> Option<Json> {
    let mut changed = document.clone();
    let entries: &mut Object<String, Json> = changed.pointer_mut(place)?.as_object_mut()?;
    entries.insert(key.to_owned(), json!("x"));
    Some(changed)
}
