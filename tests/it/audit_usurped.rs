//! Whoever owns the database writes into the log that another key replaces ours. Whether our key has signed over it or not,
//! the other counts nowhere: for an auditor, in a bundle, for a broker or for somebody who accepts the log as it is.

use std::{sync::Arc, time::Duration};

use bailiwick::{
    app::StartFault,
    audit::{Draft, Event, Log, LogFault, Signers, checkpoint::CheckpointSigner},
    model::{BrokerId, SystemClock, SystemEntropy, Timestamp},
    store::{self, key::KeyPurpose},
};
use uuid::Uuid;

use crate::{
    audit_bundle::python,
    audit_planted::plant_event,
    support::{
        Site, TestDb,
        audit::{ORIGIN, limits, log, signed_by, signer, signers, stopped},
        database, eventually,
        ledger::{cli, keep_key, tamper},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_our_own_signed_over_counts_nowhere_without_its_word() {
    for has_voucher in [false, true] {
        let (db, folder) = (database().await, tempfile::tempdir().unwrap());
        let (ours, theirs) = (signer().verifier().to_string(), thief().verifier().to_string());
        let voucher = has_voucher.then(|| thief().vouch_for(thief().verifier(), 0));
        let told = match has_voucher {
            true => "it is forged: the key that it says was replaced has not signed its voucher".to_owned(),
            false => format!("it says that {theirs} replaces {ours}, which has not vouched for it"),
        };

        // A broker that takes the batches of the other for those of a broker.
        let (honest, its_tasks) = log(&db.pool).await;
        let first = honest.append(stopped()).await.unwrap().leaf_index();
        let (usurper, tasks) = open(&db, signed_by(thief())).await.unwrap();
        let event = Event::KeyRotated { retired: ours.clone(), active: theirs, voucher, by: None };
        let draft = Draft { caller: None, event, happened_at: Timestamp::from_micros(6), request: None };
        let forged = usurper.append(draft).await.unwrap().leaf_index();
        honest.append(stopped()).await.map(drop).unwrap();
        eventually(async || (honest.health().signed > forged).then_some(())).await;
        its_tasks.stop(Duration::from_secs(20)).await;
        let last = usurper.append(stopped()).await.unwrap().leaf_index();
        eventually(async || (usurper.health().signed > last).then_some(())).await;
        tasks.stop(Duration::from_secs(20)).await;
        keep_key(&db, &signer(), "active").await;
        keep_key(&db, &thief(), "retired").await;
        assert!(first < forged && forged < last);

        let told = format!("entry {forged}: {told}");
        let said = cli(&["audit", "verify", "--database", &db.auditor_url, "--key", &ours]).await;
        assert!(said.code == 1 && said.out.starts_with(&format!("broken: {told}")), "{said:?}");
        let file = folder.path().join("evidence").to_str().unwrap().to_owned();
        let made = cli(&["audit", "bundle", "--leaf", "0", "--database", &db.auditor_url, "--file", &file]).await;
        assert_eq!(made.code, 0, "{made:?}");
        let said = cli(&["audit", "verify", "--bundle", &file, "--key", &ours]).await;
        assert!(said.code == 1 && said.out.contains(&told), "{said:?}");
        assert_eq!(python(&[&file, "--key", &ours]).0, 1);
        let refused = open(&db, signers()).await.err().expect("the entry is there");
        assert!(refused.to_string().contains(&told), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_beside_ours_stops_a_broker_and_an_entry_for_it_is_not_accepted() {
    let site = Site::prepare(database().await, "@id(\"all\") permit(principal, action, resource);").await;
    let config = site.configure_with("[shipping]\ncheckpoint_file = \"checkpoints\"\n");
    let db = &site.database;
    site.try_start(&config).await.unwrap().stop().await;
    let head = store::head::newest(&db.owner).await.unwrap();
    let thief = CheckpointSigner::from_seed(&head.origin, Uuid::from_u128(8), &[8; 32]).unwrap();
    keep_key(db, &thief, "retired").await;
    let refused = site.try_start(&config).await.err().expect("a key is there that is not the broker's");
    let StartFault::Log(LogFault::Stranger(named)) = &refused else { panic!("{refused}") };
    assert_eq!(*named, thief.verifier().to_string());
    tamper(db, &format!("delete from key where id = '{}'", thief.key())).await;
    site.try_start(&config).await.unwrap().stop().await;

    let public = store::key::publics(&db.owner, KeyPurpose::Checkpoint).await.unwrap().remove(0);
    let ours = bailiwick::audit::checkpoint::Verifier::new(&head.origin, public.try_into().unwrap()).unwrap();
    let forged = store::head::newest(&db.owner).await.unwrap().size;
    let (retired, active) = (ours.to_string(), thief.verifier().to_string());
    plant_event(db, Event::KeyRotated { retired, active, voucher: None, by: None }).await;
    let config = config.to_str().unwrap();
    let accept = ["audit", "accept-fork", "--by", "Ada", "--why", "it looks good", "--yes", "--config", config];
    let said = cli(&accept).await;
    assert!(said.code != 0 && said.err.contains(&format!("entry {forged}: it says that ")), "{said:?}");
    assert_eq!(store::head::newest(&db.owner).await.unwrap().epoch, 0);

    // Nor does an entry help by which all keys before ours were lost: ours has not signed it.
    keep_key(db, &thief, "retired").await;
    let size = store::head::newest(&db.owner).await.unwrap().size;
    let lost = Some(vec![thief.verifier().to_string()]);
    let (root, by, why, key) = (String::new(), "Ada".to_owned(), "lost".to_owned(), Some(ours.to_string()));
    let published_root = root.clone();
    plant_event(db, Event::EpochBegan { epoch: 0, size, root, published_size: 0, published_root, by, why, key, lost })
        .await;
    let said = cli(&accept).await;
    assert!(said.code != 0 && said.err.contains(&thief.verifier().to_string()), "{said:?}");
    assert_eq!(store::head::newest(&db.owner).await.unwrap().epoch, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_with_a_stolen_key_that_is_retired_is_not_ours_for_that() {
    let db = database().await;
    let next = || CheckpointSigner::from_seed(ORIGIN, Uuid::from_u128(9), &[9; 32]).unwrap();
    let signers = || signed_by(next()).after(vec![signer()]);
    let (honest, tasks) = open(&db, signers()).await.unwrap();
    honest.append(stopped()).await.map(drop).unwrap();
    eventually(async || (honest.health().signed > 0).then_some(())).await;
    tasks.stop(Duration::from_secs(20)).await;

    plant_event(&db, stopped().event).await;
    let head = store::head::newest(&db.owner).await.unwrap();
    let root: [u8; 32] = head.root.as_slice().try_into().unwrap();
    let (size, epoch, signed_at) = (head.size, head.epoch, head.recorded_at);
    let by = |key: &CheckpointSigner| {
        let (key, note) = (key.key(), key.sign(epoch, size, root));
        store::checkpoint::Checkpoint { epoch, size, key, root: root.to_vec(), note, signed_at }
    };
    store::checkpoint::insert(&db.owner, &by(&signer())).await.unwrap();
    let refused = open(&db, signers()).await.err().expect("no broker made the batch");
    assert!(refused.to_string().contains("was made by no broker of this log"), "{refused}");

    // By the key that signs it would be.
    store::checkpoint::insert(&db.owner, &by(&next())).await.unwrap();
    let (_log, tasks) = open(&db, signers()).await.unwrap();
    tasks.stop(Duration::from_secs(20)).await;
}

fn thief() -> CheckpointSigner {
    CheckpointSigner::from_seed(ORIGIN, Uuid::from_u128(8), &[8; 32]).unwrap()
}

async fn open(db: &TestDb, signers: Signers) -> Result<(Log, bailiwick::audit::Tasks), LogFault> {
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    Log::open(db.owner.clone(), signers, BrokerId::random(&SystemEntropy), clock, entropy, limits()).await
}
