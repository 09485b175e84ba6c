//! Certificates: issued for what was permitted and no more, checked by a library that is not ours, revoked for good.

use std::time::Duration;

use bailiwick::{
    audit::Event,
    credential::{Authority, CertificateRequest, CredentialFault, keys},
    identity::NotPresented,
    model::{Action, Caller, Clock as _, IssueRequest, PortalAction, Presented, Reach, Scope, SystemEntropy},
};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject as _};

use crate::support::{
    bench::{Bench, wrapping},
    database,
    rows::{HOME, NOON, limits},
};

fn request() -> CertificateRequest {
    let pair = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&pair).unwrap();
    CertificateRequest::from_pem(&csr.pem().unwrap()).unwrap()
}

fn asked(request: &CertificateRequest, lifetime: u64) -> IssueRequest {
    IssueRequest {
        cluster: "demo".parse().unwrap(),
        namespaces: vec!["shop".to_owned()],
        reach: Reach::ReadOnly,
        lifetime,
        key: request.key_hash(),
    }
}

async fn issue(
    bench: &Bench,
    caller: &Caller,
    lifetime: u64,
) -> (CertificateDer<'static>, bailiwick::credential::Issued) {
    let request = request();
    let permit = bench.may(caller, Action::Issue(asked(&request, lifetime))).await.unwrap();
    let issued = bench.certificates.issue(permit, &request).await.unwrap();
    (CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap(), issued)
}

#[tokio::test]
async fn a_certificate_says_who_and_its_row_says_how_far() {
    let bench = Bench::new().await;
    let (caller, _) = bench.whole("alice").await;
    let (der, issued) = issue(&bench, &caller, 600).await;

    let found = bench.callers.from_certificate(&der, HOME).await.unwrap();
    assert_eq!((found.login, found.presented), (caller.login, Presented::Certificate(issued.credential)));
    let scope = Scope::Cluster {
        cluster: "demo".parse().unwrap(),
        namespaces: vec!["shop".to_owned()],
        reach: Reach::ReadOnly,
    };
    assert_eq!(found.scope, scope);
    assert_eq!(issued.not_after, NOON.plus(Duration::from_secs(600)));

    let (_, read) = x509_parser::parse_x509_certificate(&der).unwrap();
    let person = caller.person.to_string();
    assert_eq!(read.subject().to_string(), format!("CN={person}"));
    let names = read.subject_alternative_name().unwrap().unwrap();
    assert!(format!("{:?}", names.value.general_names).contains(&format!("bailiwick://person/{person}")));
    assert!(!read.is_ca());
    let usage = read.extended_key_usage().unwrap().unwrap().value.clone();
    assert!(usage.client_auth && !usage.server_auth && !usage.any && usage.other.is_empty());
    assert!(read.raw_serial().len() >= 15);

    let events = bench.events().await;
    let entry = events.iter().find_map(|event| match event {
        Event::CredentialIssued { credential, serial, not_after, reach, .. } if *credential == issued.credential => {
            Some((serial.clone(), *not_after, *reach))
        }
        _ => None,
    });
    assert_eq!(entry, Some((Some(issued.serial.clone()), issued.not_after, Reach::ReadOnly)));
}

#[tokio::test]
async fn tls_accepts_the_certificate_for_clients_of_this_authority_alone() {
    let bench = Bench::new().await;
    let (caller, _) = bench.whole("alice").await;
    let (der, _) = issue(&bench, &caller, 600).await;
    let verifier = |authority: &[u8]| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(authority.to_vec())).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap()
    };
    let at = |seconds: i64| UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap()));
    let ours = verifier(bench.certificates.authority().certificate());
    assert!(ours.verify_client_cert(&der, &[], at(NOON.seconds())).is_ok());
    assert!(ours.verify_client_cert(&der, &[], at(NOON.seconds() + 601)).is_err());
    assert!(ours.verify_client_cert(&der, &[], at(NOON.seconds() - 31)).is_err());

    let other = Bench::new().await;
    let theirs = verifier(other.certificates.authority().certificate());
    assert!(theirs.verify_client_cert(&der, &[], at(NOON.seconds())).is_err());
    let refused = other.callers.from_certificate(&der, HOME).await;
    assert!(matches!(refused, Err(NotPresented::Unknown)), "{refused:?}");
}

#[tokio::test]
async fn a_permit_is_for_one_key_and_one_thing() {
    let bench = Bench::new().await;
    let (caller, _) = bench.whole("alice").await;
    let (mine, other) = (request(), request());
    let permit = bench.may(&caller, Action::Issue(asked(&mine, 600))).await.unwrap();
    let refused = bench.certificates.issue(permit, &other).await;
    assert!(matches!(refused, Err(CredentialFault::NotPermitted)));
    let permit = bench.may(&caller, Action::Portal(PortalAction::Home)).await.unwrap();
    let refused = bench.certificates.issue(permit, &mine).await;
    assert!(matches!(refused, Err(CredentialFault::NotPermitted)));
    let (rows,): (i64,) = sqlx::query_as("select count(*) from credential").fetch_one(&bench.db.owner).await.unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn an_rsa_key_made_elsewhere_is_certified_bit_for_bit() {
    let bench = Bench::new().await;
    let (caller, _) = bench.whole("alice").await;
    let request = CertificateRequest::from_pem(include_str!("../../src/credential/samples/rsa-2048.pem")).unwrap();
    let permit = bench.may(&caller, Action::Issue(asked(&request, 600))).await.unwrap();
    let issued = bench.certificates.issue(permit, &request).await.unwrap();
    let der = CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap();
    assert!(bench.callers.from_certificate(&der, HOME).await.is_ok());
}

#[tokio::test]
async fn no_certificate_outlives_the_settings_or_the_login() {
    let bench = Bench::new().await;
    let (caller, _) = bench.whole("alice").await;
    for lifetime in [3600, 3601, u64::MAX] {
        let (_, issued) = issue(&bench, &caller, lifetime.min(i64::MAX as u64)).await;
        assert_eq!(issued.not_after, NOON.plus(limits().credential));
    }
    // The login is used for eleven and a half hours.
    while bench.clock.now() < NOON.plus(Duration::from_secs(11 * 3600 + 1800)) {
        bench.clock.advance(Duration::from_secs(600));
        bench.caller(caller.login).await;
    }
    let (_, issued) = issue(&bench, &caller, 3600).await;
    assert_eq!(issued.not_after, NOON.plus(limits().absolute));

    let request = request();
    let permit = bench.may(&caller, Action::Issue(asked(&request, 600))).await.unwrap();
    bench.logins.end(caller.login, None, "test").await.unwrap();
    let refused = bench.certificates.issue(permit, &request).await;
    assert!(matches!(refused, Err(CredentialFault::LoginEnded)), "{refused:?}");
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_and_stays_so() {
    let bench = Bench::new().await;
    let (caller, _) = bench.whole("alice").await;
    let (der, issued) = issue(&bench, &caller, 600).await;
    let revoke = async || {
        let (credential, owner) = (issued.credential, caller.identity.clone());
        let permit =
            bench.may(&caller, Action::Portal(PortalAction::RevokeCredential { credential, owner })).await.unwrap();
        bench.credentials.revoke(permit).await.unwrap()
    };
    assert_eq!(bench.credentials.live_of(&[caller.login]).await.unwrap().len(), 1);
    assert!(revoke().await);
    assert!(!revoke().await, "it was revoked before");
    assert_eq!(bench.credentials.live_of(&[caller.login]).await.unwrap(), []);
    let refused = bench.callers.from_certificate(&der, HOME).await;
    assert!(matches!(refused, Err(NotPresented::Revoked)), "{refused:?}");
    let revoked = bench.events().await;
    let revoked = revoked.iter().filter(|event| matches!(event, Event::CredentialRevoked { .. })).count();
    assert_eq!(revoked, 1);
}

#[tokio::test]
async fn a_permit_revokes_what_it_names_of_whom_it_names() {
    let bench = Bench::new().await;
    let (alice, _) = bench.whole("alice").await;
    let (bob, _) = bench.whole("bob").await;
    let (der, issued) = issue(&bench, &bob, 600).await;
    let revoke = |owner| Action::Portal(PortalAction::RevokeCredential { credential: issued.credential, owner });
    for other in [revoke(alice.identity.clone()), Action::Portal(PortalAction::Home)] {
        let permit = bench.may(&alice, other).await.unwrap();
        let refused = bench.credentials.revoke(permit).await;
        assert!(matches!(refused, Err(CredentialFault::NotPermitted)), "{refused:?}");
    }
    assert!(bench.callers.from_certificate(&der, HOME).await.is_ok(), "it counts still");
    let permit = bench.may(&alice, revoke(bob.identity.clone())).await.unwrap();
    assert!(bench.credentials.revoke(permit).await.unwrap());
}

#[tokio::test]
async fn keys_are_made_once_and_open_only_with_their_wrapping_key() {
    let db = database().await;
    let folder = tempfile::tempdir().unwrap();
    let wrapping = wrapping(folder.path());
    let mut connection = db.pool.acquire().await.unwrap();
    let none = keys::show(&mut connection, &wrapping).await;
    assert!(matches!(none, Err(CredentialFault::NoKey("authority"))));

    let made = keys::init(&mut connection, &wrapping, "auth.example", NOON, &SystemEntropy).await.unwrap();
    assert!(made.made);
    let again = keys::init(&mut connection, &wrapping, "auth.example", NOON, &SystemEntropy).await.unwrap();
    assert_eq!((again.made, &again.authority, again.checkpoint), (false, &made.authority, made.checkpoint));
    let (_, read) = x509_parser::parse_x509_certificate(&made.authority).unwrap();
    assert!(read.is_ca() && read.verify_signature(None).is_ok());
    assert_eq!(read.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));

    std::fs::write(folder.path().join("wrapping-key"), "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=").unwrap();
    let other = Authority::load(&mut connection, &wrapping).await;
    assert!(matches!(other, Err(CredentialFault::Wrapping(_))), "{other:?}");
}
