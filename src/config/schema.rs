//! JSON Schema (draft 2020-12) of the two files, from the grammar: editors complete and check by it. It takes every file that
//! [`super::judge`] takes; what can only be told by meaning (names, sums, what never matches) it leaves to `check`.

use serde_json::{Map as Object, Value as Json, json};

use super::grammar::{Default, Form, Key, Map, Needs, RULES, SIDECAR, Value};
use super::judge::FileKind;
use super::spanned::{self, Kind, Node};

impl FileKind {
    /// Name of the schema's file, beside the file it is for.
    #[must_use]
    pub const fn schema_file(self) -> &'static str {
        match self {
            Self::Rules => "rules.schema.json",
            Self::Sidecar => "sidecar.schema.json",
        }
    }

    /// The grammar of the kind.
    #[must_use]
    pub const fn grammar(self) -> &'static Map {
        match self {
            Self::Rules => &RULES,
            Self::Sidecar => &SIDECAR,
        }
    }
}

/// The schema of a kind of files.
#[must_use]
pub fn schema(kind: FileKind) -> Json {
    let mut schemas = Schemas::default();
    let mut root = schemas.object(kind.grammar());
    let head = [("$schema", json!("https://json-schema.org/draft/2020-12/schema")), ("title", json!(kind.grammar().name))];
    root.extend(head.map(|(key, value)| (key.to_owned(), value)));
    root.insert("$defs".to_owned(), Json::Object(schemas.0));
    Json::Object(root)
}

/// The same as text.
#[must_use]
pub fn schema_text(kind: FileKind) -> String {
    format!("{:#}\n", schema(kind))
}

/// Forms and mappings, each once: the schema's `$defs`.
#[derive(std::default::Default)]
struct Schemas(Object<String, Json>);

impl Schemas {
    fn object(&mut self, map: &'static Map) -> Object<String, Json> {
        let properties: Object<String, Json> = map.keys.iter().map(|key| (key.name.to_owned(), self.property(key))).collect();
        let required: Vec<&str> = map.keys.iter().filter(|key| key.default == Default::Required).map(|key| key.name).collect();
        let mut object = Object::new();
        object.insert("type".to_owned(), json!("object"));
        object.insert("description".to_owned(), json!(map.about));
        object.insert("additionalProperties".to_owned(), json!(false));
        object.insert("required".to_owned(), json!(required));
        object.insert("properties".to_owned(), Json::Object(properties));
        let each = |keys: &[&str]| keys.iter().map(|key| json!({ "required": [key] })).collect();
        match map.needs {
            Needs::None => {}
            Needs::Any(keys) => drop(object.insert("anyOf".to_owned(), each(keys))),
            Needs::One(keys) => drop(object.insert("oneOf".to_owned(), each(keys))),
        }
        object
    }

    fn property(&mut self, key: &'static Key) -> Json {
        let mut property = self.value(&key.value);
        let mut about = key.about.to_owned();
        if !key.trap.is_empty() {
            about = format!("{about}\n\nTrap: {}", key.trap);
        }
        match key.default {
            Default::Is(text) => property["default"] = read(text),
            Default::Words(text) => about = format!("{about}\n\nWithout it: {text}."),
            Default::Required => {}
        }
        property["description"] = json!(about);
        property["examples"] = json!([read(key.example)]);
        property
    }

    fn value(&mut self, value: &'static Value) -> Json {
        match value {
            Value::Version => json!({ "const": 1 }),
            Value::Null => json!({ "type": "null" }),
            Value::Text(form) => self.form(form),
            Value::Word(words) => json!({ "enum": words }),
            Value::Whole(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
            Value::Map(map) => {
                let object = self.object(map);
                self.0.insert(id(map.name), Json::Object(object));
                reference(map.name)
            }
            Value::List(item) => json!({ "type": "array", "items": self.value(item) }),
            Value::Filled(item) => json!({ "type": "array", "minItems": 1, "items": self.value(item) }),
            Value::Entries(form, item) => self.entries(form, item, 0),
            Value::FilledEntries(form, item) => self.entries(form, item, 1),
            Value::EntriesOf(names, item) => {
                let properties: Object<String, Json> = names.iter().map(|name| ((*name).to_owned(), self.value(item))).collect();
                json!({ "type": "object", "minProperties": 1, "additionalProperties": false, "properties": properties })
            }
            Value::Any(values) => json!({ "anyOf": values.iter().map(|value| self.value(value)).collect::<Vec<_>>() }),
        }
    }

    fn entries(&mut self, form: &Form, item: &'static Value, least: u8) -> Json {
        let value = self.value(item);
        let mut entries = json!({ "type": "object", "minProperties": least, "additionalProperties": value });
        if !form.pattern.is_empty() {
            entries["propertyNames"] = json!({ "pattern": form.pattern });
        }
        entries
    }

    fn form(&mut self, form: &Form) -> Json {
        let mut schema = json!({ "title": form.name, "type": "string" });
        if !form.also.is_empty() {
            schema["type"] = ["string"].iter().chain(form.also).copied().collect();
        }
        if !form.pattern.is_empty() {
            schema["pattern"] = json!(form.pattern);
        }
        self.0.insert(id(form.name), schema);
        reference(form.name)
    }
}

fn id(name: &str) -> String {
    name.replace(", ", "-").replace(' ', "-")
}

fn reference(name: &str) -> Json {
    json!({ "$ref": format!("#/$defs/{}", id(name)) })
}

/// A value of the grammar's own text.
fn read(text: &str) -> Json {
    let list = spanned::parse(&format!("- {text}")).0.expect("the grammar's own examples are YAML, as a test sees to");
    list.items().first().map_or(Json::Null, json)
}

/// A node as other readers of YAML see it (core schema of YAML 1.2): unquoted numbers, booleans and `null` are no text.
#[must_use]
pub fn json(node: &Node) -> Json {
    match &node.kind {
        Kind::Sequence(items) => items.iter().map(json).collect(),
        Kind::Mapping(entries) => entries.iter().map(|(key, value)| (key.text.clone(), json(value))).collect(),
        Kind::Scalar { text, plain: true } => match text.as_str() {
            _ if node.is_null() => Json::Null,
            "true" | "True" | "TRUE" => Json::Bool(true),
            "false" | "False" | "FALSE" => Json::Bool(false),
            _ => number(text).unwrap_or_else(|| json!(text)),
        },
        Kind::Scalar { text, .. } => json!(text),
        Kind::Refused => Json::Null,
    }
}

fn number(text: &str) -> Option<Json> {
    let whole = text.parse::<i64>().ok().map(Json::from);
    let digits = text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    whole.or_else(|| text.parse::<f64>().ok().filter(|number| digits && number.is_finite()).map(Json::from))
}
