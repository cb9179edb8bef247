//! Single values, good and bad.

use std::time::Duration;

use proptest::prelude::*;

use super::super::diagnostics::Code;
use super::super::sidecar::Server;
use super::super::values::*;

#[test]
fn durations() {
    for (text, millis) in
        [("30s", 30_000), ("1m30s", 90_000), ("250ms", 250), ("24h", 86_400_000), ("7d", 604_800_000), ("1.5s", 1500), ("0s", 0)]
    {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in [
        "", "5", "0", "5.0", "s", "5x", "5M", "5y", "5w", "5min", "-5s", "+5s", " 5s", "5 s", "5s ", "5s5", "1e3s", "inf", "NaN", "5S",
        "٣s",
    ] {
        assert_eq!(duration(text).map_err(|f| f.code), Err(Code::BadDuration), "{text:?}");
    }
    for text in ["366d", "99999999999999999999d", "18446744073709551615s"] {
        assert!(duration(text).is_err(), "{text}");
    }
    assert_eq!(duration("5").map_err(|f| f.help), Err("did you mean `5s`? A duration carries its unit".to_owned()));
}

#[test]
fn sizes() {
    for (text, bytes) in
        [("64MiB", 64 << 20), ("1KiB", 1024), ("1kB", 1000), ("2MB", 2_000_000), ("1GiB", 1 << 30), ("7B", 7), ("1.5MiB", 3 << 19)]
    {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
    for text in ["", "64", "MiB", "64mib", "64M", "64 MiB", "-1MiB", "64TiB", "1..5MiB", "1e3MiB", "0x10B"] {
        assert_eq!(size(text).map_err(|f| f.code), Err(Code::BadSize), "{text:?}");
    }
    assert_eq!(size("64M").map_err(|f| f.help), Err("did you mean `64MiB`?".to_owned()));
    assert_eq!(size("99999999999GiB").map_err(|f| f.code), Err(Code::OutOfRange));
}

#[test]
fn percentages_numbers_and_booleans() {
    for (text, ppm) in [("5%", 50_000), ("0%", 0), ("100%", 1_000_000), ("0.5%", 5_000), ("12.34%", 123_400), ("0.0001%", 1)] {
        assert_eq!(percentage(text), Ok(ppm), "{text}");
    }
    for text in ["", "5", "%", "101%", "100.1%", "-5%", ".5%", "5.%", "5 %", "0.05", "0.00001%", "99999%"] {
        assert_eq!(percentage(text).map_err(|f| f.code), Err(Code::BadPercentage), "{text:?}");
    }
    assert_eq!((number_in(0, 9)("0"), number_in(0, 9)("9")), (Ok(0), Ok(9)));
    for (text, code) in [
        ("10", Code::OutOfRange),
        ("", Code::BadNumber),
        ("01", Code::BadNumber),
        ("+1", Code::BadNumber),
        ("1_0", Code::BadNumber),
        ("0x1", Code::BadNumber),
        ("1.0", Code::BadNumber),
    ] {
        assert_eq!(number_in(0, 9)(text).map_err(|f| f.code), Err(code), "{text:?}");
    }
    assert_eq!((boolean("true"), boolean("false")), (Ok(true), Ok(false)));
    for (text, help) in
        [("yes", "write `true`"), ("on", "write `true`"), ("y", "write `true`"), ("1", "write `true`"), ("True", "write `true`")]
    {
        assert_eq!(boolean(text).map_err(|f| f.help), Err(help.to_owned()), "{text}");
    }
    for text in ["no", "off", "N", "0", "FALSE", "maybe", ""] {
        assert_eq!(boolean(text).map_err(|f| f.code), Err(Code::BadBoolean), "{text}");
    }
}

#[test]
fn names_methods_and_headers() {
    let longest = format!("a{}", "b".repeat(39));
    for text in ["a", "a1-b", longest.as_str()] {
        assert_eq!(name(text), Ok(text.to_owned()));
    }
    for text in ["", "A", "1a", "-a", "a_b", "a b", "é", &format!("{longest}b")] {
        assert_eq!(name(text).map_err(|f| f.code), Err(Code::BadName), "{text:?}");
    }
    assert_eq!(method("PATCH"), Ok(http::Method::PATCH));
    for text in ["", "get", "CONNECT", "TRACE", "G"] {
        assert_eq!(method(text).map_err(|f| f.code), Err(Code::BadMethod), "{text:?}");
    }
    assert_eq!(header("X-Tenant").map(|h| h.to_string()), Ok("x-tenant".to_owned()));
    assert!(header("x y").is_err() && header("").is_err());
}

#[test]
fn addresses_networks_and_servers() {
    assert!(address("0.0.0.0:8080").is_ok() && address("[::1]:80").is_ok());
    for text in ["", "8080", ":8080", "localhost:80", "0.0.0.0", "0.0.0.0:0", "0.0.0.0:65536", "1.2.3:80"] {
        assert_eq!(address(text).map_err(|f| f.code), Err(Code::BadAddress), "{text:?}");
    }
    let bits = |text: &str| network(text).map(|n| n.bits).map_err(|f| f.code);
    assert_eq!((bits("10.0.0.0/8"), bits("10.0.0.1"), bits("::/0"), bits("::1")), (Ok(8), Ok(32), Ok(0), Ok(128)));
    for text in ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "::/129", "/8", "host/8"] {
        assert_eq!(bits(text), Err(Code::BadAddress), "{text:?}");
    }
    for (text, tls, host, port) in [
        ("http://127.0.0.1:9000", false, "127.0.0.1", 9000),
        ("https://project.example", true, "project.example", 443),
        ("http://project.example/", false, "project.example", 80),
        ("http://[::1]:9000", false, "::1", 9000),
        ("HTTP://Host", false, "Host", 80),
    ] {
        assert_eq!(server(text), Ok(Server { tls, host: host.to_owned(), port }), "{text}");
    }
    for text in [
        "",
        "127.0.0.1:9000",
        "//host",
        "http://",
        "http://:80",
        "http://h:0",
        "http://h:70000",
        "http://h:",
        "http://h/a",
        "http://h?a",
        "http://h:80:80",
    ] {
        assert_eq!(server(text).map_err(|f| f.code), Err(Code::BadUrl), "{text:?}");
    }
    assert_eq!(server("unix:/x").map_err(|f| f.code), Err(Code::Unsupported));
    let secret = server("http://u:hunter2@h").expect_err("refused");
    assert!(secret.code == Code::Secret && !secret.message.contains("hunter2"));
}

#[test]
fn the_nearest_word() {
    let keys = ["function", "path", "method", "ttl"];
    for (word, near) in [
        ("functoin", Some("function")),
        ("methods", Some("method")),
        ("tll", Some("ttl")),
        ("Path", Some("path")),
        ("zebra", None),
        ("", None),
    ] {
        assert_eq!(nearest(word, &keys), near, "{word}");
    }
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused(text in "\\PC{0,30}|[0-9.smhd%KMGiB:/\\[\\]@-]{0,20}") {
        let _ = (duration(&text), size(&text), percentage(&text), number_in(0, 1)(&text), boolean(&text), count(&text));
        let _ = (name(&text), glob(&text), path_glob(&text), method(&text), header(&text), address(&text), network(&text), server(&text));
    }
}
