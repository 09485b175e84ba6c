//! Proofs out of the stored tiles: right at every size, the same that the entries give, refused where the tiles were
//! edited, and printed by the command line in the forms of C2SP.

use bailiwick::{
    audit::{
        proof::{self, ProofFault},
        tile::WIDTH,
        tree::{Hash, continues, empty_root, includes, leaf_hash, range_root},
    },
    store::{checkpoint, entry},
};

use crate::support::{
    TestDb,
    ledger::{cli, filled, tamper},
};

#[tokio::test]
async fn every_proof_is_the_one_that_the_entries_give() {
    let db = filled(700).await;
    let leaves = leaves(&db).await;
    let mut reader = db.pool.acquire().await.unwrap();
    for size in [1, 2, 255, 256, 257, 511, 512, 513, 640, 700] {
        let root = range_root(leaves.as_slice(), 0, size).unwrap();
        assert_eq!(proof::root(&mut reader, size).await.unwrap(), root, "{size}");
        let indexes: Vec<u64> =
            [0, 1, 77, 255, 256, size / 2, size - 1].into_iter().filter(|index| *index < size).collect();
        let proofs = proof::inclusions(&mut reader, &indexes, size).await.unwrap();
        for (index, hashes) in indexes.into_iter().zip(proofs) {
            let leaf = leaves[index as usize];
            assert_eq!(proof::leaf(&mut reader, index).await.unwrap(), leaf);
            assert!(includes(&root, size, index, leaf, &hashes), "{index} of {size}");
            assert!(!includes(&root, size, index, leaf_hash(b"another"), &hashes));
            let old_root = range_root(leaves.as_slice(), 0, index + 1).unwrap();
            let hashes = proof::consistency(&mut reader, index + 1, size).await.unwrap();
            assert!(continues(&old_root, index + 1, &root, size, &hashes), "{} to {size}", index + 1);
        }
    }
    assert_eq!(proof::root(&mut reader, 0).await.unwrap(), empty_root());
    assert_eq!(proof::consistency(&mut reader, 0, 700).await.unwrap(), [[0; 32]; 0]);
}

#[tokio::test]
async fn tiles_of_every_width_are_given_out_and_none_beyond_the_log() {
    let db = filled(700).await;
    let leaves = leaves(&db).await;
    let mut reader = db.pool.acquire().await.unwrap();
    for (index, width) in [(0, 256), (0, 1), (1, 256), (1, 77), (2, 188), (2, 1)] {
        let tile = proof::tile(&mut reader, 0, index, width).await.unwrap().unwrap();
        let start = index as usize * WIDTH;
        assert_eq!(tile, leaves[start..start + width], "{index}, {width}");
    }
    let above = proof::tile(&mut reader, 1, 0, 2).await.unwrap().unwrap();
    assert_eq!(above, [0, 256].map(|start| range_root(leaves.as_slice(), start, start + 256).unwrap()));
    for (level, index, width) in [
        (0, 2, 189),
        (0, 3, 1),
        (1, 0, 3),
        (2, 0, 1),
        (0, 0, 0),
        (0, 0, 257),
        (63, 0, 1),
        (255, 1, 1),
        (0, u64::MAX, 1),
    ] {
        assert_eq!(proof::tile(&mut reader, level, index, width).await.unwrap(), None, "{level}/{index}.p/{width}");
    }
    assert!(matches!(proof::inclusion(&mut reader, 700, 700).await, Err(ProofFault::Beyond(_))));
    assert!(matches!(proof::inclusion(&mut reader, 0, 701).await, Err(ProofFault::Beyond(_))));
    assert!(matches!(proof::consistency(&mut reader, 5, 4).await, Err(ProofFault::Beyond(_))));
}

#[tokio::test]
async fn the_command_line_prints_proofs_and_the_checkpoint_they_lead_to() {
    let db = filled(300).await;
    let note = checkpoint::newest(&db.owner).await.unwrap().unwrap().note;
    let at = ["--database", &db.auditor_url];
    let printed = cli(&[&["audit", "checkpoint"], at.as_slice()].concat()).await;
    assert_eq!((printed.code, printed.out.as_str()), (0, note.as_str()));

    let proof = cli(&[["audit", "proof"], ["inclusion", "7"], at].concat()).await;
    assert_eq!(proof.code, 0, "{proof:?}");
    assert!(proof.out.starts_with("c2sp.org/tlog-proof@v1\nindex 7\n"), "{proof:?}");
    assert!(proof.out.ends_with(&format!("=\n\n{note}")), "{proof:?}");
    let asked = cli(&[["audit", "proof"], ["consistency", "7"], at].concat()).await;
    assert!(asked.out.starts_with("old 7\n") && asked.out.ends_with(&format!("=\n\n{note}")), "{asked:?}");

    let proof = cli(&["audit", "proof", "inclusion", "7", "--size", "8", "-o", "json", at[0], at[1]]).await;
    let proof: serde_json::Value = serde_json::from_str(&proof.out).unwrap();
    let leaves = leaves(&db).await;
    assert_eq!(proof["leaf_hash"], hex::encode(leaves[7]));
    assert_eq!(proof["root"], hex::encode(range_root(&leaves[..8], 0, 8).unwrap()));
    for (arguments, code) in [(["inclusion", "300"], 2), (["inclusion", "x"], 2), (["consistency", "301"], 2)] {
        assert_eq!(cli(&[["audit", "proof"], arguments, at].concat()).await.code, code, "{arguments:?}");
    }

    tamper(&db, "update tile set hashes = set_byte(hashes, 77, get_byte(hashes, 77) # 1)").await;
    let wrong = cli(&[["audit", "proof"], ["inclusion", "7"], at].concat()).await;
    assert_eq!((wrong.code, wrong.out.as_str()), (1, ""), "an edited tile proves nothing: {wrong:?}");
    tamper(&db, "delete from tile").await;
    assert_eq!(cli(&[["audit", "proof"], ["inclusion", "7"], at].concat()).await.code, 0, "heads list the hashes too");
}

async fn leaves(db: &TestDb) -> Vec<Hash> {
    let rows = entry::following(&db.owner, 0, 100_000).await.unwrap();
    rows.iter().map(|(_, leaf)| leaf_hash(leaf)).collect()
}
