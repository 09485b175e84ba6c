//! The key that signs checkpoints is replaced while two brokers run: neither needs a restart, and whoever holds only the
//! first key still believes the log, because each key vouches for the next.

use std::future::ready;

use bailiwick::{
    app,
    audit::{
        checkpoint::{CheckpointSigner, Verifier},
        verify::{Anchors, Report, database as verify},
    },
    config::Settings,
    model::{SystemClock, SystemEntropy, Timestamp},
    store::{self, key::KeyPurpose},
};
use std::sync::Arc;
use uuid::Uuid;

use crate::support::{Site, TestDb, database, eventually};

#[tokio::test]
async fn two_brokers_take_up_a_new_key_that_the_old_one_vouches_for() {
    let site = Site::prepare(database().await, "@id(\"all\") permit(principal, action, resource);").await;
    let first = site.start(None).await;
    let settings = Settings::load(&site.configure(site.other_ports(), None)).unwrap();
    let origin = settings.audit.origin.clone();
    let second = app::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).await.unwrap();
    let db = &site.database;
    let keys = async || -> Vec<Verifier> {
        let publics = store::key::publics(&db.owner, KeyPurpose::Checkpoint).await.unwrap();
        publics.into_iter().map(|public| Verifier::new(&origin, public.try_into().unwrap()).unwrap()).collect()
    };
    let newest = async || store::checkpoint::newest(&db.owner).await.unwrap().unwrap().note;

    let told = site.bailiwick(&["key", "rotate", "checkpoint", "--overlap", "1h"]);
    let [old, new]: [Verifier; 2] = keys().await.try_into().unwrap();
    assert!(told.contains(&old.to_string()) && told.contains(&new.to_string()), "{told}");
    let vouched = newest().await;
    assert!(old.open(&vouched).is_ok(), "the old key signs what names the new one");
    // While they overlap, both sign; the first broker's last word, then the second's.
    let both = async || (old.open(&newest().await).is_ok() && new.open(&newest().await).is_ok()).then_some(());
    eventually(both).await;
    first.stop().await;
    let size = old.open(&newest().await).unwrap().size;

    site.bailiwick(&["key", "rotate", "checkpoint", "--overlap", "0s"]);
    let newer = keys().await.pop().unwrap();
    eventually(async || newer.open(&newest().await).is_ok().then_some(())).await;
    second.stop().await;
    let last = newest().await;
    assert!(newer.open(&last).unwrap().size > size && new.open(&last).is_err());
    let shown = site.bailiwick(&["key", "show"]);
    assert!([&old, &new, &newer].iter().all(|key| shown.contains(&key.to_string())), "{shown}");

    for given in [vec![old.clone()], vec![newer.clone()], vec![new, old.clone()], Vec::new()] {
        let report = verified(db, given.clone()).await;
        assert!(report.is_sound(), "{given:?}: {:?}", report.broken);
    }
    // The owner of the database adds a key and a checkpoint of its own.
    let thief = CheckpointSigner::from_seed(&origin, Uuid::from_u128(9), &[9; 32]).unwrap();
    let head = store::head::newest(&db.owner).await.unwrap();
    let insert = "insert into key (id, purpose, state, public, wrapped, created_at)
                  select $1, 'checkpoint', 'retired', $2, '', now()";
    let public = CheckpointPublic::of(thief.verifier());
    sqlx::query(insert).bind(thief.key()).bind(public.0).execute(&db.owner).await.unwrap();
    let note = thief.sign(0, head.size, head.root);
    let root = head.root.to_vec();
    let signed_at = Timestamp::from_micros(1);
    let row = store::checkpoint::Checkpoint { epoch: 0, size: head.size, key: thief.key(), root, note, signed_at };
    store::checkpoint::insert(&db.owner, &row).await.unwrap();
    let report = verified(db, vec![old]).await;
    assert!(report.broken.is_some_and(|broken| broken.what.contains("vouched")));
}

/// The 32 bytes in a verifier key.
struct CheckpointPublic(Vec<u8>);

impl CheckpointPublic {
    fn of(verifier: &Verifier) -> Self {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let text = verifier.to_string();
        Self(
            STANDARD.decode(text.rsplit_once('+').map_or("", |_| text.splitn(3, '+').nth(2).unwrap())).unwrap()[1..]
                .to_vec(),
        )
    }
}

async fn verified(db: &TestDb, keys: Vec<Verifier>) -> Report {
    let auditor = db.another_pool("bailiwick_auditor");
    let mut connection = auditor.acquire().await.unwrap();
    let anchors = Anchors { keys, ..Anchors::default() };
    let report = verify(&mut connection, ready(Vec::new()), &anchors, |_, _| {}).await.unwrap();
    drop(connection);
    auditor.close().await;
    report
}
