//! Whoever holds the log's first key follows it to the newest: through rotations, through a cut that somebody accepted,
//! in a bundle without any database, and in a log whose months with those entries were archived long ago.

use std::{sync::Arc, time::Duration};

use bailiwick::{
    audit::{
        Draft, Event, Log,
        archive::{archive, drop_month, due},
        checkpoint::{CheckpointSigner, Verifier},
    },
    model::{BrokerId, Clock as _, FrozenClock, SystemEntropy, Timestamp, Verdict},
    store::{self, key::KeyPurpose},
};
use uuid::Uuid;

use crate::{
    audit_bundle::{agree, python, tampered},
    fork::set_back,
    support::{
        Site, TestDb,
        audit::{ORIGIN, decision, limits, log_at, signed_by, signer},
        database, eventually,
        ledger::{Said, cli, keep_key, tamper},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_leads_from_the_first_key_to_the_newest_and_into_another_epoch() {
    let site = Site::prepare(database().await, "@id(\"all\") permit(principal, action, resource);").await;
    let config = site.configure_with("[shipping]\ncheckpoint_file = \"checkpoints\"\n");
    let serve = async || site.try_start(&config).await.unwrap().stop().await;
    let db = &site.database;
    serve().await;
    site.bailiwick(&["key", "rotate", "checkpoint", "--overlap", "0s"]);
    serve().await;
    let at = |name: &str| site.folder.path().join(name).to_str().unwrap().to_owned();
    let lost = store::checkpoint::newest(&db.owner).await.unwrap().unwrap();
    std::fs::write(at("lost"), lost.note).unwrap();
    set_back(db, lost.size - 1).await;
    site.bailiwick(&["audit", "accept-fork", "--by", "Ada", "--why", "the disk is gone", "--yes"]);
    serve().await;
    site.bailiwick(&["key", "rotate", "checkpoint", "--overlap", "0s"]);
    serve().await;

    let file = at("evidence");
    let made = cli(&["audit", "bundle", "--leaf", "0", "--database", &db.auditor_url, "--file", &file]).await;
    assert_eq!(made.code, 0, "{made:?}");
    let [first, second, newest]: [Verifier; 3] = keys(&site).await.try_into().unwrap();
    for (key, told) in [
        (&first, "for which the key vouches that was given"),
        (&second, "for which the key vouches that was given"),
        (&newest, "the key that was given"),
    ] {
        let said = cli(&["audit", "verify", "--bundle", &file, "--key", &key.to_string()]).await;
        assert!(said.code == 0 && said.out.contains(&format!("  signed by    {newest}, {told}")), "{said:?}");
        assert!(said.out.contains("accepted by Ada: the disk is gone"), "{said:?}");
        let (code, said) = python(&[&file, "--key", &key.to_string()]);
        assert!(code == 0 && said.contains(&format!("{newest}, {told}")) && said.contains("'Ada'"), "{said}");
        // What was kept and is lost by a cut that somebody accepted is no fork; anything else that differs is.
        for (kept, code) in [(at("lost"), 0), (forged(&site, &first), 1)] {
            let arguments = [&file, "--key", &key.to_string(), "--checkpoint", &kept];
            let said = cli(&[&["audit", "verify", "--bundle"], &arguments[..]].concat()).await;
            assert_eq!((said.code, python(&arguments).0), (code, code), "{kept}: {said:?}");
        }
    }
    let whole = std::fs::read_to_string(&file).unwrap();
    let folder = tempfile::tempdir().unwrap();
    agree(&tampered(&whole), &first, folder.path());
    // Without the notes by which they vouch, the newest key is a stranger to whoever has the first.
    let silent: String =
        whole.split_inclusive('\n').filter(|line| !line.starts_with("{\"checkpoint\"")).collect::<String>();
    assert_ne!(silent, whole);
    std::fs::write(at("silent"), &silent).unwrap();
    let thief = CheckpointSigner::from_seed(newest.name(), Uuid::nil(), &[8; 32]).unwrap();
    for (file, key, code) in
        [(at("silent"), &first, 1), (at("silent"), &newest, 0), (at("evidence"), thief.verifier(), 1)]
    {
        let said = cli(&["audit", "verify", "--bundle", &file, "--key", &key.to_string()]).await;
        assert_eq!((said.code, python(&[&file, "--key", &key.to_string()]).0), (code, code), "{key}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_vouched_is_heard_after_its_month_was_archived_and_without_it_nothing_is_claimed() {
    let past = Past::lived().await;
    let sound = past.verify(&[]).await;
    assert!(sound.code == 0 && sound.out.contains("  archived     41 of them by their hashes alone"), "{sound:?}");

    // Somebody changes what was kept.
    tamper(&past.db, "create table kept as table succession").await;
    tamper(&past.db, "update succession set leaf = set_byte(leaf, 60, get_byte(leaf, 60) # 1)").await;
    let said = past.verify(&[]).await;
    let told = "broken: entry 20: it was archived, and what was kept of it has other bytes";
    assert!(said.code == 1 && said.out.starts_with(told), "{said:?}");

    // It is gone: that says nothing about the log, unless the archive speaks.
    tamper(&past.db, "truncate succession").await;
    let said = past.verify(&[]).await;
    for part in ["which no trusted key has vouched for", "the entries 0 to 40 were archived", "--archive"] {
        assert!(said.code == 2 && said.err.contains(part), "{said:?}");
    }
    let said = past.verify(&["--archive", &past.archive, "--archive", &past.archive]).await;
    assert!(said.code == 0 && said.out.contains("41 bodies in archives given"), "{said:?}");

    // With every body at hand, a key that nobody vouched for is a finding.
    let thief = CheckpointSigner::from_seed(ORIGIN, Uuid::from_u128(9), &[9; 32]).unwrap();
    keep_key(&past.db, &thief, "retired").await;
    let newest = store::head::newest(&past.db.owner).await.unwrap();
    let note = thief.sign(0, newest.size, newest.root);
    let (size, root, key) = (newest.size, newest.root.to_vec(), thief.key());
    let row = store::checkpoint::Checkpoint { epoch: 0, size, key, root, note, signed_at: newest.recorded_at };
    store::checkpoint::insert(&past.db.owner, &row).await.unwrap();
    let said = past.verify(&["--archive", &past.archive]).await;
    assert!(said.code == 1 && said.out.contains("which no trusted key has vouched for"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_the_one_that_the_log_names_whatever_the_list_says() {
    let past = Past::lived().await;
    tamper(&past.db, "create table kept as table archive").await;
    let told = "broken: entry 46: it says that the entries 0 to 40 were archived, and the table `archive` does not";
    for change in
        ["update archive set file = 'other'", "update archive set sha256 = sha256('x')", "delete from archive"]
    {
        tamper(&past.db, change).await;
        let said = past.verify(&[]).await;
        assert!(said.code == 1 && said.out.starts_with(told), "{change}: {said:?}");
    }
    // The list says nothing of this file, which holds by itself; the log does.
    let whole = std::fs::read_to_string(&past.archive).unwrap();
    let other = past.folder.path().join("other");
    std::fs::write(&other, whole.replacen('{', "{ ", 1)).unwrap();
    let said = past.verify(&["--archive", other.to_str().unwrap()]).await;
    let told = "broken: entry 46: the archive given for the entries 0 to 40 is not the file that it names (SHA-256)";
    assert!(said.code == 1 && said.out.starts_with(told), "{said:?}");

    tamper(&past.db, "insert into archive table kept").await;
    tamper(&past.db, "delete from entry where leaf_index between 41 and 43").await;
    let said = past.verify(&[]).await;
    let told = "broken: one of the entries 41 to 43: missing, and no entry says that it was archived";
    assert!(said.code == 1 && said.out.starts_with(told), "{said:?}");
    assert!(said.out.contains("  missing      3 entries"), "{said:?}");
}

/// A log that replaced its key in January, which was archived and dropped since.
struct Past {
    db: TestDb,
    folder: tempfile::TempDir,
    archive: String,
}

impl Past {
    async fn lived() -> Self {
        let (db, folder) = (database().await, tempfile::tempdir().unwrap());
        let clock = Arc::new(FrozenClock::at(Timestamp::from_micros(1_767_996_000_000_000)));
        let (log, tasks) = log_at(&db.pool, clock.clone(), limits()).await;
        let next = || CheckpointSigner::from_seed(ORIGIN, Uuid::from_u128(17), &[17; 32]).unwrap();
        write(&log, 20).await;
        let (retired, active) = (signer().verifier().to_string(), next().verifier().to_string());
        let voucher = Some(signer().vouch_for(next().verifier(), 0));
        let event = Event::KeyRotated { retired, active, voucher, by: None };
        let rotated = Draft { caller: None, event, happened_at: clock.now(), request: None };
        drop(log.append(rotated).await.unwrap());
        eventually(async || (log.health().signed == 21).then_some(())).await;
        keep_key(&db, &signer(), "retired").await;
        keep_key(&db, &next(), "active").await;
        log.sign_with(signed_by(next()).after(vec![signer()]));
        write(&log, 20).await;
        clock.advance(Duration::from_secs(70 * 86_400));
        write(&log, 5).await;
        eventually(async || (log.health().signed == 46).then_some(())).await;

        let owner = db.another_pool("bailiwick_owner");
        let mut job = owner.acquire().await.unwrap();
        let due = due(&mut job, Duration::from_secs(86_400), clock.now()).await.unwrap().remove(0);
        let (broker, entropy) = (BrokerId::random(&SystemEntropy), Arc::new(SystemEntropy));
        let opened = Log::open(owner.clone(), signed_by(next()), broker, clock.clone(), entropy, limits()).await;
        let (writer, writing) = opened.unwrap();
        let (archived, _) = archive(&owner, &writer, &due, folder.path(), clock.now()).await.unwrap();
        drop_month(&mut job, &archived, folder.path(), clock.now()).await.unwrap();
        drop(job);
        writing.stop(Duration::from_secs(20)).await;
        tasks.stop(Duration::from_secs(20)).await;
        let archive = folder.path().join(archived.file).to_str().unwrap().to_owned();
        Self { db, folder, archive }
    }

    /// With nothing but the first key.
    async fn verify(&self, more: &[&str]) -> Said {
        assert!(self.folder.path().exists());
        let key = signer().verifier().to_string();
        cli(&[&["audit", "verify", "--database", &self.db.auditor_url, "--key", &key], more].concat()).await
    }
}

async fn write(log: &Log, many: u64) {
    for n in 0..many {
        drop(log.append(decision(n, Verdict::Deny)).await.unwrap());
    }
}

/// A kept checkpoint that says something else than the log, in the name of a key.
fn forged(site: &Site, of: &Verifier) -> String {
    let thief = CheckpointSigner::from_seed(of.name(), Uuid::nil(), &[8; 32]).unwrap();
    let path = site.write("forged", &thief.sign(0, 1, [9; 32]));
    path.to_str().unwrap().to_owned()
}

async fn keys(site: &Site) -> Vec<Verifier> {
    let origin = store::head::newest(&site.database.owner).await.unwrap().origin;
    let publics = store::key::publics(&site.database.owner, KeyPurpose::Checkpoint).await.unwrap();
    publics.into_iter().map(|public| Verifier::new(&origin, public.try_into().unwrap()).unwrap()).collect()
}
