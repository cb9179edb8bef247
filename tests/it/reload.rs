//! Hot reload with the real watcher: however the file is changed, the new rules come into force, and a bad file changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_sidecar::clock::Clock;
use edge_sidecar::config::status::Outcome;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::{get, send};
use crate::support::command::{Process, rename_over};
use crate::support::configmap;
use crate::support::origin::{Origin, Reply};
use crate::support::sidecar::{Sidecar, in_front_of};
use crate::support::until;

/// Rules that cache one function.
fn caching(function: &str) -> String {
    format!("version: 1\ncache:\n  include:\n    - {{ name: {function}, match: {{ function: {function} }}, ttl: 5m }}\n")
}

const BAD: &str = "version: 1\ncache:\n  include:\n    - { name: one, match: { function: one }, ttl: 5m, scop: public }\nslow: [{ match: \"**\", after: 10 }]\n";

/// A sidecar on a watched rules file.
struct Watched {
    folder: TempDir,
    origin: Origin,
    sidecar: Sidecar,
}

impl Watched {
    /// With a file that `prepare` made in the folder.
    async fn prepared(prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        prepare(folder.path());
        let origin = Origin::start(|_| Reply::ok("{}")).await;
        let sidecar = in_front_of(&origin.url()).watching(folder.path().join("rules.yaml")).start().await;
        Self { folder, origin, sidecar }
    }

    /// With a file that caches the function `one`.
    async fn start() -> Self {
        Self::prepared(|folder| fs::write(folder.join("rules.yaml"), caching("one")).expect("writable")).await
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("rules.yaml")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).expect("writable");
    }

    /// Waits for a generation; how long that took is printed, for those who read it.
    async fn until_generation(&self, generation: u64, way: &str) {
        let clock = Clock::system();
        let began = clock.now();
        until(&format!("{way}: generation {generation}"), async || (self.sidecar.live.load().generation == generation).then_some(())).await;
        eprintln!("{way}: in force after {:?}", clock.now().duration_since(began));
    }

    async fn until_differs(&self, differs: bool) {
        self.sidecar.until_series("edge_sidecar_config_file_differs", f64::from(u8::from(differs))).await;
    }

    /// That this function is cached, and that one not.
    async fn caches(&self, cached: &str, not: &str) {
        assert!(self.sidecar.get(&format!("/{cached}")).await.has("x-cache"), "{cached} is cached");
        assert!(!self.sidecar.get(&format!("/{not}")).await.has("x-cache"), "{not} is not");
    }

    async fn counts(&self, generation: f64, success: f64, failure: f64, good: f64) {
        let expected = [
            ("config_generation", generation),
            ("config_reloads_total{result=\"success\"}", success),
            ("config_reloads_total{result=\"failure\"}", failure),
            ("config_last_reload_successful", good),
        ];
        for (name, value) in expected {
            assert!((self.sidecar.series(&format!("edge_sidecar_{name}")).await - value).abs() < 1e-9, "{name} is not {value}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_written_in_place_or_renamed_over_comes_into_force() {
    let w = Watched::start().await;
    w.caches("one", "two").await;
    w.write(&caching("two"));
    w.until_generation(2, "written in place").await;
    w.caches("two", "one").await;
    rename_over(&w.file(), &caching("three"));
    w.until_generation(3, "renamed over").await;
    w.caches("three", "two").await;
    w.counts(3.0, 2.0, 0.0, 1.0).await;
    w.until_differs(false).await;
    assert_eq!(w.sidecar.metrics().await["cache"].as_object().map(|rules| rules.keys().cloned().collect()), Some(vec!["three".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_is_followed_swap_after_swap() {
    let w = Watched::prepared(|folder| {
        configmap::swap(folder, &caching("one"));
    })
    .await;
    // a watch on the file itself is dead after the first swap
    for (generation, cached, not) in [(2, "two", "one"), (3, "three", "two"), (4, "one", "three")] {
        configmap::swap(w.folder.path(), &caching(cached));
        w.until_generation(generation, "swapped").await;
        w.caches(cached, not).await;
    }
    w.counts(4.0, 3.0, 0.0, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_editor_that_puts_the_file_away_first_is_followed_through_the_gap() {
    let w = Watched::start().await;
    for (generation, gap) in [(2, Some(Duration::ZERO)), (3, Some(Duration::from_millis(30))), (4, None)] {
        let cached = if generation % 2 == 0 { "two" } else { "one" };
        fs::rename(w.file(), w.folder.path().join("rules.yaml~")).expect("renamed");
        match gap {
            // a gap is time by its nature
            Some(gap) => tokio::time::sleep(gap).await,
            None => w.until_differs(true).await,
        }
        assert_eq!(w.sidecar.live.load().generation, generation - 1, "the rules stay through the gap");
        w.write(&caching(cached));
        w.until_generation(generation, &format!("put away, gap {gap:?}")).await;
        w.caches(cached, if generation % 2 == 0 { "one" } else { "two" }).await;
    }
    w.counts(4.0, 3.0, 0.0, 1.0).await;
    w.until_differs(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_until_a_good_one_comes() {
    let w = Watched::start().await;
    w.write(BAD);
    w.sidecar.until_series("edge_sidecar_config_reloads_total{result=\"failure\"}", 1.0).await;
    w.counts(1.0, 0.0, 1.0, 0.0).await;
    w.until_differs(true).await;
    w.caches("one", "two").await;
    assert_eq!(w.sidecar.metrics().await["config"]["lastReload"]["result"], "failure");
    let status = serde_json::to_value(w.sidecar.live.status()).expect("plain data");
    let last = &status["lastReload"];
    assert_eq!((&status["generation"], &last["outcome"]), (&1.into(), &"refused".into()));
    let found: Vec<_> = last["diagnostics"].as_array().expect("a list").iter().map(|d| (d["line"].clone(), d["help"].clone())).collect();
    assert_eq!(found.len(), 2, "every problem at once: {last}");
    assert!(found[0].0 == 4 && found[0].1.as_str().is_some_and(|h| h.contains("`scope`")), "{last}");
    assert_eq!(found[1].0, 5);

    w.write(&caching("two"));
    w.until_generation(2, "mended").await;
    w.caches("two", "one").await;
    w.counts(2.0, 1.0, 1.0, 1.0).await;
    assert_eq!(w.sidecar.metrics().await["config"]["lastReload"]["result"], "success");
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_a_bad_edit_back_makes_things_good_again() {
    let w = Watched::start().await;
    w.write(BAD);
    w.sidecar.until_series("edge_sidecar_config_last_reload_successful", 0.0).await;
    w.write(&caching("one"));
    w.sidecar.until_series("edge_sidecar_config_last_reload_successful", 1.0).await;
    w.until_differs(false).await;
    w.counts(1.0, 0.0, 1.0, 1.0).await;
    let last = w.sidecar.live.status().last_reload.expect("the look that found it mended");
    assert!(last.diagnostics.is_empty() && last.outcome == Outcome::Accepted, "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_half_written_or_gone_is_waited_for_and_not_refused() {
    let w = Watched::start().await;
    let whole = caching("one");
    for part in ["", "version: 1\n", &whole[..whole.len() / 2], &whole[..whole.len() - 1]] {
        w.write(part);
        w.until_differs(true).await;
        w.caches("one", "two").await;
        w.write(&whole);
        w.until_differs(false).await;
    }
    fs::remove_file(w.file()).expect("removed");
    w.until_differs(true).await;
    w.caches("one", "two").await;
    w.counts(1.0, 0.0, 0.0, 1.0).await;
    w.write(&caching("two"));
    w.until_generation(2, "written again").await;
    w.caches("two", "one").await;
    w.counts(2.0, 1.0, 0.0, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_and_carriage_returns_mean_the_same() {
    let text = "version: 1\ncache:\n  include:\n    - name: one\n      match:\n        function: one\n      ttl: 5m\nslow:\n  - match: \"**\"\n    after: 2s\n";
    let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let w = Watched::prepared(|folder| fs::write(folder.join("rules.yaml"), &windows).expect("writable")).await;
    w.caches("one", "two").await;
    let changed = || w.sidecar.live.status().last_reload.map(|r| r.changed);
    rename_over(&w.file(), text);
    w.until_generation(2, "without").await;
    assert_eq!(changed(), Some(vec![]));
    rename_over(&w.file(), &windows);
    w.until_generation(3, "with").await;
    assert_eq!(changed(), Some(vec![]));
    assert_eq!(w.sidecar.get("/one").await.header("x-cache"), "HIT", "and the answer stored before is still found");
    assert!(!w.sidecar.prometheus().await.contains('\r') && !w.sidecar.raw_log().contains("\\r"));
    assert_eq!(w.origin.count(), 2);
    // the mark alone is an empty file
    w.write("\u{feff}");
    w.until_differs(true).await;
    w.counts(3.0, 2.0, 0.0, 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_in_its_log_and_config_what_is_wrong_where() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, token) = (folder.path().join("rules.yaml"), folder.path().join("token"));
    fs::write(&file, caching("one")).expect("writable");
    fs::write(&token, "t").expect("writable");
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let path = |p: &Path| p.display().to_string();
    let process = Process::start(&origin.url(), &["--rules", &path(&file), "--token-file", &path(&token)]).await;
    fs::write(&file, BAD).expect("writable");
    let find = |word: &str| process.lines().into_iter().find(|l| l.contains(r#""event":"reload""#) && l.contains(word));
    let line = until("the refusal in the log", async || find("refused")).await;
    let line: Value = serde_json::from_str(&line).expect("a JSON line");
    let message = line["message"].as_str().expect("a text");
    for part in [&format!("{}:4:", file.display()), &format!("{}:5:", file.display()), "scop", "did you mean `scope`?", "^"] {
        assert!(message.contains(part), "no {part} in {message}");
    }
    assert_eq!((&line["level"], &line["problems"]), (&"warn".into(), &2.into()));
    let config = || get("/config").header("authorization", "Bearer t").header("connection", "close");
    let body = send(process.admin, &config()).await.json();
    assert_eq!(
        (&body["lastReload"]["outcome"], &body["fileDiffers"], &body["text"]),
        (&"refused".into(), &true.into(), &caching("one").into())
    );
    assert_eq!(body["lastReload"]["diagnostics"][0]["line"], 4);
    rename_over(&file, &caching("two"));
    let line: Value = serde_json::from_str(&until("the reload in the log", async || find("reloaded")).await).expect("a JSON line");
    assert_eq!((&line["generation"], &line["changed"]), (&2.into(), &"one two".into()));
    assert_eq!(send(process.admin, &config()).await.json()["lastReload"]["outcome"], "accepted");
    assert!(send(process.address, &get("/two")).await.has("x-cache"));
}
