//! The reader of `json:` paths against Deno's own `JSON.parse`: on the same bytes the same ids, or fewer and the body is forwarded.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use edge_sidecar::dedup::key::{KeyHasher, Keys, Scope};
use edge_sidecar::dedup::source::{Field, JsonPath, Place};
use edge_sidecar::dedup::{Delivery, EventKey, IdSource, SkipReason, extract};
use http::HeaderMap;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const BODIES: usize = 20_000;
const SCOPE: Scope<'static> = Scope { upstream: "functions", function: "hook" };

/// Reads one body a line in hex; says `bad`, or the ids of `e[].m[].id` as the hex of their UTF-16 units, each behind a comma.
const ORACLE: &str = r#"
const input = await new Response(Deno.stdin.readable).text();
const own = (value, name) =>
  value !== null && typeof value === "object" && !Array.isArray(value) && Object.hasOwn(value, name) ? value[name] : undefined;
const list = (value) => Array.isArray(value) ? value : [];
const units = (text) =>
  Array.from({ length: text.length }, (_, i) => text.charCodeAt(i).toString(16).padStart(4, "0")).join("");
const answers = input.trimEnd().split("\n").map((line) => {
  const bytes = Uint8Array.from(line.slice(1).match(/../g) ?? [], (pair) => parseInt(pair, 16));
  let document;
  try { document = JSON.parse(new TextDecoder().decode(bytes)); } catch { return "bad"; }
  const ids = list(own(document, "e")).flatMap((entry) => list(own(entry, "m"))).map((item) => own(item, "id"));
  return ids.filter((id) => typeof id === "string" || typeof id === "number").map((id) => "," + units(String(id))).join("");
});
await Deno.stdout.write(new TextEncoder().encode(answers.join("\n") + "\n"));
"#;

fn id() -> impl Strategy<Value = String> {
    let odd = [
        r#""\ud83d\ude00""#,
        r#""\ud800""#,
        r#""\ude00\ud83d""#,
        r#""a\/\u0062""#,
        r#""""#,
        r#"" ""#,
        "12",
        "1.5",
        "1e3",
        "-1",
        "-0",
        "12345678901234567890",
        "1e999",
        "null",
        "true",
        "{}",
        "[1]",
        r#""😀""#,
        r#""\t""#,
        "\"\u{7f}\"",
        "\"\u{fffd}\"",
        "007",
        "nul",
    ];
    prop_oneof![20 => "\"[a-c]{1,2}\"", 4 => prop::sample::select(odd.map(str::to_owned).to_vec())]
}

/// A member of an item: often the id, at times twice, spelt with an escape or beside others.
fn item() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["id", "id", "id", "\\u0069d", "x", "Id", "__proto__"]);
    let object = prop::collection::vec((name, id()), 0..4)
        .prop_map(|members| members.iter().map(|(name, value)| format!("\"{name}\" : {value}")).collect::<Vec<_>>().join(","));
    let plain = id().prop_map(|id| format!("{{\"type\":\"x\",\"id\":{id}}}"));
    prop_oneof![16 => plain, 2 => object.prop_map(|members| format!("{{{members}}}")), 1 => id()]
}

fn list(of: impl Strategy<Value = String> + 'static, name: &'static str) -> impl Strategy<Value = String> {
    let items = prop::collection::vec(of, 0..4).boxed();
    let once = prop_oneof![12 => 1..2_usize, 1 => 0..3_usize];
    let members = once.prop_flat_map(move |times| prop::collection::vec(items.clone(), times));
    members.prop_map(move |lists| {
        let lists: Vec<String> = lists.iter().map(|items| format!("\"{name}\":[{}]", items.join(","))).collect();
        format!("{{{}}}", lists.join(" ,"))
    })
}

/// A body: well-formed in most cases; else torn, or with one byte changed, or behind a byte order mark.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let whole = list(list(item(), "m"), "e").prop_map(String::into_bytes);
    (whole, 0..8_u8, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut body, kind, at, byte)| {
        let at = at.index(body.len());
        match kind {
            0 => body.truncate(at),
            1 | 2 => body[at] = byte,
            3 => drop(body.splice(0..0, *b"\xEF\xBB\xBF")),
            _ => {}
        }
        body
    })
}

fn bodies() -> Vec<Vec<u8>> {
    let (mut runner, strategy) = (TestRunner::deterministic(), body());
    (0..BODIES).map(|_| strategy.new_tree(&mut runner).expect("a body").current()).collect()
}

/// What Deno says of each body.
fn deno(bodies: &[Vec<u8>]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = std::env::var_os("DENO").unwrap_or_else(|| root.join(".tools/deno").into());
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("oracle.js");
    std::fs::write(&script, ORACLE).expect("writable");
    let mut command = Command::new(program);
    command.args(["run", "--quiet", "--no-prompt", "--no-remote", "--no-npm", "--no-config"]).arg(&script).env("DENO_DIR", folder.path());
    let mut child = command.env("DENO_NO_UPDATE_CHECK", "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Deno starts");
    let lines = bodies.iter().fold(String::new(), |text, body| text + "x" + &hex(body) + "\n");
    let mut stdin = child.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let mut said = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut said).expect("text");
    writer.join().expect("no panic").expect("Deno reads all");
    assert!(child.wait().expect("it ends").success());
    said.lines().map(str::to_owned).collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The key of an id that is given as the hex of its UTF-16 units.
fn key(keys: &KeyHasher, units: &str) -> EventKey {
    let units = units.as_bytes().chunks(4).map(|unit| u16::from_str_radix(std::str::from_utf8(unit).expect("hex"), 16).expect("hex"));
    let mut text = Vec::new();
    for unit in char::decode_utf16(units) {
        match unit {
            Ok(char) => text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(lone) => {
                let [high, low] = lone.unpaired_surrogate().to_be_bytes();
                text.extend_from_slice(&[0xE0 | high >> 4, 0x80 | (high & 0xF) << 2 | low >> 6, 0x80 | low & 0x3F]);
            }
        }
    }
    let mut keys = keys.clone();
    keys.part(Some(&text));
    keys.finish()
}

#[test]
fn twenty_thousand_bodies_give_the_ids_that_json_parse_gives_or_fewer_and_are_forwarded() {
    let path: JsonPath = "e[].m[].id".parse().expect("a path");
    let source = IdSource::Field(Field { profile: "custom".into(), place: Place::Json { path, with: Vec::new() } });
    let headers = HeaderMap::new();
    let mut keys = KeyHasher::new(&SCOPE, "custom");
    for part in ["/", "json", "member", "e", "each", "member", "m", "each", "member", "id"] {
        keys.part(Some(part.as_bytes()));
    }
    let bodies = bodies();
    let said = deno(&bodies);
    assert_eq!(said.len(), BODIES);
    let (mut equal, mut fewer, mut none, mut bad) = (0, 0, 0, 0);
    for (body, said) in bodies.iter().zip(&said) {
        let chunk = [Bytes::copy_from_slice(body)];
        let found = extract(&source, &SCOPE, &Delivery { target: "/", headers: &headers, body: &chunk });
        let shown = body.escape_ascii();
        if said == "bad" {
            assert_eq!(found, Err(SkipReason::Unparsable), "{shown}");
            bad += 1;
            continue;
        }
        let ids = Keys::from(said.split(',').skip(1).map(|units| key(&keys, units)).collect::<Vec<_>>());
        match found {
            Ok(found) if found.idless => {
                assert!(found.keys.iter().all(|key| ids.iter().any(|id| id == key)), "{shown}");
                fewer += 1;
            }
            Ok(found) => {
                assert_eq!(found.keys, ids, "{shown}");
                equal += 1;
            }
            Err(reason) => {
                assert_eq!(reason, SkipReason::NoId, "{shown}");
                none += 1;
            }
        }
    }
    assert!(equal > BODIES / 20 && fewer > BODIES / 20 && none > BODIES / 100 && bad > BODIES / 20, "{equal} {fewer} {none} {bad}");
    eprintln!("{BODIES} bodies: {equal} the same ids, {fewer} the same or fewer and forwarded, {none} no id, {bad} refused by both");
}
