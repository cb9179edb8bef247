//! The boundary: bytes from outside that are not what they seem. A corpus of raw requests and of hostile answers, each with what may
//! become of it, on every kind of way to a function; behind each, another caller's request, which must not notice anything.
//!
//! The rules are those of RFC 9110 and 9112 and of `hardening`: where the RFCs let a recipient choose, a case says both.

mod advisories;
mod answers;
mod bench;
mod caller;
mod case;
mod grammar;
mod origin;
mod replies;
mod requests;
mod unread;
mod verdict;

use std::io::Write as _;

use tokio::task::JoinSet;

use bench::Sum;

#[tokio::test(flavor = "multi_thread")]
async fn no_bytes_from_outside_desynchronise_harm_or_are_refused_without_need() {
    let mut classes: JoinSet<Sum> = requests::classes().into_iter().map(|(class, cases)| bench::run(class, cases)).collect();
    let mut sum = Sum::default();
    while let Some(one) = classes.join_next().await {
        sum.add(one.expect("no panic"));
    }
    // not by `println!`, which is shown of tests that fail only
    let _ = writeln!(std::io::stderr(), "boundary, requests: {}", sum.line());
    assert!(sum.cases >= 120, "{} cases are too few", sum.cases);
    sum.check();
}
