//! How a rules file comes into its place, in front of a real process: writers that stall, editors and their traces, files that are none.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use edge_sidecar::clock::Clock;
use tempfile::TempDir;

use crate::support::command::{Process, rename_over};
use crate::support::origin::{Origin, Reply};
use crate::support::until;

const SHIPPED: &str = include_str!("../../config/rules.yaml");

/// Another text for each number.
fn rules(number: usize) -> String {
    format!(
        "version: 1\ncache:\n  include:\n    - {{ name: one, match: {{ function: one }}, ttl: {number}m }}\nslow:\n  - match: \"**\"\n    after: 10s\n"
    )
}

struct Watched {
    folder: TempDir,
    _origin: Origin,
    process: Process,
    generation: f64,
}

impl Watched {
    async fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("rules.yaml"), text).expect("written");
        let origin = Origin::start(|_| Reply::ok("{}")).await;
        let process = Process::start(&origin.url(), &["--rules", &folder.path().join("rules.yaml").display().to_string()]).await;
        Self { folder, _origin: origin, process, generation: 1.0 }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("rules.yaml")
    }

    async fn series(&self, name: &str) -> f64 {
        self.process.series(&format!("edge_sidecar_config_{name}")).await
    }

    async fn is(&self, name: &str, value: f64) -> bool {
        (self.series(name).await - value).abs() < 0.5
    }

    async fn until(&self, name: &str, value: f64) {
        until(&format!("{name} = {value}"), async || self.is(name, value).await.then_some(())).await;
    }

    /// One generation more, and all is well; says how long that took.
    async fn taken(&mut self, how: &str) -> Duration {
        let clock = Clock::system();
        let began = clock.now();
        self.generation += 1.0;
        until(&format!("{how}: a reload"), async || (self.series("generation").await >= self.generation).then_some(())).await;
        let took = clock.now().duration_since(began);
        self.as_it_was(how).await;
        took
    }

    /// No generation more, and all is well.
    async fn as_it_was(&self, how: &str) {
        for (name, value) in [("generation", self.generation), ("file_differs", 0.0), ("last_reload_successful", 1.0)] {
            assert!(self.is(name, value).await, "{how}: {name} is not {value}");
        }
    }
}

/// Writes a text into a file in two steps with a pause between, the file open all the while.
async fn stalling(file: &Path, text: &str, cut: usize, truncate: bool, pause: Duration) {
    let mut open = OpenOptions::new().write(true).truncate(truncate).open(file).expect("open");
    open.write_all(&text.as_bytes()[..cut]).expect("written");
    // a stall is time by its nature
    tokio::time::sleep(pause).await;
    open.write_all(&text.as_bytes()[cut..]).expect("written");
    open.set_len(text.len() as u64).expect("cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_stalls_in_the_middle_brings_one_reload() {
    let block = rules(1);
    let windows = format!("\u{feff}{}", block.replace('\n', "\r\n"));
    let mut tasks = Vec::new();
    for text in [SHIPPED.to_owned(), block, windows] {
        tasks.push(tokio::spawn(async move {
            let mut watched = Watched::start(&text).await;
            // behind a line that could be the last one, before and behind the version, in the middle of a word
            let line = text.match_indices('\n').nth(3).expect("lines").0 + 1;
            let version = text.find("version").expect("a version");
            for (at, cut) in [line, version, version + 10, text.len() / 2, text.len() - 3].into_iter().enumerate() {
                let edited = format!("{text}# {}{at}\n", "edited ".repeat(at));
                let edited = edited.replacen("ttl: ", "ttl: 1", 1);
                for truncate in [true, false] {
                    let next = if truncate { edited.clone() } else { edited.replacen("ttl: 1", "ttl: 2", 1) };
                    stalling(&watched.file(), &next, cut, truncate, Duration::from_millis(700)).await;
                    watched.taken(&format!("cut at {cut}, truncate {truncate}")).await;
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("no panic");
    }
}

/// What editors and tools do when they save; `$N` is the new text in a file elsewhere.
const WAYS: [(&str, &str); 12] = [
    ("cp", "cp $N rules.yaml"),
    ("cat", "cat $N > rules.yaml"),
    ("mv", "cp $N fresh; mv fresh rules.yaml"),
    ("sed -i", "sed -i \"s/ttl: [0-9]*m/$(grep -o 'ttl: [0-9]*m' $N)/\" rules.yaml"),
    ("vim", ": > .rules.yaml.swp; : > 4913; rm 4913; mv rules.yaml rules.yaml~; cat $N > rules.yaml; rm rules.yaml~ .rules.yaml.swp"),
    ("vim, backupcopy=yes", ": > .rules.yaml.swp; cp -p rules.yaml rules.yaml~; cat $N > rules.yaml; rm rules.yaml~ .rules.yaml.swp"),
    (
        "emacs",
        "ln -s user@host.1:2 .#rules.yaml; cp $N '#rules.yaml#'; mv rules.yaml rules.yaml~; cat $N > rules.yaml; rm '#rules.yaml#' .#rules.yaml",
    ),
    ("gedit", "cat $N > .goutputstream-ABC; ln -f rules.yaml rules.yaml~; mv .goutputstream-ABC rules.yaml"),
    ("git checkout", "rm rules.yaml; cat $N > rules.yaml"),
    ("rsync", "cat $N > .rules.yaml.Ab3; chmod 600 .rules.yaml.Ab3; mv .rules.yaml.Ab3 rules.yaml"),
    ("install", "install -m 644 $N rules.yaml"),
    ("tee -a after truncate", "truncate -s 0 rules.yaml; tee -a rules.yaml < $N > /dev/null"),
];

#[tokio::test(flavor = "multi_thread")]
async fn however_an_editor_saves_it_is_one_reload() {
    let elsewhere = tempfile::tempdir().expect("a folder");
    let new = elsewhere.path().join("new");
    let mut watched = Watched::start(&rules(1)).await;
    let mut longest = Duration::ZERO;
    for (at, (way, script)) in WAYS.into_iter().enumerate() {
        fs::write(&new, rules(at + 2)).expect("written");
        let shell = |script: &str| {
            let ended = Command::new("sh").args(["-ec", script]).env("N", &new).current_dir(watched.folder.path()).status();
            assert!(ended.expect("a shell").success(), "{way}");
        };
        shell(script);
        let took = watched.taken(way).await;
        eprintln!("{way}: in force after {took:?}");
        longest = longest.max(took);
        assert_eq!(fs::read_to_string(watched.file()).expect("there"), rules(at + 2), "{way}");

        // the same text again, in the same way: no reload, as the next one is one generation on
        let shell = |script: &str| Command::new("sh").args(["-ec", script]).env("N", &new).current_dir(watched.folder.path()).status();
        assert!(shell(script).expect("a shell").success() && shell("touch rules.yaml").expect("a shell").success(), "{way}");
        watched.until("file_differs", 0.0).await;
        watched.as_it_was(way).await;
    }
    eprintln!("the slowest way: in force after {longest:?}");
    // a machine so busy that a file is away or empty for long enough to be seen so refuses that, and nothing comes of it
    eprintln!("refused meanwhile: {}", watched.series("reloads_total{result=\"failure\"}").await);
    let past = u32::try_from(WAYS.len()).expect("few");
    assert!(watched.is("reloads_total{result=\"success\"}", f64::from(past)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_none_change_nothing_and_a_revert_makes_it_good() {
    let good = rules(1);
    let mut watched = Watched::start(&good).await;
    let level = |pair: &[char]| format!("{}: &{} [{}]\n", pair[1], pair[1], vec![format!("*{}", pair[0]); 10].join(", "));
    let levels: Vec<String> = ('a'..='k').collect::<Vec<_>>().windows(2).map(level).collect();
    // whether it is refused, or waited for as it looks cut
    let files: [(&str, Vec<u8>, bool); 7] = [
        ("empty", Vec::new(), false),
        ("binary", (0..=255).cycle().take(3000).collect(), false),
        ("binary with a version", [b"version: 1\n".as_slice(), &[0, 0xff, 0xfe]].concat(), true),
        ("10 MB", [b"version: 1\n# ".as_slice(), &vec![b'x'; 10 << 20]].concat(), true),
        ("alias bomb", format!("version: 1\na: &a [1]\n{}", levels.concat()).into_bytes(), true),
        ("a key twice", b"version: 1\nslow: []\nslow: []\n".to_vec(), true),
        ("another version", b"version: 2\nslow: []\n".to_vec(), true),
    ];
    let mut failures = 0.0;
    for (name, bytes, refused) in &files {
        fs::write(watched.file(), bytes).expect("written");
        if *refused {
            failures += 1.0;
            watched.until("reloads_total{result=\"failure\"}", failures).await;
            assert!(watched.is("last_reload_successful", 0.0).await, "{name}");
        }
        watched.until("file_differs", 1.0).await;
        assert!(watched.is("generation", 1.0).await, "{name}");
        fs::write(watched.file(), &good).expect("written");
        watched.until("file_differs", 0.0).await;
        watched.until("last_reload_successful", 1.0).await;
        watched.as_it_was(name).await;
    }
    // put in place whole, even an empty one is what somebody meant: refused, not waited for
    rename_over(&watched.file(), "");
    watched.until("reloads_total{result=\"failure\"}", failures + 1.0).await;
    fs::remove_file(watched.file()).expect("removed");
    watched.until("file_differs", 1.0).await;
    fs::create_dir(watched.file()).expect("a folder in its place");
    let told = async || watched.process.lines().iter().any(|l| l.contains("gone or unreadable")).then_some(());
    until("the log tells", told).await;
    fs::remove_dir(watched.file()).expect("removed");
    assert!(watched.is("generation", 1.0).await);
    rename_over(&watched.file(), &rules(2));
    watched.taken("in the end").await;
    assert!(watched.process.metric("memory.rssBytes").await < 112e6, "10 MB left nothing behind");
}
