//! Warm-up through Pingora: the calls of `warm:`, in a service of its own, by connections of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora::http::RequestHeader;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::background::stopped;
use super::exchange::Call;
use super::way::Way;
use super::{Shared, ids};
use crate::flow::warm::{Called, Host, Report};
use crate::telemetry::latency::millis;
use crate::telemetry::report::date;
use crate::upstream::cold::Starts;
use crate::upstream::warm::{Outcome, Step};

/// Calls the functions that the rules want warm.
pub struct Warmer {
    /// What all share.
    pub shared: Arc<Shared>,
    /// The way of the first listener, with connections of its own: those of callers live on other threads.
    pub way: Arc<Way>,
    /// Set once a connection to the upstream was made.
    pub reached: Arc<AtomicBool>,
}

/// How often it is looked whether the functions can be reached.
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[async_trait]
impl BackgroundService for Warmer {
    async fn start(&self, stop: ShutdownWatch) {
        let reached = async {
            while !self.reached.load(Relaxed) {
                sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! { () = self.shared.warm.run(self, reached) => {}, () = stopped(stop) => {} }
    }
}

impl Host for Warmer {
    type Upstream = Arc<Way>;

    fn upstream(&self) -> &Arc<Way> {
        &self.way
    }

    fn call(&self, function: &str, path: &str) -> Call {
        let target = format!("{}{function}{path}", self.way.config.function_prefix);
        let mut head = RequestHeader::build("GET", target.as_bytes(), Some(4)).expect("prefix, name and path were judged with the files");
        let host = self.way.host_override(false).unwrap_or_default();
        let agent = concat!("edge-sidecar/", env!("CARGO_PKG_VERSION"), " (warm-up)").to_owned();
        for (name, value) in [("Host", host), ("User-Agent", agent), ("Accept", "*/*".to_owned()), ("X-Request-Id", ids::new())] {
            head.insert_header(name, value).expect("plain ASCII");
        }
        Call::bodyless(head)
    }

    fn steps(&self) -> (u64, Vec<Arc<Step>>) {
        let snapshot = self.shared.live.load();
        (snapshot.generation, snapshot.rules.warm.clone())
    }

    fn starts(&self) -> &Starts {
        &self.way.starts
    }

    fn may_call(&self) -> bool {
        !self.shared.is_draining()
    }

    fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    fn ended(&self, step: &str, function: &str, outcome: Outcome, took: Duration) {
        self.shared.metrics.warmed(step, function, outcome, took);
    }
}

/// What `GET /warmup` answers.
#[must_use]
pub fn state(shared: &Shared, starts: &Starts) -> Value {
    let (now, wall) = (shared.clock.now(), shared.clock.wall());
    let at = |at: Instant| date(wall - now.saturating_duration_since(at));
    let ms = |time: Duration| json!(millis(time));
    let function = |step: &Step, name: &Arc<str>, called: Option<&Called>| {
        let life = starts.life(name);
        json!({
            "name": **name,
            "success": called.map(|c| c.outcome != Outcome::Failed),
            "cold": called.map(|c| c.outcome == Outcome::Cold),
            "durationMs": called.map(|c| millis(c.took)),
            "error": called.and_then(|c| c.error.clone()),
            "at": called.map(|c| at(c.at)),
            "occasion": called.map(|c| c.occasion.as_str()),
            "lifeAtLeastMs": ms(life.at_least),
            "lifeAtMostMs": life.at_most.map(millis),
            "everyThatHidesMs": step.better_period(life).map(millis),
        })
    };
    let step = |report: &Report| {
        let called: Option<Vec<&Called>> = report.calls.iter().map(|(_, called)| called.as_ref()).collect();
        let failed = called.iter().flatten().find_map(|c| c.error.clone());
        json!({
            "name": *report.step.name,
            "success": called.as_ref().map(|all| all.iter().all(|c| c.outcome != Outcome::Failed)),
            "durationMs": called.as_ref().and_then(|all| all.iter().map(|c| c.took).max()).map(millis),
            "error": failed,
            "functions": report.calls.iter().map(|(name, called)| function(&report.step, name, called.as_ref())).collect::<Vec<_>>(),
        })
    };
    json!({ "started": shared.warm.has_started(), "steps": shared.warm.report().iter().map(step).collect::<Vec<_>>() })
}

/// Runs every step now and answers as [`state`]; `None` where no more calls are made.
pub async fn command(shared: Arc<Shared>, starts: Arc<Starts>) -> Option<Value> {
    (!shared.is_draining() && shared.warm.command().await).then(|| state(&shared, &starts))
}
