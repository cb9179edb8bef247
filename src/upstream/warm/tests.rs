use proptest::prelude::*;

use super::*;
use crate::clock::Clock;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn step(name: &str, functions: &[&str]) -> Step {
    Step {
        name: name.into(),
        functions: functions.iter().map(|f| (*f).into()).collect(),
        path: "/health".into(),
        on_start: false,
        every: None,
        after_first: None,
        timeout: secs(5),
    }
}

fn never(_: &str, _: Instant, _: Duration) -> Option<Instant> {
    None
}

fn names(schedule: &mut Schedule, now: Instant) -> Vec<(String, String, &'static str)> {
    let mut all = Vec::new();
    while let Next::Run(step, functions, occasion) = schedule.next(now, never) {
        all.push((step.name.to_string(), functions.join(" "), occasion.as_str()));
    }
    all
}

fn run(name: &str, functions: &str, occasion: &'static str) -> (String, String, &'static str) {
    (name.into(), functions.into(), occasion)
}

#[test]
fn steps_run_in_their_order_on_their_occasions() {
    let start = Clock::manual().now();
    let steps = [
        Arc::new(Step { every: Some(secs(60)), ..step("timed", &["t"]) }),
        Arc::new(Step { on_start: true, every: Some(secs(30)), ..step("core", &["a", "b"]) }),
        Arc::new(Step { after_first: Some("a".into()), ..step("later", &["c"]) }),
        Arc::new(Step { on_start: true, ..step("more", &["d"]) }),
    ];
    let mut schedule = Schedule::default();
    schedule.follow(&steps, start, true);
    assert!(schedule.is_waiting() && !schedule.has_started());
    assert_eq!(names(&mut schedule, start), [run("core", "a b", "start"), run("more", "d", "start")]);
    assert!(schedule.has_started());
    assert_eq!(schedule.next(start, never), Next::Wait(Some(start + secs(30))));
    assert!(!schedule.arrived("d") && schedule.arrived("a") && !schedule.arrived("a") && !schedule.is_waiting());
    assert_eq!(names(&mut schedule, start), [run("later", "c", "preload")]);
    assert_eq!(names(&mut schedule, start + secs(60)), [run("timed", "t", "timer"), run("core", "a b", "timer")]);
    assert_eq!(schedule.next(start + secs(60), never), Next::Wait(Some(start + secs(90))));
    assert_eq!(schedule.all(start).iter().map(|s| &*s.name).collect::<Vec<_>>(), ["timed", "core", "later", "more"]);
}

#[test]
fn a_reload_starts_what_is_new_and_leaves_the_rest_alone() {
    let start = Clock::manual().now();
    let kept = Arc::new(Step { every: Some(secs(60)), after_first: Some("x".into()), ..step("kept", &["t"]) });
    let mut schedule = Schedule::default();
    schedule.follow(&[Arc::clone(&kept)], start, true);
    schedule.arrived("x");
    assert_eq!(names(&mut schedule, start + secs(1)), [run("kept", "t", "preload")]);
    let new = Arc::new(Step { on_start: true, every: Some(secs(60)), ..step("new", &["n"]) });
    schedule.follow(&[new, kept], start + secs(30), false);
    assert!(schedule.has_started() && !schedule.is_waiting(), "no second start, no second first request");
    assert_eq!(names(&mut schedule, start + secs(61)), [run("kept", "t", "timer")]);
    assert_eq!(names(&mut schedule, start + secs(90)), [run("new", "n", "timer")]);
}

#[test]
fn the_foreseen_end_of_a_worker_comes_before_the_timer() {
    let start = Clock::manual().now();
    let steps = [Arc::new(Step { every: Some(secs(60)), ..step("core", &["a", "b"]) })];
    let mut schedule = Schedule::default();
    schedule.follow(&steps, start, true);
    let ends = |f: &str, after: Instant, _| (f == "a" && after < start + secs(20)).then_some(start + secs(20));
    assert_eq!(schedule.next(start, ends), Next::Wait(Some(start + secs(20))));
    assert_eq!(schedule.next(start + secs(20), ends), Next::Run(Arc::clone(&steps[0]), vec!["a".into()], Occasion::Timer));
    assert_eq!(schedule.next(start + secs(20), ends), Next::Wait(Some(start + secs(60))));
}

#[test]
fn a_period_longer_than_a_life_is_told_with_a_better_one() {
    let life = |least, most: Option<u64>| Life { at_least: Duration::from_millis(least), at_most: most.map(Duration::from_millis) };
    let every = |n| Step { every: Some(secs(n)), ..step("core", &["a"]) };
    for (every, life, better) in [
        (every(240), life(29_400, Some(30_500)), Some(secs(29))),
        (every(240), life(0, Some(30_000)), Some(secs(15))),
        (every(240), life(1_400, Some(1_500)), Some(Duration::from_millis(1_400))),
        (every(30), life(29_400, Some(30_500)), None),
        (every(240), life(500_000, None), None),
        (step("none", &["a"]), life(1, Some(2)), None),
    ] {
        assert_eq!(every.better_period(life), better, "{every:?} {life:?}");
    }
}

proptest! {
    /// However late it is looked at: each function is called at least once a period, never twice at one moment, and what is waited for is ahead.
    #[test]
    fn timers_are_kept(periods in prop::collection::vec(1_u64..50, 1..6), gaps in prop::collection::vec(0_u64..20, 1..60)) {
        let start = Clock::manual().now();
        let steps: Vec<_> = periods
            .iter()
            .enumerate()
            .map(|(n, every)| Arc::new(Step { every: Some(secs(*every)), ..step(&format!("s{n}"), &["f", "g"]) }))
            .collect();
        let (mut schedule, mut now, mut last) = (Schedule::default(), start, vec![start; steps.len()]);
        schedule.follow(&steps, now, true);
        for gap in gaps {
            now += secs(gap);
            let mut called = Vec::new();
            let wait = loop {
                match schedule.next(now, never) {
                    Next::Run(step, functions, _) => {
                        prop_assert_eq!(functions.len(), 2);
                        called.push(step.name.to_string());
                    }
                    Next::Wait(until) => break until,
                }
            };
            for (n, (every, last)) in periods.iter().zip(&mut last).enumerate() {
                let due = *last + secs(*every) <= now;
                prop_assert_eq!(called.iter().filter(|c| **c == format!("s{n}")).count(), usize::from(due));
                if due {
                    *last = now;
                }
            }
            prop_assert!(wait.is_some_and(|until| until > now));
        }
    }
}
