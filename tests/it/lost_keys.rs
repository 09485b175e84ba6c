//! The wrapping key is lost, in the log's first epoch and in a later one: nothing happens by itself, and afterwards the log
//! says who decided what and why, with the old checkpoints still in force.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bailiwick::{
    app::{self, StartFault},
    audit::{
        Event, LogFault,
        checkpoint::{CheckpointSigner, Verifier},
    },
    config::Settings,
    credential::{Wrapping, keys},
    model::{SystemClock, SystemEntropy},
    store::{self, key::KeyPurpose},
};
use secrecy::ExposeSecret as _;
use sqlx::Executor as _;
use uuid::Uuid;

use crate::{
    fork::set_back,
    support::{
        Site,
        audit::{entries, kinds},
        database,
        ledger::{Said, cli, keep_key, tamper},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_wrapping_key_costs_an_epoch_that_says_who_and_why() {
    for earlier_epoch in [false, true] {
        let house = House::lived(earlier_epoch).await;
        let before = kinds(&house.site.database.pool).await;
        let epoch = u64::from(earlier_epoch) + 1;
        let old = house.signer().await;

        std::fs::remove_file(house.at("wrapping.key")).unwrap();
        assert_eq!(house.types(&["serve"]).await.code, 2, "its configuration names a file that is not there");
        let said = house.types(&["key", "init"]).await;
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains("wrapping.key, which is not there") && said.err.contains("--lost"), "{said:?}");
        assert!(!house.at("wrapping.key").exists(), "no other key lies where the old one may be put back");
        for half in [vec!["--lost"], vec!["--lost", "--by", "Ada"], vec!["--by", "Ada", "--why", "fire"]] {
            assert_eq!(house.types(&[&["key", "init"], half.as_slice()].concat()).await.code, 2, "{half:?}");
        }
        house.site.write("wrapping.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        assert!(matches!(house.start().await.err().unwrap(), StartFault::Credential(_)));
        let said = house.types(&["key", "init"]).await;
        assert!(said.code == 1 && said.err.contains("does not open") && said.err.contains("--lost"), "{said:?}");
        // As somebody would help themselves who owns the database.
        let retire = "update key set state = 'retired', retired_at = now() where state = 'active'";
        house.site.database.owner.execute(retire).await.unwrap();
        let said = house.types(&["key", "init"]).await;
        assert!(said.code == 1 && said.err.contains("entries that other keys have signed"), "{said:?}");
        assert_eq!(kinds(&house.site.database.pool).await, before, "nothing happened so far");

        let said = house.types(&["key", "init", "--lost", "--by", "Ada", "--why", "the safe burnt"]).await;
        assert_eq!(said.code, 0, "{said:?}");
        let told =
            format!("epoch {epoch} begins at entry {}, with new keys, decided by Ada: the safe burnt", before.len());
        assert!(said.err.contains(&told), "{said:?}");
        let new = house.keys().await.pop().unwrap();
        assert!(said.out.starts_with(&new.to_string()) && new != old.verifier().clone(), "{said:?}");
        let last = entries(&house.site.database.pool).await.pop().unwrap().event;
        let Event::EpochBegan { by, why, key, published_size: 0, .. } = last else { panic!("{last:?}") };
        assert_eq!((by.as_str(), why.as_str(), key), ("Ada", "the safe burnt", Some(new.to_string())));

        house.start().await.unwrap().stop().await;
        house.start().await.unwrap().stop().await;
        let said = house.types(&["key", "init", "--lost", "--by", "Ada", "--why", "once more"]).await;
        assert!(said.code == 1 && said.err.contains("nothing is lost"), "{said:?}");
        assert_eq!(house.types(&["key", "init"]).await.code, 0);
        assert_eq!(house.keys().await.pop().unwrap(), new);

        // Whoever holds both keys sees the whole log; to whoever has the old one alone the new one is a stranger.
        let both = house.verify(&[old.verifier(), &new], None).await;
        assert!(both.code == 0 && both.out.contains("with new keys, decided by Ada: the safe burnt"), "{both:?}");
        let stale = house.verify(&[old.verifier()], None).await;
        assert!(stale.code == 1 && stale.out.contains("no trusted key has vouched for"), "{stale:?}");
        // New keys give nothing of the past up: a checkpoint that the log does not continue is a fork as before.
        let forged = house.site.write("forged", &old.sign(epoch - 1, 1, [9; 32]));
        let broken = house.verify(&[old.verifier(), &new], Some(&forged)).await;
        assert_eq!(broken.code, 1, "{broken:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_nobody_came_to_sign_is_signed_by_the_next_broker_if_ours_began_it() {
    let house = House::lived(true).await;
    // Somebody died between the entry and its checkpoint.
    let db = &house.site.database;
    db.owner.execute("delete from checkpoint where epoch = 1").await.unwrap();
    std::fs::remove_file(house.at("checkpoints")).unwrap();
    house.start().await.unwrap().stop().await;
    let signed = store::checkpoint::newest(&db.owner).await.unwrap().unwrap();
    assert_eq!(signed.epoch, 1);

    // Of others than ours it is not signed, and keys that open are none that are lost.
    db.owner.execute("delete from checkpoint where epoch = 1").await.unwrap();
    tamper(db, "update head set batch = gen_random_uuid() where epoch = 1").await;
    std::fs::remove_file(house.at("checkpoints")).unwrap();
    let refused = house.start().await.err().unwrap();
    assert!(matches!(&refused, StartFault::Log(LogFault::Broken(_))), "{refused}");
    assert!(store::checkpoint::newest(&db.owner).await.unwrap().is_none_or(|kept| kept.epoch == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_lost_before_the_first_entry_shut_nobody_out() {
    let house = House::built().await;
    std::fs::remove_file(house.at("wrapping.key")).unwrap();
    let said = house.types(&["key", "init", "--lost", "--by", "Ada", "--why", "no volume"]).await;
    assert!(said.code == 0 && said.err.contains("epoch 1 begins at entry 0"), "{said:?}");
    house.start().await.unwrap().stop().await;
    house.start().await.unwrap().stop().await;
    let new = house.keys().await.pop().unwrap();
    let verified = house.verify(&[&new], None).await;
    assert!(verified.code == 0 && verified.out.contains("decided by Ada: no volume"), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_nothing_stands_beside_our_keys_but_those_that_were_lost() {
    let house = House::lived(false).await;
    let old = house.signer().await;
    std::fs::remove_file(house.at("wrapping.key")).unwrap();
    let said = house.types(&["key", "init", "--lost", "--by", "Ada", "--why", "the safe burnt"]).await;
    assert!(said.code == 0 && said.err.contains(&old.verifier().to_string()), "what is given up is named: {said:?}");
    house.start().await.unwrap().stop().await;

    let (db, ours) = (&house.site.database, house.keys().await.pop().unwrap());
    let thief = CheckpointSigner::from_seed(ours.name(), Uuid::from_u128(8), &[8; 32]).unwrap();
    keep_key(db, &thief, "retired").await;
    let stranger = async || {
        let refused = house.start().await.err().expect("a key is there that was never the log's");
        let StartFault::Log(LogFault::Stranger(named)) = &refused else { panic!("{refused}") };
        assert_eq!(*named, thief.verifier().to_string());
    };
    stranger().await;
    // That it was lost stands in the tables, and not in the tree.
    let mut entry = entries(&db.pool).await.pop().unwrap();
    let size = entries(&db.pool).await.len() as u64 - 1;
    entry.event = Event::EpochBegan {
        epoch: 1,
        size,
        root: String::new(),
        published_size: 0,
        published_root: String::new(),
        by: "Ada".into(),
        why: "more was lost".into(),
        key: Some(ours.to_string()),
        lost: Some(vec![old.verifier().to_string(), thief.verifier().to_string()]),
    };
    let leaf = hex::encode(entry.leaf().unwrap());
    tamper(db, &format!("insert into succession (leaf_index, leaf) values ({size}, '\\x{leaf}')")).await;
    stranger().await;
    tamper(db, &format!("update entry set kind = 'epoch-began', leaf = '\\x{leaf}' where leaf_index = {size}")).await;
    stranger().await;
}

/// A broker's installation with a past.
struct House {
    site: Site,
    config: PathBuf,
}

impl House {
    /// That has never served.
    async fn built() -> Self {
        let site = Site::prepare(database().await, "@id(\"all\") permit(principal, action, resource);").await;
        let config = site.configure(site.first_ports(), None);
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}\n[shipping]\ncheckpoint_file = \"checkpoints\"\n")).unwrap();
        Self { site, config }
    }

    async fn lived(earlier_epoch: bool) -> Self {
        let house = Self::built().await;
        house.start().await.unwrap().stop().await;
        house.start().await.unwrap().stop().await;
        if earlier_epoch {
            set_back(&house.site.database, 2).await;
            house.site.bailiwick(&["audit", "accept-fork", "--by", "Ada", "--why", "the disk is gone", "--yes"]);
            house.start().await.unwrap().stop().await;
        }
        house
    }

    async fn start(&self) -> Result<app::Running, StartFault> {
        let settings = Settings::load(&self.config).unwrap();
        app::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).await
    }

    async fn types(&self, arguments: &[&str]) -> Said {
        cli(&[arguments, &["--config", self.config.to_str().unwrap()]].concat()).await
    }

    async fn verify(&self, keys: &[&Verifier], kept: Option<&Path>) -> Said {
        let keys: Vec<String> = keys.iter().flat_map(|key| ["--key".to_owned(), key.to_string()]).collect();
        let published = self.at("checkpoints");
        let mut arguments = vec!["audit", "verify", "--published", published.to_str().unwrap()];
        arguments.extend(keys.iter().map(String::as_str));
        arguments.extend(kept.iter().flat_map(|kept| ["--checkpoint", kept.to_str().unwrap()]));
        self.types(&arguments).await
    }

    fn at(&self, name: &str) -> PathBuf {
        self.site.folder.path().join(name)
    }

    /// The keys of the log, the oldest first.
    async fn keys(&self) -> Vec<Verifier> {
        let db = &self.site.database.owner;
        let origin = store::head::newest(db).await.unwrap().origin;
        let publics = store::key::publics(db, KeyPurpose::Checkpoint).await.unwrap();
        publics.into_iter().map(|public| Verifier::new(&origin, public.try_into().unwrap()).unwrap()).collect()
    }

    /// The key that signs, as long as it can be had.
    async fn signer(&self) -> CheckpointSigner {
        let settings = Settings::load(&self.config).unwrap();
        let mut db = self.site.database.owner.acquire().await.unwrap();
        let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone());
        let key = keys::checkpoint(&mut db, &wrapping).await.unwrap();
        CheckpointSigner::from_seed(&settings.audit.origin, key.id, key.seed.expose_secret()).unwrap()
    }
}
