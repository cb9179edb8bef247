//! `purge` of stored answers.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use super::client::DoorArgs;
use super::life::{ended, print, refused};
use crate::store::purge::Manner;

/// What is purged: exactly one.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct What {
    /// The answers of one URL, `https://host/path?query` or `/path?query` for any host
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The answers of every URL that begins so
    #[arg(long, value_name = "URL")]
    pub prefix: Option<String>,
    /// The answers of one function
    #[arg(long, value_name = "NAME")]
    pub function: Option<String>,
    /// The answers of one rule
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,
    /// Every stored answer
    #[arg(long)]
    pub all: bool,
    /// Not an answer, but the memory of one message: its id, as its sender wrote it
    #[arg(long, value_name = "ID")]
    pub message: Option<String>,
}

impl What {
    /// The body of `POST /cache/purge`.
    fn body(&self, manner: Manner) -> Value {
        let named = [("url", &self.url), ("prefix", &self.prefix), ("function", &self.function), ("rule", &self.rule)];
        let named = named.into_iter().filter_map(|(kind, text)| Some((kind.to_owned(), json!(text.as_ref()?))));
        let flags = [("all", self.all), ("dryRun", manner == Manner::Count), ("soft", manner == Manner::Soften)]
            .into_iter()
            .filter(|(_, set)| *set);
        named.chain(flags.map(|(name, _)| (name.to_owned(), json!(true)))).collect::<Map<_, _>>().into()
    }
}

/// `purge`: exit code 0, also where nothing was stored.
#[must_use]
pub fn purge(door: &DoorArgs, what: &What, manner: Manner) -> ExitCode {
    ended(purged(door, what, manner))
}

fn purged(door: &DoorArgs, what: &What, manner: Manner) -> Result<bool> {
    let answer = door.tell("POST", "/cache/purge", Some(&what.body(manner)))?;
    let (200, Some(purged)) = (answer.status, answer.body["purged"].as_u64()) else { return refused(&answer) };
    let answers = if purged == 1 { "answer" } else { "answers" };
    let said = match manner {
        Manner::Count => format!("would purge {purged} stored {answers}"),
        Manner::Remove => format!("purged {purged} stored {answers}"),
        Manner::Soften => format!("{purged} stored {answers} not fresh any more"),
    };
    print(door, &answer, &said)?;
    Ok(true)
}
