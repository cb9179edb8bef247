//! Webhooks with several events, and several events of one message.

use super::{assert_repeat, batch, begin, end, envelope, in_turn, message, sidecar, status, text, verdict, webhook};
use crate::support::origin::{Gate, Origin, Reply};
use crate::support::sidecar::Sidecar;

/// Sends webhooks one after the other and asserts what each is called and whether the function saw it, byte for byte.
async fn assert_course(sidecar: &Sidecar, origin: &Origin, course: &[(String, &str)]) {
    for (step, (body, word)) in course.iter().enumerate() {
        let before = origin.count();
        let answer = sidecar.send(webhook(body.clone())).await;
        assert_eq!(verdict(&answer), (200, *word), "step {step}: {body}");
        if *word == "DUPLICATE" {
            assert_repeat(&answer, "DUPLICATE");
            assert_eq!(origin.count(), before, "step {step}");
        } else {
            assert_eq!(origin.count(), before + 1, "step {step}");
            assert_eq!(origin.seen()[before].message.body, body.as_bytes(), "step {step}");
            assert!(!answer.has("x-duplicate"), "step {step}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_whole_while_any_of_it_is_new() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let course = [
        (batch(&["wamid.a", "wamid.b", "wamid.c"]), "NEW"),
        (batch(&["wamid.c", "wamid.a", "wamid.b"]), "DUPLICATE"),
        (message("wamid.b"), "DUPLICATE"),
        (batch(&["wamid.a", "wamid.d", "wamid.c"]), "PARTIAL"),
        (batch(&["wamid.d", "wamid.a"]), "DUPLICATE"),
        (batch(&["wamid.e", "wamid.e", "wamid.e"]), "NEW"),
        (message("wamid.e"), "DUPLICATE"),
    ];
    assert_course(&sidecar, &origin, &course).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_id_always_reaches_the_function() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let alert = || ("account_update", r#""event":"DISABLED_UPDATE","ban_info":{"state":"DISABLE"}"#.to_owned());
    let messages = |ids: &[&str]| ("messages", format!(r#""messages":[{}]"#, ids.iter().map(|id| text(id)).collect::<Vec<_>>().join(",")));
    let mixed = envelope(&[messages(&["wamid.a"]), alert()]);
    let idless_item = envelope(&[("messages", format!(r#""messages":[{},{{"type":"text"}}]"#, text("wamid.a")))]);
    let with_errors = envelope(&[("messages", format!(r#""messages":[{}],"errors":[{{"code":1}}]"#, text("wamid.a")))]);
    let course = [
        (mixed.clone(), "NEW"),
        (message("wamid.a"), "DUPLICATE"), // the id beside it was taken
        (mixed.clone(), "PARTIAL"),
        (mixed, "PARTIAL"),
        (idless_item, "PARTIAL"),
        (with_errors, "PARTIAL"),
        (envelope(&[alert()]), "SKIPPED; reason=no_id"),
        (envelope(&[alert()]), "SKIPPED; reason=no_id"),
        (message("wamid.a"), "DUPLICATE"),
    ];
    assert_course(&sidecar, &origin, &course).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_becomes_of_one_message_arrives_in_its_order() {
    for order in [["sent", "delivered", "read"], ["read", "delivered", "sent"], ["delivered", "sent", "failed"]] {
        let origin = Origin::start(|_| Reply::ok("{}")).await;
        let sidecar = sidecar(&origin).await;
        let mut course = vec![(message("wamid.a"), "NEW")];
        course.extend(order.map(|word| (status("wamid.a", word), "NEW")));
        course.extend(order.map(|word| (status("wamid.a", word), "DUPLICATE")));
        course.push((status("wamid.b", order[0]), "NEW"));
        assert_course(&sidecar, &origin, &course).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_fails_gives_only_its_new_events_free() {
    let origin = Origin::start(in_turn(vec![Reply::ok("{}"), Reply::new(500, &[], "failed")])).await;
    let sidecar = sidecar(&origin).await;
    assert_course(&sidecar, &origin, &[(message("wamid.old"), "NEW")]).await;
    let failed = sidecar.send(webhook(batch(&["wamid.old", "wamid.new"]))).await;
    assert_eq!(verdict(&failed), (500, "PARTIAL"));
    assert_course(&sidecar, &origin, &[(message("wamid.old"), "DUPLICATE"), (message("wamid.new"), "NEW")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_does_not_wait_for_a_part_in_flight_when_another_is_new() {
    let gate = Gate::new();
    let origin = Origin::start(in_turn(vec![Reply::ok("{}").behind(&gate)])).await;
    let sidecar = sidecar(&origin).await;
    let first = begin(&sidecar, webhook(message("wamid.a")));
    origin.until(1).await;
    assert_course(&sidecar, &origin, &[(batch(&["wamid.a", "wamid.b"]), "PARTIAL")]).await;
    // the function took both: the first copy's call, still under way, is a thing of the past
    assert_course(&sidecar, &origin, &[(message("wamid.a"), "DUPLICATE"), (message("wamid.b"), "DUPLICATE")]).await;
    gate.open();
    assert_eq!(verdict(&end(first).await), (200, "NEW"));
    assert_course(&sidecar, &origin, &[(batch(&["wamid.a", "wamid.b"]), "DUPLICATE")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_function_took_stays_taken_when_another_copy_fails() {
    let gate = Gate::new();
    let origin = Origin::start(in_turn(vec![Reply::new(500, &[], "failed").behind(&gate)])).await;
    let sidecar = sidecar(&origin).await;
    let first = begin(&sidecar, webhook(message("wamid.a")));
    origin.until(1).await;
    assert_course(&sidecar, &origin, &[(batch(&["wamid.a", "wamid.b"]), "PARTIAL")]).await;
    gate.open();
    assert_eq!(end(first).await.status, 500);
    assert_course(&sidecar, &origin, &[(message("wamid.a"), "DUPLICATE")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_old_and_running_events_waits_for_those_that_run() {
    for (taken, word) in [(true, "JOINED"), (false, "PARTIAL")] {
        let gate = Gate::new();
        let second = if taken { Reply::ok("{}") } else { Reply::new(500, &[], "failed") };
        let origin = Origin::start(in_turn(vec![Reply::ok("{}"), second.behind(&gate)])).await;
        let sidecar = sidecar(&origin).await;
        assert_course(&sidecar, &origin, &[(message("wamid.old"), "NEW")]).await;
        let running = begin(&sidecar, webhook(message("wamid.running")));
        origin.until(2).await;
        let both = begin(&sidecar, webhook(batch(&["wamid.old", "wamid.running"])));
        sidecar.until_series("edge_sidecar_dedup_waiting", 1.0).await;
        gate.open();
        end(running).await;
        assert_eq!(verdict(&end(both).await), (200, word));
        assert_eq!(origin.count(), if taken { 2 } else { 3 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_events_in_one_webhook_are_each_remembered() {
    let origin = Origin::start(|_| Reply::ok("{}")).await;
    let sidecar = sidecar(&origin).await;
    let ids: Vec<String> = (0..2_001).map(|n| format!("wamid.{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let course = [
        (batch(&ids[..1_000]), "NEW"),
        (message("wamid.999"), "DUPLICATE"),
        (batch(&ids[..1_001]), "PARTIAL"),
        (batch(&ids[..1_000]), "DUPLICATE"),
        (batch(&ids), "SKIPPED; reason=too_many_ids"),
        (message("wamid.2000"), "NEW"),
    ];
    assert_course(&sidecar, &origin, &course).await;
}
