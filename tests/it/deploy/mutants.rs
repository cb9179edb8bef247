//! Every key of a manifest misspelt once, and every word that means something to Kubernetes.

use serde_json::Value;

/// An object with one misspelling.
pub struct Mutant {
    /// Which of the objects it was.
    pub at: usize,
    /// Where and what.
    pub what: String,
    /// What became of it.
    pub object: Value,
}

/// Keys under which the keys are anybody's: labels and the like, and the files of a ConfigMap.
const FREE_KEYS: [&str; 5] = ["labels", "annotations", "data", "requests", "limits"];
/// What is a copy of something that is judged elsewhere (`sources`): files of a ConfigMap, groups of rules.
const COPIES: [&str; 2] = ["data", "groups"];
/// Keys whose words are anybody's: names that nothing refers to, commands, files, quantities, other namespaces.
const FREE_WORDS: [&str; 13] = [
    "name",
    "image",
    "args",
    "command",
    "value",
    "mountPath",
    "path",
    "sizeLimit",
    "cpu",
    "memory",
    "interval",
    "kubernetes.io/metadata.name",
    "appProtocol",
];

/// One mutant for each key and each word of the objects.
pub fn of(objects: &[Value]) -> Vec<Mutant> {
    let mut found = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        let mut places = Vec::new();
        walk(object, &mut Vec::new(), &mut places);
        for place in places {
            let mut changed = object.clone();
            let what = format!("{} {}", object["kind"], misspell(&mut changed, &place));
            found.push(Mutant { at, what, object: changed });
        }
    }
    found
}

/// A step into a value.
#[derive(Clone)]
enum Step {
    Key(String),
    At(usize),
}

/// Where to misspell, and whether the key itself or the word that is there.
struct Place {
    steps: Vec<Step>,
    key: bool,
}

fn walk(value: &Value, steps: &mut Vec<Step>, places: &mut Vec<Place>) {
    let key = steps.iter().rev().find_map(|s| if let Step::Key(key) = s { Some(key.clone()) } else { None }).unwrap_or_default();
    match value {
        Value::Object(map) => {
            for (name, inner) in map {
                steps.push(Step::Key(name.clone()));
                if !FREE_KEYS.contains(&key.as_str()) {
                    places.push(Place { steps: steps.clone(), key: true });
                }
                if !COPIES.contains(&name.as_str()) && key != "annotations" && key != "labels" {
                    walk(inner, steps, places);
                }
                steps.pop();
            }
        }
        Value::Array(list) => {
            for (at, inner) in list.iter().enumerate() {
                steps.push(Step::At(at));
                walk(inner, steps, places);
                steps.pop();
            }
        }
        Value::String(_) if !FREE_WORDS.contains(&key.as_str()) => places.push(Place { steps: steps.clone(), key: false }),
        _ => {}
    }
}

fn misspell(object: &mut Value, place: &Place) -> String {
    let (last, way) = place.steps.split_last().expect("a place is inside");
    let mut inner = object;
    let mut path = String::new();
    for step in way {
        inner = match step {
            Step::Key(key) => &mut inner[key.as_str()],
            Step::At(at) => &mut inner[*at],
        };
        path.push_str(&shown(step));
    }
    path.push_str(&shown(last));
    match (last, place.key) {
        (Step::Key(key), true) => {
            let map = inner.as_object_mut().expect("a key is in a map");
            let value = map.remove(key).expect("it was there");
            map.insert(format!("{key}x"), value);
            path + " (key)"
        }
        (Step::Key(key), false) => spoil(&mut inner[key.as_str()], &path),
        (Step::At(at), _) => spoil(&mut inner[*at], &path),
    }
}

fn spoil(word: &mut Value, path: &str) -> String {
    let fresh = format!("{}x", word.as_str().expect("a word"));
    *word = Value::String(fresh.clone());
    format!("{path} = {fresh}")
}

fn shown(step: &Step) -> String {
    match step {
        Step::Key(key) => format!("/{key}"),
        Step::At(at) => format!("/{at}"),
    }
}
