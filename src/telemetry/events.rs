//! Events of the process (start, reload, drain, health) as JSON lines in the form of the access log: `ts level event message ...`.

use std::fmt::{self, Write as _};

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::log;
use super::report::date;
use crate::clock::Clock;
use crate::config::sidecar::Level;

/// Sends the process's events to the log, from now on. Pingora speaks `log`; its reports of failed requests are left out,
/// as each request has its own line.
///
/// # Errors
/// It was called before in this process.
pub fn start(level: Level, clock: Clock, log: log::Events) -> Result<()> {
    let own = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let filter =
        Targets::new().with_default(LevelFilter::ERROR).with_target("edge_sidecar", own).with_target("pingora_proxy", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().with_writer(move || log.clone()).event_format(Lines(clock));
    tracing_subscriber::registry().with(filter).with(lines).try_init().context("the log cannot start")
}

struct Lines(Clock);

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static> FormatEvent<S, N> for Lines {
    fn format_event(&self, _context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let text = |value: &str| Value::from(value).to_string();
        let name = fields.0.remove("event").unwrap_or_else(|| "process".into());
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        write!(writer, r#"{{"ts":"{}","level":"{level}","event":{name}"#, date(self.0.wall()))?;
        for (name, value) in &fields.0 {
            write!(writer, ",{}:{value}", text(name))?;
        }
        writeln!(writer, "}}")
    }
}

/// The fields of an event, by name.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        // what comes from the `log` crate brings its target and place along
        if !field.name().starts_with("log.") {
            self.0.insert(field.name().to_owned(), value.into());
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.add(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }
}
