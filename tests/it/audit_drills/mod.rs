//! What a superuser of the database can do to the log, and what says so: each drill on a copy of one sound log, found and
//! named by `bailiwick audit verify` itself, with the auditor's role. What a broker does that starts on the copy stands
//! beside it: it compares the end of the log with what was published, and leaves the past to the auditor.

mod backup;
mod beside;
mod readers;
mod rewriting;
mod table;

use std::sync::Arc;

use bailiwick::{
    audit::{
        Log,
        checkpoint::CheckpointSigner,
        published::{Published, Record},
    },
    model::{BrokerId, SystemClock, SystemEntropy, Timestamp, Verdict},
};
use rewriting::{Reach, claim_rotation, rewrite, rewrite_tiles, sign, sign_anew};
use table::{
    Broker::{self, Refuses, Starts},
    DRILLS, REWRITTEN, Rewriting,
};
use uuid::Uuid;

use crate::support::{
    TestDb,
    audit::{ORIGIN, decision, limits, log, signer, signers},
    database,
    ledger::{Said, cli, keep_key, tamper},
};

#[tokio::test(flavor = "multi_thread")]
async fn every_edit_is_found_and_named() {
    let sound = Scene::set().await;
    let mut missed = Missed::default();
    for (what, how, told, broker) in DRILLS.iter().chain(beside::DRILLS) {
        let copy = sound.db.copy().await;
        tamper(&copy, how).await;
        missed.unless_named(what, told, &verify(&copy, &[]).await);
        missed.unless(what, "the broker", *broker, sound.broker(&copy).await);
    }
    missed.expect_none();
    assert_eq!(verify(&sound.db, &[]).await.code, 0, "nothing was done to this one");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rewritten_with_all_that_proves_it_is_named_as_closely_as_can_be() {
    let sound = Scene::set().await;
    let mut missed = Missed::default();
    for (what, rewriting, told, told_outside, broker) in REWRITTEN {
        let copy = sound.db.copy().await;
        rewriting.on(&copy).await;
        let said = verify(&copy, &[]).await;
        match told {
            Some(told) => missed.unless_named(what, told, &said),
            None => missed.unless(what, "by itself it looks sound", 0, said.code),
        }
        missed.unless_named(what, told_outside, &verify(&copy, &["--published", &sound.published()]).await);
        missed.unless(what, "the broker", *broker, sound.broker(&copy).await);
    }
    missed.expect_none();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_out_of_the_database_proves_nothing_against_its_owner_and_verify_says_so() {
    let sound = Scene::set().await;
    Rewriting::SignedAndKept.on(&sound.db).await;
    tamper(&sound.db, "delete from key where state = 'active'").await;
    let said = cli(&["audit", "verify", "--database", &sound.db.auditor_url]).await;
    assert!(said.code == 0 && said.err.contains("with the keys in the database itself. Give --key"), "{said:?}");
    assert_eq!(verify(&sound.db, &[]).await.code, 1);
}

impl Rewriting {
    async fn on(&self, db: &TestDb) {
        let thief = CheckpointSigner::from_seed(ORIGIN, Uuid::from_u128(8), &[8; 32]).unwrap();
        if let Self::Tail = self {
            return crate::fork::set_back(db, 259).await;
        }
        let reach = if matches!(self, Self::Head | Self::HeadAndTile) { Reach::ItsHead } else { Reach::AllHeads };
        rewrite(db, 100, reach).await;
        match self {
            Self::SignedAndKept => keep_key(db, &thief, "retired").await,
            Self::SignedAndVouched => {
                keep_key(db, &thief, "retired").await;
                claim_rotation(db, 200, &thief).await;
            }
            _ => {}
        }
        if !matches!(self, Self::Head) {
            rewrite_tiles(db).await;
        }
        match self {
            Self::Head | Self::HeadAndTile | Self::Tree | Self::Tail => {}
            Self::TreeUnsigned => tamper(db, "delete from checkpoint").await,
            Self::Signed | Self::SignedAndKept | Self::SignedAndVouched => sign_anew(db, &thief).await,
            Self::SignedWithOurs => sign_anew(db, &signer()).await,
        }
    }
}

/// A sound log of 300 entries in batches of one to seven, with checkpoints at some sizes and one that was published.
struct Scene {
    db: TestDb,
    published: Published,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn set() -> Self {
        let db = database().await;
        let (log, tasks) = log(&db.pool).await;
        let mut written = 0;
        for many in (1..=7).cycle() {
            let drafts: Vec<_> = (written..300.min(written + many)).map(|n| decision(n, Verdict::Deny)).collect();
            written += drafts.len() as u64;
            if drafts.is_empty() {
                break;
            }
            let batch = log.append_within(|_| {
                let drafts = drafts.clone();
                Box::pin(async { Ok(((), drafts)) })
            });
            let ((), _receipt) = batch.await.unwrap();
        }
        tasks.stop(std::time::Duration::from_secs(20)).await;
        tamper(&db, "delete from checkpoint").await;
        keep_key(&db, &signer(), "active").await;
        for size in [56, 90, 112, 196] {
            sign(&db, &signer(), size).await;
        }
        let note = sign(&db, &signer(), 300).await;
        let folder = tempfile::tempdir().unwrap();
        let record = Record { at: Timestamp::from_micros(1), note: note.clone() };
        std::fs::write(folder.path().join("checkpoints"), record.line()).unwrap();
        let published = Published::open(&note, ORIGIN, &[signer().verifier().clone()]).unwrap();
        let scene = Self { db, published, folder };
        let said = verify(&scene.db, &["--published", &scene.published()]).await;
        assert!(said.code == 0 && said.out.contains("checkpoints  6 (1 published), up to entry 300"), "{said:?}");
        assert_eq!(scene.broker(&scene.db).await, Starts);
        scene
    }

    fn published(&self) -> String {
        self.folder.path().join("checkpoints").to_str().unwrap().to_owned()
    }

    /// What a broker does that starts on `db` and knows what was published.
    async fn broker(&self, db: &TestDb) -> Broker {
        let (signers, broker) = (signers(), BrokerId::random(&SystemEntropy));
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        let opened =
            Log::open_after(Some(&self.published), db.pool.clone(), signers, broker, clock, entropy, limits()).await;
        match opened {
            Ok((_, tasks)) => {
                tasks.stop(std::time::Duration::from_secs(20)).await;
                Starts
            }
            Err(_) => Refuses,
        }
    }
}

/// The command, with the key that the auditor was given.
async fn verify(db: &TestDb, more: &[&str]) -> Said {
    let key = signer().verifier().to_string();
    cli(&[&["audit", "verify", "--database", &db.auditor_url, "--key", &key], more].concat()).await
}

/// The drills that went unnoticed, all of them, so that a check that is gone shows every drill that it answered for.
#[derive(Default)]
struct Missed(Vec<String>);

impl Missed {
    fn unless_named(&mut self, what: &str, told: &str, said: &Said) {
        let line = said.out.lines().next().unwrap_or_default();
        if said.code != 1 || !reads(&format!("broken: {told}"), line) {
            self.0.push(format!("{what}: exit code {}, {line:?}, {:?}; expected {told:?}", said.code, said.err));
        }
    }

    fn unless<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, of: &str, expected: T, found: T) {
        if found != expected {
            self.0.push(format!("{what}: {of}: {found:?}, expected {expected:?}"));
        }
    }

    fn expect_none(self) {
        assert!(self.0.is_empty(), "{} drills:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// Whether `line` is `pattern`, in which `…` stands for anything.
fn reads(pattern: &str, line: &str) -> bool {
    let mut rest = line;
    let mut parts = pattern.split('…');
    let (first, last) = (parts.next().unwrap(), pattern.rsplit('…').next().unwrap());
    parts.all(|part| rest.split_once(part).inspect(|(_, after)| rest = after).is_some())
        && line.starts_with(first)
        && line.ends_with(last)
}
