//! Levels, sampling, a reader that is stuck or gone.

use std::sync::mpsc;

use super::super::record::tests_support::finished;
use super::*;
use crate::clock::Clock;

/// Longer than any machine needs.
const LONG: Duration = Duration::from_secs(30);
const ALL: Log = Log { level: Level::Info, hits_ppm: 1_000_000 };

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that these requests leave.
fn lines(settings: Log, requests: &[Finished<'_>]) -> Vec<String> {
    let sink = Sink::default();
    let log = AccessLog::start(settings, Box::new(sink.clone())).expect("a thread");
    for request in requests {
        log.write(SystemTime::UNIX_EPOCH, request);
    }
    assert!(log.close(LONG));
    let text = String::from_utf8(lock(&sink.0).clone()).expect("ASCII");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn levels_and_the_share_of_hits_decide() {
    let hit = Finished { outcome: Outcome::Hit, ..finished() };
    let slow_hit = Finished { slow_after: Duration::ZERO, ..hit };
    let failed = Finished { status: 502, outcome: Outcome::Failed, ..finished() };
    let count = |level, hits_ppm, requests: &[Finished<'_>]| lines(Log { level, hits_ppm }, requests).len();
    assert_eq!(count(Level::Info, 250_000, &vec![hit; 1000]), 250);
    assert_eq!(count(Level::Info, 0, &[hit, slow_hit, failed]), 2);
    assert_eq!(count(Level::Info, 1_000_000, &[hit, slow_hit, failed, finished()]), 5);
    assert_eq!(count(Level::Warn, 1_000_000, &[hit, slow_hit, failed, finished()]), 2);
    assert_eq!(count(Level::Error, 1_000_000, &[hit, slow_hit, failed, finished()]), 1);
}

/// A reader that tells when it is asked to take something, and takes nothing until it is told to.
struct Stuck(mpsc::Sender<()>, mpsc::Receiver<()>, Sink);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(());
        let _ = self.1.recv();
        self.2.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_reader_costs_lines_and_never_memory_or_time() {
    let ((entered, asked), (release, stuck)) = (mpsc::channel(), mpsc::channel());
    let sink = Sink::default();
    let log = AccessLog::start(ALL, Box::new(Stuck(entered, stuck, sink.clone()))).expect("a thread");
    let wall = Clock::manual().wall();
    log.write(wall, &finished());
    asked.recv_timeout(LONG).expect("it is asked"); // what comes now stays with us
    (1..20_000).for_each(|_| log.write(wall, &finished()));
    assert!(!log.flush(Duration::from_millis(1)));
    let held = lock(&log.shared.state).pending.len();
    assert!((MOST - 1024..MOST + 1024).contains(&held), "{held}");
    let dropped = log.dropped();
    drop(release);
    assert!(log.close(LONG));
    let written = lock(&sink.0).split(|b| *b == b'\n').count() as u64 - 1;
    assert_eq!(written + dropped, 20_000);
    log.write(wall, &finished());
    assert_eq!(log.dropped(), dropped + 1, "after the end, lines are counted as lost");
}

#[test]
fn a_line_is_written_though_nobody_flushes_and_a_broken_pipe_is_counted() {
    struct Told(mpsc::Sender<usize>);
    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.len()).map_err(io::Error::other)?;
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (sender, told) = mpsc::channel();
    let log = AccessLog::start(ALL, Box::new(Told(sender))).expect("a thread");
    log.write(Clock::manual().wall(), &finished());
    assert!(told.recv_timeout(LONG).is_ok_and(|n| n > 100));
    assert!(log.flush(LONG));
    assert_eq!(log.dropped(), 1);
}

#[test]
fn events_are_written_among_the_lines_and_have_a_reserve() {
    let ((entered, asked), (release, stuck)) = (mpsc::channel(), mpsc::channel());
    let sink = Sink::default();
    let log = AccessLog::start(ALL, Box::new(Stuck(entered, stuck, sink.clone()))).expect("a thread");
    let (wall, mut events) = (Clock::manual().wall(), log.events());
    writeln!(events, "first").expect("taken");
    asked.recv_timeout(LONG).expect("it is asked");
    (0..20_000).for_each(|_| log.write(wall, &finished()));
    let dropped = log.dropped();
    assert!(dropped > 0);
    assert_eq!(events.write(b"refused\n").expect("taken"), 8);
    assert_eq!(log.dropped(), dropped, "an event has room where requests have none");
    let too_much = vec![b'x'; RESERVE];
    assert_eq!(events.write(&too_much).expect("said to be taken"), RESERVE);
    assert_eq!(log.dropped(), dropped + 1);
    assert!(!events.flush_within(Duration::from_millis(1)));
    drop(release);
    assert!(events.flush_within(LONG));
    let text = String::from_utf8(lock(&sink.0).clone()).expect("ASCII");
    assert!(text.starts_with("first\n{") && text.ends_with("}\nrefused\n"));
}
