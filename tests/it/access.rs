//! The gate on a real database: recorded first, permitted then, refused when either cannot be.

use std::{sync::atomic::Ordering, task::Poll, time::Duration};

use bailiwick::{
    access::{Live, Refusal, Texts, judge::replay},
    audit::{ClosedBy, Entry, Event},
    config::Policy,
    model::{Cause, Method, PolicyVersion, Verdict},
    store::policy_text::{TextKind, newest_loading, unchecked_text},
};

use crate::support::{
    court::{Court, web},
    eventually,
};

const READ: &str = r#"@id("read") permit (principal, action == Action::"GET", resource in App::"wiki");"#;
const FRESH: &str =
    r#"@id("fresh") permit (principal, action, resource in App::"wiki") when { context.assuranceAge < 300 };"#;

#[tokio::test]
async fn an_answer_is_in_the_log_before_there_is_a_permit() {
    let court = Court::under(READ).await;
    let (alice, request) = (court.caller("alice").await, court.request());
    let permit = court.gate.ask(&alice, request, web(Method::Get, "/docs")).await.unwrap();
    let entries = court.entries(request).await;
    let Event::Decision { action, decision, policy, .. } = &entries[0].event else { panic!("{entries:?}") };
    assert_eq!((action, entries.len()), (permit.action(), 1));
    assert_eq!((decision.verdict, &decision.policies[..]), (Verdict::Allow, &["read".to_owned()][..]));
    assert_eq!(policy, &court.live.state().version);
    assert_eq!(entries[0].caller.as_ref(), Some(permit.caller()));
    assert_eq!(entries[0].recorded_at, permit.receipt().recorded_at());
    assert_eq!(court.gate.counters().allowed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn rules_that_changed_while_no_broker_ran_are_loaded_in_the_place_of_those_before() {
    let court = Court::under(READ).await;
    let before = court.live.state().version;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("10-rules.cedar"), FRESH).unwrap();
    std::fs::write(folder.path().join("entities.json"), "[]").unwrap();
    let settings = Policy { folder: folder.path().to_owned(), entities: folder.path().join("entities.json") };
    for replaced in [Some(before), None] {
        let (pool, log, clock) = (court.db.pool.clone(), court.log.clone(), court.clock.clone());
        let (live, watch) = Live::open(settings.clone(), pool, log, clock).await.unwrap();
        watch.abort();
        let leaf = newest_loading(&court.db.pool).await.unwrap().unwrap();
        let Event::PolicyLoaded { policy, before, .. } = Entry::from_leaf(&leaf).unwrap().event else { panic!() };
        assert_eq!((policy, before), (live.state().version, replaced));
    }
}

#[tokio::test]
async fn a_denial_is_recorded_and_says_why() {
    let court = Court::under(READ).await;
    let (alice, request) = (court.caller("alice").await, court.request());
    let refusal = court.gate.ask(&alice, request, web(Method::Post, "/docs")).await.unwrap_err();
    let Refusal::Denied { decision, .. } = &refusal else { panic!("{refusal}") };
    assert_eq!((decision.cause, refusal.to_string()), (Cause::NoRule, "no rule allows this".to_owned()));
    let entries = court.entries(request).await;
    assert!(
        matches!(&entries[..], [entry] if matches!(&entry.event, Event::Decision { decision: d, .. } if d == decision))
    );
}

#[tokio::test]
async fn an_old_assurance_is_answered_with_step_up_and_both_answers_are_recorded() {
    let court = Court::under(FRESH).await;
    let alice = court.caller("alice").await;
    court.clock.advance(Duration::from_secs(301));
    let request = court.request();
    let refusal = court.gate.ask(&alice, request, web(Method::Delete, "/notes/1")).await.unwrap_err();
    assert!(matches!(refusal, Refusal::StepUp { .. }), "{refusal}");
    let Event::Decision { decision, context, .. } = &court.entries(request).await[0].event else { panic!() };
    assert_eq!((decision.verdict, decision.fresh, context.assurance_age), (Verdict::StepUp, Some(Verdict::Allow), 301));
}

#[tokio::test]
async fn a_permit_that_is_not_used_is_recorded_as_not_forwarded() {
    let court = Court::under(READ).await;
    let alice = court.caller("alice").await;
    let (dropped, unsent) = (court.request(), court.request());
    drop(court.gate.ask(&alice, dropped, web(Method::Get, "/")).await.unwrap());
    let (_, _, pending) = court.gate.ask(&alice, unsent, web(Method::Get, "/")).await.unwrap().spend();
    pending.not_forwarded("the upstream is away");
    for (request, expected) in [(dropped, "dropped"), (unsent, "the upstream is away")] {
        let entry = court.entry(request, |event| matches!(event, Event::NotForwarded { .. })).await;
        assert_eq!(entry.event, Event::NotForwarded { why: expected.to_owned() });
    }
}

#[tokio::test]
async fn a_caller_who_goes_away_while_the_answer_is_recorded_leaves_no_open_end() {
    let court = Court::under(READ).await;
    let (alice, request) = (court.caller("alice").await, court.request());
    let mut asking = Box::pin(court.gate.ask(&alice, request, web(Method::Get, "/")));
    std::future::poll_fn(|context| Poll::Ready(asking.as_mut().poll(context).is_pending())).await;
    drop(asking);
    court.entry(request, |event| matches!(event, Event::NotForwarded { .. })).await;
}

#[tokio::test]
async fn what_was_sent_ends_in_an_outcome() {
    let court = Court::under(READ).await;
    let alice = court.caller("alice").await;
    let (complete, cut) = (court.request(), court.request());
    for request in [complete, cut] {
        let (_, _, mut pending) = court.gate.ask(&alice, request, web(Method::Get, "/")).await.unwrap().spend();
        let meter = pending.meter();
        pending.sent();
        meter.received(3);
        meter.status(200);
        meter.sent(40);
        meter.sent(2);
        court.clock.advance(Duration::from_millis(5));
        if request == complete {
            pending.finish(ClosedBy::Upstream);
        }
    }
    for (request, closed_by) in [(complete, ClosedBy::Upstream), (cut, ClosedBy::Caller)] {
        let entry = court.entry(request, |event| matches!(event, Event::Outcome { .. })).await;
        let expected = Event::Outcome { status: Some(200), received: 3, sent: 42, duration: 5_000, closed_by };
        assert_eq!(entry.event, expected);
    }
}

#[tokio::test]
async fn without_the_database_nothing_is_permitted_and_afterwards_it_is_again() {
    let court = Court::under(READ).await;
    let alice = court.caller("alice").await;
    court.db.cut_off().await;
    let refused = court.gate.ask(&alice, court.request(), web(Method::Get, "/")).await.unwrap_err();
    assert!(matches!(refused, Refusal::Unavailable { .. }), "{refused}");
    // Now for longer than the feed may be silent.
    eventually(async || court.feed.freshness().err()).await;
    let stale = court.gate.ask(&alice, court.request(), web(Method::Get, "/")).await.unwrap_err();
    assert!(matches!(stale, Refusal::Unavailable { why: "the revocation feed is stale", .. }), "{stale}");
    assert_eq!(court.gate.counters().unavailable.load(Ordering::SeqCst), 2);
    court.db.restore().await;
    let _permit = eventually(async || court.gate.ask(&alice, court.request(), web(Method::Get, "/")).await.ok()).await;
}

#[tokio::test]
async fn a_recorded_decision_is_replayed_from_the_database_alone() {
    let court = Court::under(FRESH).await;
    let (alice, request) = (court.caller("alice").await, court.request());
    court.clock.advance(Duration::from_secs(400));
    court.gate.ask(&alice, request, web(Method::Get, "/docs")).await.unwrap_err();
    let entry = court.entries(request).await.remove(0);
    let Event::Decision { decision, policy, .. } = &entry.event else { panic!() };
    assert_eq!(*decision, replay(&entry, texts(&court, policy).await).unwrap());
}

async fn texts(court: &Court, version: &PolicyVersion) -> Texts {
    let mut connection = court.db.pool.acquire().await.unwrap();
    let mut kept = Vec::new();
    for (kind, hash) in [
        (TextKind::Policies, &version.policies),
        (TextKind::Entities, &version.entities),
        (TextKind::Schema, &version.schema),
    ] {
        let hash = hex::decode(hash).unwrap().try_into().unwrap();
        kept.push(unchecked_text(&mut connection, kind, &hash).await.unwrap().unwrap());
    }
    let [policies, entities, schema] = kept.try_into().unwrap();
    Texts { policies, entities, schema }
}

#[tokio::test]
async fn rules_are_swapped_when_their_file_changes_and_that_is_recorded() {
    let court = Court::under(READ).await;
    let alice = court.caller("alice").await;
    let before = court.live.state().version;
    let mut changed = court.live.changed();
    court.rewrite(r#"@id("none") forbid (principal, action, resource);"#);
    changed.changed().await.unwrap();
    let after = court.live.state().version;
    assert_ne!(before, after);
    court.gate.ask(&alice, court.request(), web(Method::Get, "/")).await.unwrap_err();
    assert_eq!(loaded(&court).await, [before.clone(), after.clone()]);
    assert!(texts(&court, &before).await.policies.contains("read"));
    assert!(texts(&court, &after).await.policies.contains("none"));
}

#[tokio::test]
async fn broken_rules_are_rejected_once_and_the_last_good_ones_stay() {
    let court = Court::under(READ).await;
    let alice = court.caller("alice").await;
    let before = court.live.state().version;
    court.rewrite("@id(\"x\")\nforbid (principal, action, resource) when { context.acr == \"mfa\" };");
    let fault = eventually(async || court.live.state().fault).await;
    assert!(fault.errors[0].starts_with("10-rules.cedar:2:"), "{:?}", fault.errors);
    assert_eq!(court.live.state().version, before);
    let _permit = court.gate.ask(&alice, court.request(), web(Method::Get, "/")).await.unwrap();
    assert_eq!(
        eventually(async || kinds(&court, "policy-rejected").await.pop()).await,
        Event::PolicyRejected { errors: fault.errors }
    );
    court.rewrite(READ);
    eventually(async || court.live.state().fault.is_none().then_some(())).await;
    assert_eq!((kinds(&court, "policy-rejected").await.len(), loaded(&court).await), (1, vec![before]));
}

async fn loaded(court: &Court) -> Vec<PolicyVersion> {
    let version = |event| match event {
        Event::PolicyLoaded { policy, .. } => policy,
        other => panic!("{other:?}"),
    };
    kinds(court, "policy-loaded").await.into_iter().map(version).collect()
}

async fn kinds(court: &Court, kind: &str) -> Vec<Event> {
    let leaves: Vec<Vec<u8>> = sqlx::query_scalar("select leaf from entry where kind = $1 order by leaf_index")
        .bind(kind)
        .fetch_all(&court.db.owner)
        .await
        .unwrap();
    leaves.iter().map(|leaf| bailiwick::audit::Entry::from_leaf(leaf).unwrap().event).collect()
}
