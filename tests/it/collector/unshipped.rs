//! A collector that is owed entries while no broker ships to it is said to be one, and can be given up by name.

use std::{fs, sync::Arc};

use bailiwick::{
    app,
    config::{BatchFormat, Settings},
    model::{BrokerId, Clock as _, SystemClock, SystemEntropy},
    shipping::collector::{Owed, Unshipped},
    store::collector,
};
use serde_json::Value;

use super::{Endpoint, cursor, fill, http, pace, ship, to, until_shipped};
use crate::support::{
    Site, database,
    ledger::{cli, tamper},
};

#[tokio::test]
async fn a_collector_that_is_owed_entries_and_has_no_broker_is_told_as_a_fault() {
    let db = database().await;
    let endpoint = Endpoint::willing(BatchFormat::Ndjson).await;
    let shipper = ship(&db.pool, to(http(&endpoint.url, BatchFormat::Ndjson)), pace()).await;
    fill(&db.pool, 4).await;
    until_shipped(&db.pool, 4).await;
    let look = async |format: &str| cli(&["audit", "collectors", "-o", format, "--database", &db.auditor_url]).await;
    assert_eq!(look("table").await.code, 0);
    shipper.stop().await;
    assert_eq!(look("table").await.code, 0, "nothing is owed to it");

    fill(&db.pool, 3).await;
    let lapsed = "update collector_cursor set holder = gen_random_uuid(), held_until = now() - interval '1 second'";
    for what in ["select 1", lapsed] {
        tamper(&db, what).await;
        let said = look("table").await;
        assert!(said.code == 1 && said.out.contains("no broker ships to it"), "{what}: {said:?}");
        let said = look("json").await;
        let all: Value = serde_json::from_str(&said.out).unwrap();
        assert!(said.code == 1 && all[0]["broker"].is_null() && all[0]["lag"] == 3, "{said:?}");
        assert_eq!(all[0]["fault"], "no broker ships to it");
    }
    let unshipped = Unshipped::default();
    unshipped.look(&db.pool, SystemClock.now()).await.unwrap();
    assert_eq!(unshipped.owed(), [], "another broker may be about to take it");
    unshipped.look(&db.pool, SystemClock.now()).await.unwrap();
    assert_eq!(unshipped.owed(), [Owed { collector: "siem".into(), entries: 3 }]);

    tamper(&db, "update collector_cursor set held_until = now() + interval '1 hour'").await;
    assert_eq!(look("table").await.code, 0, "a broker ships to it, and has written down no fault");
    unshipped.look(&db.pool, SystemClock.now()).await.unwrap();
    assert_eq!(unshipped.owed(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_given_up_by_name_on_record_and_never_one_that_is_in_use() {
    let site = Site::prepare(database().await, "@id(\"all\") permit(principal, action, resource);").await;
    let config = site.configure_with("");
    let settings = Settings::load(&config).unwrap();
    app::start(settings, Arc::new(SystemClock), Arc::new(SystemEntropy)).await.unwrap().stop().await;
    let (db, now) = (&site.database, SystemClock.now());
    collector::ensure(&db.pool, "siem", 1, now).await.unwrap();
    let owner = db.broker_url.replace("bailiwick_broker", "bailiwick_owner");
    let look =
        async |format: &str| cli(&["audit", "collectors", "-o", format, "--config", config.to_str().unwrap()]).await;
    let forget = async |config: &str, url: &str| {
        let who = ["--by", "Ada Lovelace", "--why", "replaced"];
        cli(&[&["audit", "forget-collector", "siem", "--url", url, "--config", config], who.as_slice()].concat()).await
    };
    let said = look("table").await;
    assert!(said.code == 1 && said.out.contains("this configuration does not name it"), "{said:?}");

    let naming = site.folder.path().join("naming.toml");
    let collector = "[[collector]]\nname = \"siem\"\nto = \"stdout\"\n";
    fs::write(&naming, format!("{}\n{collector}", fs::read_to_string(&config).unwrap())).unwrap();
    let said = forget(naming.to_str().unwrap(), &owner).await;
    assert!(said.code == 2 && said.err.contains("remove it there first"), "{said:?}");
    let holder = BrokerId::random(&SystemEntropy);
    let hour = std::time::Duration::from_secs(3600);
    let hold = collector::take(&db.pool, "siem", holder, now, now.plus(hour)).await.unwrap().unwrap();
    let config = config.to_str().unwrap();
    let said = forget(config, &owner).await;
    assert!(said.code == 2 && said.err.contains("a broker ships to the collector siem"), "{said:?}");
    collector::release(&db.pool, "siem", hold.fence).await.unwrap();
    let said = forget(config, &db.broker_url).await;
    assert!(said.code == 1 && cursor(&db.pool).await.is_some(), "a broker's account removes nothing: {said:?}");
    assert_eq!(super::skipped(&db.pool).await, []);

    let said = forget(config, &owner).await;
    assert!(said.code == 0 && said.out == "the collector siem is forgotten\n", "{said:?}");
    assert_eq!(cursor(&db.pool).await, None);
    let [(from, until, why)] = &super::skipped(&db.pool).await[..] else { panic!("one entry says so") };
    assert!(*from == 1 && *until > 2 && why == "forgotten by Ada Lovelace: replaced", "{from} {until} {why}");
    let said = forget(config, &owner).await;
    assert!(said.code == 2 && said.err.contains("there is no collector siem"), "{said:?}");
    let (table, json) = (look("table").await, look("json").await);
    assert!(table.code == 0 && table.out.is_empty() && table.err.contains("No collector"), "{table:?}");
    assert_eq!((json.code, json.out.as_str()), (0, "[]\n"));
}
