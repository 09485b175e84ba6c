//! From the provider's answer to a whole login and to its end: each step in the log, each change with its entry.

use std::time::Duration;

use bailiwick::{
    audit::{Event, SignInStep},
    identity::{Denial, IdentityFault, NotPresented},
    model::{Action, AssuranceLevel, CeremonyId, PortalAction, SystemEntropy},
};
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::support::{
    bench::{Bench, visit},
    rows::{HOME, limits},
};

fn sign_ins(events: &[Event]) -> Vec<(SignInStep, bool)> {
    let step = |event: &Event| match event {
        Event::SignIn { step, fault, .. } => Some((*step, fault.is_none())),
        _ => None,
    };
    events.iter().filter_map(step).collect()
}

#[tokio::test]
async fn a_providers_answer_makes_half_a_login_once() {
    let bench = Bench::new().await;
    let (ceremony, answer) = bench.begin("alice").await;
    let half = bench.logins.finish(ceremony, &answer, &visit()).await.unwrap();
    assert_eq!(half.person.enrolled_at, None);
    let caller = bench.caller(half.login).await;
    assert_eq!((caller.identity.subject.as_str(), caller.assurance.level), ("alice", AssuranceLevel::Provider));
    assert_eq!(caller.groups, ["staff"]);

    let again = bench.logins.finish(ceremony, &answer, &visit()).await;
    assert!(matches!(again, Err(IdentityFault::Denied(Denial::NoCeremony))));
    let steps = sign_ins(&bench.events().await);
    assert_eq!(steps, [(SignInStep::Begun, true), (SignInStep::Provider, true), (SignInStep::Provider, false)]);

    let (second, _) = bench.half("alice").await;
    assert_eq!(second.person.id, half.person.id, "one person for one (issuer, subject)");
    assert_ne!(second.login, half.login);
}

#[tokio::test]
async fn a_ceremony_is_for_its_own_browser_and_five_minutes() {
    let bench = Bench::new().await;
    let (_, answer) = bench.begin("alice").await;
    let made_up = CeremonyId::random(&SystemEntropy);
    assert!(bench.logins.finish(made_up, &answer, &visit()).await.is_err());

    let (ceremony, answer) = bench.begin("alice").await;
    let (other, _) = bench.begin("bob").await;
    let swapped = bench.logins.finish(other, &answer, &visit()).await;
    assert!(matches!(swapped, Err(IdentityFault::Denied(Denial::State))), "{swapped:?}");

    bench.clock.advance(Duration::from_secs(5 * 60));
    let late = bench.logins.finish(ceremony, &answer, &visit()).await;
    assert!(matches!(late, Err(IdentityFault::Denied(Denial::NoCeremony))), "{late:?}");
}

#[tokio::test]
async fn half_a_login_may_do_nothing_but_enrol() {
    let bench = Bench::new().await;
    let (_, caller) = bench.half("alice").await;
    for action in [PortalAction::Home, PortalAction::ReadAudit { search: None }, PortalAction::AuthorizeCommandLine] {
        assert!(bench.may(&caller, Action::Portal(action)).await.is_none());
    }
    assert!(bench.may_enrol(&caller).await.is_none(), "not uninvited");
    bench.invite(&caller).await;
    assert!(bench.may_enrol(&caller).await.is_some());
}

#[tokio::test]
async fn a_login_that_ended_stays_ended_and_takes_everything_along() {
    let bench = Bench::new().await;
    let (caller, _) = bench.whole("alice").await;
    let session = tower_sessions::Session::new(None, bench.sessions.clone(), None);
    session.insert(bailiwick::identity::session::LOGIN, caller.login).await.unwrap();
    session.save().await.unwrap();

    let permit = bench.may(&caller, Action::Portal(PortalAction::AuthorizeCommandLine)).await.unwrap();
    let verifier = "v".repeat(43);
    let code = bench.command_lines.authorize(permit, &challenge(&verifier)).await.unwrap();
    let token = bench.command_lines.exchange(&code, &verifier, &visit()).await.unwrap();
    assert_eq!(bench.callers.from_token(token.secret.expose_secret(), HOME).await.unwrap().login, caller.login);

    let visit = visit();
    assert!(bench.logins.end(caller.login, Some((&caller, visit.request)), "test").await.unwrap());
    assert!(!bench.logins.end(caller.login, None, "again").await.unwrap());
    let ended: Vec<Event> = bench.events().await;
    let ended = ended.iter().filter(|event| matches!(event, Event::LoginEnded { .. })).count();
    assert_eq!(ended, 1, "one entry for one end");

    let refused = bench.callers.from_token(token.secret.expose_secret(), HOME).await;
    assert!(matches!(refused, Err(NotPresented::Ended)));
    let id = session.id().unwrap();
    let session = tower_sessions::Session::new(Some(id), bench.sessions.clone(), None);
    assert!(matches!(bench.callers.from_session(&session, HOME).await, Err(NotPresented::Nothing)));
    let (revoked,): (i64,) = sqlx::query_as("select count(*) from revocation where kind = 'login' and target = $1")
        .bind(caller.login.uuid())
        .fetch_one(&bench.db.owner)
        .await
        .unwrap();
    assert_eq!(revoked, 1);
}

#[tokio::test]
async fn the_owner_that_the_rules_saw_must_be_the_owner() {
    let bench = Bench::new().await;
    let (alice, _) = bench.whole("alice").await;
    let (bob, _) = bench.whole("bob").await;
    let end = |owner| Action::Portal(PortalAction::EndSession { login: bob.login, owner });
    let permit = bench.may(&alice, end(alice.identity.clone())).await.unwrap();
    assert!(matches!(bench.logins.end_permitted(permit).await, Err(IdentityFault::Denied(Denial::NotPermitted))));
    let permit = bench.may(&alice, Action::Portal(PortalAction::Home)).await.unwrap();
    assert!(matches!(bench.logins.end_permitted(permit).await, Err(IdentityFault::Denied(Denial::NotPermitted))));
    let permit = bench.may(&alice, end(bob.identity.clone())).await.unwrap();
    assert!(bench.logins.end_permitted(permit).await.unwrap());
}

#[tokio::test]
async fn signing_out_ends_the_login_and_says_so() {
    let bench = Bench::new().await;
    let (caller, _) = bench.whole("alice").await;
    let back = url::Url::parse("http://auth.demo.localhost:8080/").unwrap();
    let out = bench.logins.sign_out(&caller, Some("t"), &back, &visit()).await.unwrap();
    assert_eq!(out, None, "this provider has no place for it");
    let events = bench.events().await;
    assert_eq!(sign_ins(&events).last(), Some(&(SignInStep::SignOut, true)));
    assert_eq!(bench.logins.live(None).await.unwrap().len(), 0);
}

#[tokio::test]
async fn logins_that_live_are_listed_until_they_are_idle() {
    let bench = Bench::new().await;
    let (alice, _) = bench.whole("alice").await;
    bench.half("bob").await;
    assert_eq!(bench.logins.live(None).await.unwrap().len(), 2);
    assert_eq!(bench.logins.live(Some(alice.person)).await.unwrap().len(), 1);
    bench.clock.advance(limits().idle);
    assert_eq!(bench.logins.live(None).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_command_line_code_counts_once_for_whoever_has_the_verifier() {
    let bench = Bench::new().await;
    let (caller, _) = bench.whole("alice").await;
    let (good, bad) = ("g".repeat(43), "b".repeat(43));
    let code = || async {
        let permit = bench.may(&caller, Action::Portal(PortalAction::AuthorizeCommandLine)).await.unwrap();
        bench.command_lines.authorize(permit, &challenge(&good)).await.unwrap()
    };
    let wrong = code().await;
    assert!(bench.command_lines.exchange(&wrong, &bad, &visit()).await.is_err());
    assert!(bench.command_lines.exchange(&wrong, &good, &visit()).await.is_err(), "an attempt uses it up");
    assert!(bench.command_lines.exchange("made up", &good, &visit()).await.is_err());
    let late = code().await;
    bench.clock.advance(Duration::from_secs(60));
    assert!(bench.command_lines.exchange(&late, &good, &visit()).await.is_err(), "after a minute");

    let token = bench.command_lines.exchange(&code().await, &good, &visit()).await.unwrap();
    let (rows,): (String,) =
        sqlx::query_as("select string_agg(c::text, '') from credential c").fetch_one(&bench.db.owner).await.unwrap();
    assert!(!rows.contains(token.secret.expose_secret()), "only a hash is kept");
    assert!(bench.events().await.iter().any(|event| matches!(
        event,
        Event::CredentialIssued { credential, cluster: None, .. } if *credential == token.credential
    )));

    let permit = bench.may(&caller, Action::Portal(PortalAction::AuthorizeCommandLine)).await.unwrap();
    let plain = bench.command_lines.authorize(permit, "plain").await;
    assert!(matches!(plain, Err(IdentityFault::BadRequest(_))));
    let permit = bench.may(&caller, Action::Portal(PortalAction::Home)).await.unwrap();
    let other = bench.command_lines.authorize(permit, &challenge(&good)).await;
    assert!(matches!(other, Err(IdentityFault::Denied(Denial::NotPermitted))));
}

fn challenge(verifier: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes()))
}

#[tokio::test]
async fn a_name_that_deceives_is_refused_and_recorded() {
    let bench = Bench::new().await;
    let (url, ceremony) = bench.logins.begin(&"corp".parse().unwrap(), &visit()).await.unwrap();
    let sent = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).unwrap().1.into_owned();
    let mut token = bench.issuer.token(&sent("nonce"));
    token.claims["groups"] = json!(["staff\nadmins"]);
    bench.issuer.says(token);
    let answer = serde_json::from_value(json!({ "code": "c", "state": sent("state") })).unwrap();
    let refused = bench.logins.finish(ceremony, &answer, &visit()).await;
    assert!(matches!(refused, Err(IdentityFault::Denied(Denial::Claim("groups")))), "{refused:?}");
    assert_eq!(sign_ins(&bench.events().await), [(SignInStep::Begun, true), (SignInStep::Provider, false)]);
    let (people,): (i64,) = sqlx::query_as("select count(*) from person").fetch_one(&bench.db.owner).await.unwrap();
    assert_eq!(people, 0);
}
