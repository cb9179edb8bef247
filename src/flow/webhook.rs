//! Admission of a webhook: claim its events, or learn what became of the copy that did.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::dedup::key::Keys;
use crate::dedup::{Repeats, Settings, WhileFirstRuns};
use crate::store::claims::{Claim, Claimed, Claims, Mode, Wish};

/// What is to be done with a webhook.
#[derive(Debug)]
pub enum Admission {
    /// Forward it; the claim is settled at the head of the function's answer.
    Forward(Claim),
    /// Every event in it was accepted earlier.
    Duplicate {
        /// Time since the latest acceptance.
        age: Duration,
    },
    /// It waited for the copy in flight, which was accepted.
    Joined {
        /// Time since the acceptance.
        age: Duration,
    },
    /// The copy in flight took longer than `wait_timeout`: 503, never 200.
    TimedOut,
    /// Too many copies wait already: 503.
    Crowded,
}

/// An admission, and how long it took.
#[derive(Debug)]
pub struct Admitted {
    /// What to do.
    pub admission: Admission,
    /// Time spent waiting for another copy.
    pub waited: Duration,
    /// Why those of its events came that had been here before, as it was when the request came. A request that met a crowd is not asked.
    pub repeats: Repeats,
}

/// Decides on a webhook with these keys. `idless`: it also holds something without a key, so it is forwarded in any case.
/// Holds claims or waits, never both: a wait begins with nothing held.
pub async fn admit<C: Claims>(claims: &C, clock: &Clock, settings: &Settings, keys: &Keys, idless: bool) -> Admitted {
    let mode = match settings.while_first_runs {
        _ if idless => Mode::Always,
        WhileFirstRuns::Wait => Mode::Wait,
        WhileFirstRuns::Forward => Mode::Forward,
    };
    let began = clock.now();
    let deadline = Instant::now() + settings.wait_timeout;
    let (mut waiting, mut turn, mut repeats) = (false, None, None);
    let admission = loop {
        let wish = Wish { keys, window: settings.window, mode, now: clock.now(), waited: turn.as_ref() };
        match claims.claim(&wish).await {
            Claimed::Owned(claim) => {
                repeats.get_or_insert(claim.repeats());
                break Admission::Forward(claim);
            }
            Claimed::Duplicate { age, .. } if waiting => break Admission::Joined { age },
            Claimed::Duplicate { age, repeats: all } => {
                repeats = Some(all);
                break Admission::Duplicate { age };
            }
            Claimed::Crowded => break Admission::Crowded,
            Claimed::InFlight(waiter) => {
                waiting = true;
                repeats.get_or_insert(waiter.repeats());
                drop(turn.take()); // a turn that was of no use is not held while it waits again
                match timeout_at(deadline, waiter.wait()).await {
                    Ok(brought) => turn = Some(brought),
                    Err(_) => break Admission::TimedOut,
                }
            }
        }
    };
    let waited = if waiting { clock.now().saturating_duration_since(began) } else { Duration::ZERO };
    Admitted { admission, waited, repeats: repeats.unwrap_or_default() }
}
