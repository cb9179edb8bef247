//! The subset of YAML: what is refused, where it is said to be, and that the rest of the file is still read.

use super::super::spanned::{MAX_BYTES, parse};
use super::{good, problems};

#[test]
fn refused_structures_and_their_places() {
    for (text, expected) in [
        ("", vec!["empty-file 1:1"]),
        ("\u{FEFF}", vec!["empty-file 1:1"]),
        ("\u{FEFF}\r\n", vec!["empty-file 1:1"]),
        ("# comment\n", vec!["empty-file 1:1"]),
        ("---\n", vec!["empty-file 1:1"]),
        ("~\n", vec!["empty-file 1:1"]),
        ("version: 1\n---\nversion: 1\n", vec!["several-documents 2:1"]),
        ("version: 1\n...\n---\nslow: []\n", vec!["several-documents 3:1"]),
        ("version: 1\nslow: &a []\n", vec!["anchor 2:7"]),
        ("version: 1\nslow: *a\n", vec!["alias 2:7"]),
        ("version: &v 1\nslow: [*v]\n", vec!["anchor 1:10", "alias 2:8"]),
        ("version: 1\n<<: { slow: [] }\n", vec!["merge-key 2:1"]),
        ("version: 1\n? [a]\n: b\n", vec!["bad-key 2:3"]),
        ("version: 1\n: b\n", vec!["bad-key 2:1"]),
        ("version: 1\nversion: 1\nversion: 1\n", vec!["duplicate-key 2:1", "duplicate-key 3:1"]),
        ("version: 1\n\"version\": 1\n", vec!["duplicate-key 2:1"]),
        ("version: 1\ncache: [\n", vec!["bad-syntax 3:1"]),
        ("version: 1\nslow: \"\n", vec!["bad-syntax 2:7"]),
        ("version: 1\rslow: []\r", vec!["odd-character 1:11"]),
    ] {
        assert_eq!(problems(text), expected, "{text:?}");
    }
}

#[test]
fn good_structures() {
    for text in [
        "---\nversion: 1\n",
        "version: 1\n...\n",
        "\u{FEFF}version: 1\r\n",
        "{version: 1, slow: []}",
        "\"version\": 1",
        "# \u{A0}\u{201C}comment\u{201D}\nversion: 1 # \u{200B}\n",
        "%YAML 1.2\n---\nversion: 1\n",
        "version: 1\nslow: [{ match: { header: { x-name: \"caf\u{E9} \u{201C}x\u{201D}\" } }, after: 1s }]\n",
    ] {
        good(text);
    }
}

#[test]
fn invisible_and_look_alike_characters_have_their_place_and_nothing_follows_from_them() {
    for c in ['\u{A0}', '\u{202F}', '\u{3000}', '\u{200B}', '\u{2060}', '\u{AD}', '\u{201C}', '\u{2019}', '\u{2013}', '\u{7F}', '\u{2028}']
    {
        let text = format!("version: 1\nslow:\n  - match: \"**\"\n    after: {c}1s\n");
        assert_eq!(problems(&text), ["odd-character 4:12"], "U+{:04X}", u32::from(c));
        let text = format!("version: 1\nslow{c}: []\n");
        assert_eq!(problems(&text), ["odd-character 2:5"], "U+{:04X}", u32::from(c));
    }
}

#[test]
fn a_byte_order_mark_in_the_middle_breaks_the_structure_but_is_named_first() {
    assert_eq!(problems("version: 1\nslow: \u{FEFF}[]\n")[0], "odd-character 2:7");
}

#[test]
fn a_file_may_not_be_huge_or_deep() {
    let fits = format!("version: 1\n#{}", "x".repeat(MAX_BYTES - 12));
    assert_eq!(problems(&fits), Vec::<String>::new());
    assert_eq!(problems(fits + "x"), ["too-large 0:0"]);
    assert_eq!(problems(format!("version: {}{}", "[".repeat(33), "]".repeat(33))), ["too-deep 1:41"]);
    assert_eq!(problems(format!("version: {}", "[".repeat(100_000))).len(), 1, "the parser's own limit");
    assert_eq!(problems(b"version: 1\nslow: \xC3("), ["bad-encoding 2:7"]);
    assert_eq!(problems(b"\xFF\xFEv\0e\0"), ["bad-encoding 1:1"]);
}

#[test]
fn places_are_bytes_for_snippets_and_characters_for_people() {
    let (root, problems) = parse("\u{E9}\u{E9}: { x: \"\u{E9}\", y: z }\n");
    assert_eq!(problems, []);
    let root = root.expect("valid");
    let y = root.get("\u{E9}\u{E9}").and_then(|n| n.get("y")).expect("there");
    assert_eq!((y.span.start, y.span.end, y.span.line, y.span.column), (20, 21, 1, 18));
}
