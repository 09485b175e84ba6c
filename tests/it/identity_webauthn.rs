//! Passkeys: the good ceremony, and every way to bend one.

use std::time::Duration;

use bailiwick::{
    audit::{Event, SignInStep},
    identity::{Denial, IdentityFault},
    model::{Action, AssuranceLevel, Caller, EnrolRequest, PortalAction},
};
use webauthn_authenticator_rs::softpasskey::SoftPasskey;
use webauthn_rs_proto::{AllowCredentials, RequestChallengeResponse, ResidentKeyRequirement, UserVerificationPolicy};

use crate::support::bench::{Bench, Device, ORIGIN, client_data, visit};

/// Through the provider again, and asserts with `device`.
async fn sign_in(bench: &Bench, subject: &str, device: &mut Device) -> Result<Caller, IdentityFault> {
    let (half, caller) = bench.half(subject).await;
    let (ceremony, options) = bench.passkeys.begin_assertion(&caller).await?;
    bench.passkeys.finish_assertion(&caller, ceremony, &device.assert(options, ORIGIN), &visit()).await?;
    Ok(bench.caller(half.login).await)
}

#[tokio::test]
async fn a_first_passkey_makes_the_login_whole_and_the_next_login_needs_it() {
    let bench = Bench::new().await;
    let (caller, mut device) = bench.whole("alice").await;
    assert_eq!(caller.assurance.level, AssuranceLevel::Passkey);
    let enrolled =
        bench.events().await.into_iter().filter(|event| matches!(event, Event::Enrolled { first: true, .. }));
    assert_eq!(enrolled.count(), 1);

    let next = sign_in(&bench, "alice", &mut device).await.unwrap();
    assert_eq!(next.assurance.level, AssuranceLevel::Passkey);
    assert_ne!(next.login, caller.login);
}

#[tokio::test]
async fn the_options_ask_for_what_we_check() {
    let bench = Bench::new().await;
    let (_, caller) = bench.half("alice").await;
    bench.invite(&caller).await;
    let (_, options) = bench.passkeys.begin_enrolment(bench.may_enrol(&caller).await.unwrap()).await.unwrap();
    let asked = options.public_key;
    let selection = asked.authenticator_selection.unwrap();
    assert_eq!(selection.user_verification, UserVerificationPolicy::Required);
    assert!(matches!(selection.resident_key, Some(ResidentKeyRequirement::Preferred)));
    assert_eq!(asked.rp.id, "auth.demo.localhost", "the portal's own host, no parent domain");
    assert_eq!(asked.user.name, "corp/alice");
}

#[tokio::test]
async fn a_step_up_renews_the_assurance() {
    let bench = Bench::new().await;
    let (caller, mut device) = bench.whole("alice").await;
    bench.clock.advance(Duration::from_secs(600));
    let (ceremony, options) = bench.passkeys.begin_assertion(&caller).await.unwrap();
    bench.passkeys.finish_assertion(&caller, ceremony, &device.assert(options, ORIGIN), &visit()).await.unwrap();
    let renewed = bench.caller(caller.login).await;
    assert_eq!(renewed.assurance.at, bailiwick::model::Clock::now(&*bench.clock));
    let steps: Vec<_> = bench.events().await;
    assert!(steps.iter().any(|event| matches!(event, Event::SignIn { step: SignInStep::StepUp, fault: None, .. })));
}

#[tokio::test]
async fn enrolment_never_reopens() {
    let bench = Bench::new().await;
    let (caller, _) = bench.whole("alice").await;
    // Every passkey is lost.
    sqlx::query("update passkey set removed_at = created_at").execute(&bench.db.owner).await.unwrap();
    let (_, half) = bench.half("alice").await;
    bench.invite(&half).await;
    let again = bench.enrol(&half, &mut Device::new()).await;
    assert!(matches!(again, Err(IdentityFault::Denied(Denial::AlreadyEnrolled))), "{again:?}");
    let none = bench.passkeys.begin_assertion(&half).await;
    assert!(matches!(none, Err(IdentityFault::Denied(Denial::NoPasskey))), "removed passkeys do not count");
    assert_eq!(caller.person, half.person);
}

#[tokio::test]
async fn two_enrolments_at_once_make_one_passkey() {
    let bench = Bench::new().await;
    let (_, caller) = bench.half("alice").await;
    bench.invite(&caller).await;
    let permit = || bench.may_enrol(&caller);
    let (one, one_options) = bench.passkeys.begin_enrolment(permit().await.unwrap()).await.unwrap();
    let (two, two_options) = bench.passkeys.begin_enrolment(permit().await.unwrap()).await.unwrap();
    let (one_permit, two_permit) = (permit().await.unwrap(), permit().await.unwrap());
    let first = Device::new().register(one_options, ORIGIN);
    let second = Device::new().register(two_options, ORIGIN);
    bench.passkeys.finish_enrolment(one_permit, one, &first, "", &visit()).await.unwrap();
    let late = bench.passkeys.finish_enrolment(two_permit, two, &second, "", &visit()).await;
    assert!(matches!(late, Err(IdentityFault::Denied(Denial::NotInvited | Denial::AlreadyEnrolled))), "{late:?}");
    let (passkeys,): (i64,) = sqlx::query_as("select count(*) from passkey").fetch_one(&bench.db.owner).await.unwrap();
    assert_eq!(passkeys, 1);
}

#[tokio::test]
async fn a_permit_for_something_else_enrols_nobody() {
    let bench = Bench::new().await;
    let (caller, _) = bench.whole("alice").await;
    let permit = bench.may(&caller, Action::Portal(PortalAction::Home)).await.unwrap();
    let refused = bench.passkeys.begin_enrolment(permit).await;
    assert!(matches!(refused, Err(IdentityFault::Denied(Denial::NotPermitted))));
    let (_, half) = bench.half("bob").await;
    assert!(bench.may(&half, Action::Enrol(EnrolRequest { invited: false })).await.is_none());
}

#[tokio::test]
async fn a_credential_id_belongs_to_one_person() {
    let bench = Bench::new().await;
    let (alice, _) = bench.whole("alice").await;
    let (_, bob) = bench.half("bob").await;
    bench.invite(&bob).await;
    let (ceremony, options) = bench.passkeys.begin_enrolment(bench.may_enrol(&bob).await.unwrap()).await.unwrap();
    let answer = Device::new().register(options, ORIGIN);
    sqlx::query("update passkey set credential_id = $1 where person = $2")
        .bind(&answer.raw_id)
        .bind(alice.person.uuid())
        .execute(&bench.db.owner)
        .await
        .unwrap();
    let permit = bench.may_enrol(&bob).await.unwrap();
    let taken = bench.passkeys.finish_enrolment(permit, ceremony, &answer, "", &visit()).await;
    assert!(matches!(taken, Err(IdentityFault::Denied(Denial::PasskeyTaken))), "{taken:?}");
    assert_eq!(bench.caller(bob.login).await.assurance.level, AssuranceLevel::Provider, "nothing was changed");
}

#[tokio::test]
async fn an_assertion_is_for_its_own_ceremony_login_and_minutes() {
    let bench = Bench::new().await;
    let (_, mut device) = bench.whole("alice").await;
    let (_, caller) = bench.half("alice").await;
    let (_, other_login) = bench.half("alice").await;
    let no_ceremony =
        |result: Result<(), IdentityFault>| matches!(result, Err(IdentityFault::Denied(Denial::NoCeremony)));

    let (ceremony, options) = bench.passkeys.begin_assertion(&caller).await.unwrap();
    let answer = device.assert(options, ORIGIN);
    assert!(no_ceremony(bench.passkeys.finish_assertion(&other_login, ceremony, &answer, &visit()).await));
    assert!(no_ceremony(bench.passkeys.finish_assertion(&caller, ceremony, &answer, &visit()).await), "used up");

    let (ceremony, options) = bench.passkeys.begin_assertion(&caller).await.unwrap();
    let answer = device.assert(options, ORIGIN);
    bench.passkeys.finish_assertion(&caller, ceremony, &answer, &visit()).await.unwrap();
    assert!(no_ceremony(bench.passkeys.finish_assertion(&caller, ceremony, &answer, &visit()).await), "replayed");

    let (ceremony, _) = bench.passkeys.begin_assertion(&caller).await.unwrap();
    let old = bench.passkeys.finish_assertion(&caller, ceremony, &answer, &visit()).await;
    assert!(matches!(old, Err(IdentityFault::Denied(Denial::Passkey(_)))), "an old answer to a new challenge: {old:?}");

    let (ceremony, options) = bench.passkeys.begin_assertion(&caller).await.unwrap();
    let answer = device.assert(options, ORIGIN);
    bench.clock.advance(Duration::from_secs(5 * 60));
    assert!(no_ceremony(bench.passkeys.finish_assertion(&caller, ceremony, &answer, &visit()).await), "too late");

    let failed = bench.events().await;
    let failed = failed.iter().filter(|event| matches!(event, Event::SignIn { fault: Some(_), .. })).count();
    assert_eq!(failed, 5, "one entry for each failure");
}

#[tokio::test]
async fn an_assertion_from_another_place_is_refused() {
    let bench = Bench::new().await;
    let (_, mut device) = bench.whole("alice").await;
    let (_, caller) = bench.half("alice").await;
    let places = [
        "http://wiki.demo.localhost:8080",
        "http://demo.localhost:8080",
        "http://evil.auth.demo.localhost:8080",
        "http://auth.demo.localhost:8081",
        "http://auth.demo.localhost",
        "https://auth.demo.localhost:8080",
        "http://auth.demo.localhost:8080.evil.example",
        "http://auth.demo.localhost:8080/x",
        "null",
        "",
    ];
    for place in places {
        let (ceremony, options) = bench.passkeys.begin_assertion(&caller).await.unwrap();
        let answer = device.assert(options, place);
        let result = bench.passkeys.finish_assertion(&caller, ceremony, &answer, &visit()).await;
        assert!(matches!(result, Err(IdentityFault::Denied(Denial::Passkey(_)))), "{place}: {result:?}");
    }
    type Bend = fn(&RequestChallengeResponse) -> Vec<u8>;
    let bends: [(&str, Bend); 3] = [
        ("a frame", |options| client_data("webauthn.get", &options.public_key.challenge, ORIGIN, true)),
        ("a registration", |options| client_data("webauthn.create", &options.public_key.challenge, ORIGIN, false)),
        ("another challenge", |_| client_data("webauthn.get", b"0123456789abcdef", ORIGIN, false)),
    ];
    for (what, bend) in bends {
        let (ceremony, options) = bench.passkeys.begin_assertion(&caller).await.unwrap();
        let data = bend(&options);
        let answer = device.assert_over(options, data);
        let result = bench.passkeys.finish_assertion(&caller, ceremony, &answer, &visit()).await;
        assert!(matches!(result, Err(IdentityFault::Denied(Denial::Passkey(_)))), "{what}: {result:?}");
    }
    let (ceremony, mut options) = bench.passkeys.begin_assertion(&caller).await.unwrap();
    options.public_key.rp_id = "demo.localhost".to_owned();
    let answer = device.assert(options, ORIGIN);
    let result = bench.passkeys.finish_assertion(&caller, ceremony, &answer, &visit()).await;
    assert!(matches!(result, Err(IdentityFault::Denied(Denial::Passkey(_)))), "the parent domain: {result:?}");
}

#[tokio::test]
async fn a_passkey_of_somebody_else_is_not_an_answer() {
    let bench = Bench::new().await;
    let (_alice, _) = bench.whole("alice").await;
    let (mallory, mut device) = bench.whole("mallory").await;
    let (_, own) = bench.passkeys.begin_assertion(&mallory).await.unwrap();
    let (_, alice) = bench.half("alice").await;
    let (ceremony, mut options) = bench.passkeys.begin_assertion(&alice).await.unwrap();
    options.public_key.allow_credentials =
        own.public_key.allow_credentials.into_iter().collect::<Vec<AllowCredentials>>();
    let answer = device.assert(options, ORIGIN);
    let result = bench.passkeys.finish_assertion(&alice, ceremony, &answer, &visit()).await;
    assert!(matches!(result, Err(IdentityFault::Denied(Denial::Passkey(_)))), "{result:?}");
    assert_eq!(bench.caller(alice.login).await.assurance.level, AssuranceLevel::Provider);
}

#[tokio::test]
async fn a_counter_that_goes_back_is_refused() {
    let bench = Bench::new().await;
    let (caller, mut device) = bench.whole("alice").await;
    let (ceremony, options) = bench.passkeys.begin_assertion(&caller).await.unwrap();
    let answer = device.assert(options, ORIGIN);
    // A copy of the authenticator was used meanwhile, with a higher counter.
    sqlx::query("update passkey set counter = 100").execute(&bench.db.owner).await.unwrap();
    let result = bench.passkeys.finish_assertion(&caller, ceremony, &answer, &visit()).await;
    assert!(matches!(result, Err(IdentityFault::Denied(Denial::Counter))), "in the row: {result:?}");

    sqlx::query("update passkey set counter = 0, state = jsonb_set(state, '{cred,counter}', '100')")
        .execute(&bench.db.owner)
        .await
        .unwrap();
    let result = sign_in(&bench, "alice", &mut device).await;
    assert!(matches!(result, Err(IdentityFault::Denied(Denial::Counter))), "in the state: {result:?}");
}

#[tokio::test]
async fn a_user_who_was_not_verified_is_refused() {
    let bench = Bench::new().await;
    let (_, caller) = bench.half("alice").await;
    bench.invite(&caller).await;
    let mut careless = Device(SoftPasskey::new(false));
    let permit = bench.may_enrol(&caller).await.unwrap();
    let (ceremony, mut options) = bench.passkeys.begin_enrolment(permit).await.unwrap();
    if let Some(selection) = &mut options.public_key.authenticator_selection {
        selection.user_verification = UserVerificationPolicy::Discouraged_DO_NOT_USE;
    }
    let answer = careless.register(options, ORIGIN);
    let permit = bench.may_enrol(&caller).await.unwrap();
    let result = bench.passkeys.finish_enrolment(permit, ceremony, &answer, "", &visit()).await;
    assert!(matches!(result, Err(IdentityFault::Denied(Denial::Passkey(_)))), "{result:?}");
}

#[tokio::test]
async fn a_passkey_removed_during_its_ceremony_does_not_count() {
    let bench = Bench::new().await;
    let (caller, mut device) = bench.whole("alice").await;
    let (ceremony, options) = bench.passkeys.begin_assertion(&caller).await.unwrap();
    let answer = device.assert(options, ORIGIN);
    sqlx::query("update passkey set removed_at = created_at").execute(&bench.db.owner).await.unwrap();
    let result = bench.passkeys.finish_assertion(&caller, ceremony, &answer, &visit()).await;
    assert!(matches!(result, Err(IdentityFault::Denied(Denial::NoPasskey))), "{result:?}");
}

#[tokio::test]
async fn an_assertion_does_not_revive_a_login_that_ended() {
    let bench = Bench::new().await;
    let (caller, mut device) = bench.whole("alice").await;
    let (ceremony, options) = bench.passkeys.begin_assertion(&caller).await.unwrap();
    let answer = device.assert(options, ORIGIN);
    bench.logins.end(caller.login, None, "test").await.unwrap();
    let result = bench.passkeys.finish_assertion(&caller, ceremony, &answer, &visit()).await;
    assert!(matches!(result, Err(IdentityFault::Denied(Denial::LoginEnded))), "{result:?}");
}
