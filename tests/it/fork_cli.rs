//! A fork as an operator meets it: the broker does not start and says why, the command says what differs before it does
//! anything, and afterwards the broker starts.

use std::{
    path::Path,
    process::{Command, Output},
};

use bailiwick::{app::StartFault, audit::LogFault};

use crate::{
    fork::set_back,
    support::{Site, database},
};

#[tokio::test]
async fn a_broker_starts_again_only_after_somebody_has_accepted_the_fork() {
    let site = Site::prepare(database().await, "@id(\"all\") permit(principal, action, resource);").await;
    let config = site.configure_with("[shipping]\ncheckpoint_file = \"checkpoints\"\n");
    let start = async || site.try_start(&config).await;
    start().await.unwrap().stop().await;
    start().await.unwrap().stop().await;
    assert!(accept(&config, &["--yes"]).status.code() == Some(1), "there is nothing to accept");

    set_back(&site.database, 2).await;
    // Where a batch ended: how its entries were grouped is a matter of time.
    let left = bailiwick::store::head::newest(&site.database.owner).await.unwrap().size;
    let refused = start().await.err().unwrap();
    assert!(matches!(refused, StartFault::Log(LogFault::Forked(_))), "{refused}");
    let served = bailiwick(&config, &["serve"]);
    assert_eq!(served.status.code(), Some(1));
    let told = String::from_utf8_lossy(&served.stderr).into_owned();
    assert!(told.contains(&format!("{left} entries of epoch 0")) && told.contains("accept-fork"), "{told}");

    let nowhere = accept(&config, &["--published", "/nonexistent"]);
    let told = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(nowhere.status.code() == Some(2) && told.contains("/nonexistent: No such file"), "{told}");
    let looked = accept(&config, &[]);
    assert_eq!(looked.status.code(), Some(1), "nothing was accepted");
    assert!(start().await.is_err());
    for missing in [["--by", " ", "--why", "x"], ["--by", "x", "--why", ""], ["--by", "x", "--why", "a\nb"]] {
        let output = bailiwick(&config, &[&["audit", "accept-fork", "--yes"], missing.as_slice()].concat());
        assert_eq!(output.status.code(), Some(2), "{missing:?}");
    }
    let accepted = accept(&config, &["--yes"]);
    let told = String::from_utf8_lossy(&accepted.stdout).into_owned();
    assert!(
        accepted.status.success() && told.contains(&format!("epoch 1 begins at entry {left}, accepted by Ada")),
        "{accepted:?}"
    );
    assert!(told.contains("/audit/epoch-1+"), "{told}");
    start().await.unwrap().stop().await;
    start().await.unwrap().stop().await;
    // What was published before the fork is covered by its acceptance; what was published since is compared.
    let file = site.folder.path().join("checkpoints");
    let verified = bailiwick(&config, &["audit", "verify", "--published", file.to_str().unwrap()]);
    let told = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && told.contains("accepted by Ada: the disk is gone"), "{verified:?}");
    assert!(told.contains(" published)"), "{told}");

    // A file that somebody has been at is no file to compare with.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("{\"at\"", "{\"At\"")).unwrap();
    assert!(matches!(start().await.err().unwrap(), StartFault::Shipping(_)));
    std::fs::write(&file, text.replace("epoch-1\\n", "epoch-2\\n")).unwrap();
    assert!(matches!(start().await.err().unwrap(), StartFault::Log(LogFault::Forked(_))));
    std::fs::write(&file, text).unwrap();
    start().await.unwrap().stop().await;
}

fn accept(config: &Path, more: &[&str]) -> Output {
    let arguments = ["audit", "accept-fork", "--by", "Ada", "--why", "the disk is gone"];
    bailiwick(config, &[&arguments, more].concat())
}

fn bailiwick(config: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bailiwick")).args(arguments).arg("--config").arg(config).output().unwrap()
}
