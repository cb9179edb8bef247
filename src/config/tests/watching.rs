//! A real file in a real folder, edited in every way editors and the kubelet do it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::super::{Live, Watcher};
use crate::clock::Clock;

const ONE: &str = "version: 1\nslow: [{ match: \"**\", after: 1s }]\n";
const TWO: &str = "version: 1\nslow: [{ match: \"**\", after: 2s }]\n";
/// Generous for a busy machine; on an idle one an edit takes 0.3 s.
const LIMIT: Duration = Duration::from_secs(10);

struct Fixture {
    dir: tempfile::TempDir,
    live: Arc<Live>,
    swaps: Receiver<u64>,
    _watcher: Watcher,
}

impl Fixture {
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        prepare(dir.path());
        let file = dir.path().join("rules.yaml");
        let clock = Clock::system();
        let live = Arc::new(Live::start("rules.yaml", &fs::read(&file).expect("prepared"), clock.wall()).expect("good"));
        let (sender, swaps) = channel();
        live.subscribe(move |snapshot| {
            let _ = sender.send(snapshot.generation);
        });
        let watcher = Watcher::start(&file, Arc::clone(&live), clock).expect("a thread");
        Self { dir, live, swaps, _watcher: watcher }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn now_running(&self, text: &str) {
        let generation = self.swaps.recv_timeout(LIMIT).expect("reloaded in time");
        assert_eq!((&*self.live.load().text, self.live.load().generation), (text, generation));
        let numbers = self.live.numbers();
        assert_eq!((numbers.failures, numbers.last_reload_successful, numbers.file_differs), (0, true, false));
    }

    /// Waits, without a swap, until the figures are as wanted.
    fn until(&self, wanted: impl Fn(&Live) -> bool) {
        for _ in 0..400 {
            if wanted(&self.live) {
                return;
            }
            assert!(self.swaps.recv_timeout(Duration::from_millis(25)).is_err(), "nothing may be reloaded here");
        }
        assert!(wanted(&self.live), "{:?}", self.live.numbers());
    }
}

fn plain(dir: &Path) {
    fs::write(dir.join("rules.yaml"), ONE).expect("written");
}

#[test]
fn written_in_place_or_renamed_over() {
    let f = Fixture::new(plain);
    fs::write(f.path("rules.yaml"), TWO).expect("written");
    f.now_running(TWO);
    fs::write(f.path("new"), ONE).expect("written");
    fs::rename(f.path("new"), f.path("rules.yaml")).expect("renamed");
    f.now_running(ONE);
}

#[test]
fn renamed_away_and_written_anew() {
    for gap in [0, 30, 400] {
        let f = Fixture::new(plain);
        fs::rename(f.path("rules.yaml"), f.path("rules.yaml~")).expect("renamed");
        assert!(f.swaps.recv_timeout(Duration::from_millis(gap)).is_err(), "nothing through the gap");
        fs::write(f.path("rules.yaml"), TWO).expect("written");
        f.now_running(TWO);
    }
}

#[test]
fn symlinks_swapped_as_by_the_kubelet() {
    let f = Fixture::new(|dir| {
        for (folder, text) in [("..1", ONE), ("..2", TWO), ("..3", "version: 1\n")] {
            fs::create_dir(dir.join(folder)).expect("a folder");
            fs::write(dir.join(folder).join("rules.yaml"), text).expect("written");
        }
        symlink("..1", dir.join("..data")).expect("a link");
        symlink("..data/rules.yaml", dir.join("rules.yaml")).expect("a link");
    });
    // the last one is a beginning of the text before it: put in place whole, it counts all the same
    for (folder, text) in [("..2", TWO), ("..3", "version: 1\n")] {
        symlink(folder, f.path("..tmp")).expect("a link");
        fs::rename(f.path("..tmp"), f.path("..data")).expect("renamed");
        f.now_running(text);
    }
}

#[test]
fn half_written_gone_and_bad_files_keep_the_rules() {
    let f = Fixture::new(plain);
    for cut in ["", "version: 1\n", "slow: []\n"] {
        fs::write(f.path("rules.yaml"), cut).expect("written");
        f.until(|live| live.numbers().file_differs);
        fs::write(f.path("rules.yaml"), ONE).expect("written");
        f.until(|live| !live.numbers().file_differs);
    }
    fs::remove_file(f.path("rules.yaml")).expect("removed");
    f.until(|live| live.numbers().file_differs);
    assert_eq!(f.live.numbers().failures, 0);

    fs::write(f.path("rules.yaml"), "version: 1\nsloww: []\n").expect("written");
    f.until(|live| live.numbers().failures == 1);
    assert!(!f.live.numbers().last_reload_successful);
    fs::write(f.path("rules.yaml"), ONE).expect("written");
    f.until(|live| live.numbers().last_reload_successful && !live.numbers().file_differs);
    assert_eq!((f.live.numbers().failures, f.live.load().generation), (1, 1));
}
