//! What somebody does who knows the format and may write everything: canonical bytes, the right columns, right hashes
//! all the way up. Only a key and what was published are out of their reach.

use bailiwick::{
    audit::{Entry, Event, checkpoint::CheckpointSigner, entry::Columns, tile::Tree, tree::leaf_hash},
    store::{
        self,
        checkpoint::Checkpoint,
        entry::{following, leaves},
    },
};

use crate::support::{TestDb, audit::signer};

/// How far the rewriting goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The entry and the batch that it came in.
    ItsHead,
    /// Every head that covers it as well.
    AllHeads,
}

/// Makes entry `index` that of another person, up to `reach`.
pub async fn rewrite(db: &TestDb, index: u64, reach: Reach) {
    change(db, index, |entry| {
        let Some(caller) = &mut entry.caller else { panic!("a decision has a caller") };
        caller.identity.subject = "somebody-else".into();
    })
    .await;
    rewrite_heads(db, index, reach).await;
}

/// Makes entry `index` say that our key was replaced by `key`, and all heads cover it.
pub async fn claim_rotation(db: &TestDb, index: u64, key: &CheckpointSigner) {
    let (retired, active) = (signer().verifier().to_string(), key.verifier().to_string());
    change(db, index, |entry| {
        entry.event = Event::KeyRotated { retired: retired.clone(), active: active.clone(), voucher: None, by: None }
    })
    .await;
    rewrite_heads(db, index, Reach::AllHeads).await;
}

/// Signs the log as it is now with `key`, in place of every checkpoint that there was.
pub async fn sign_anew(db: &TestDb, key: &CheckpointSigner) {
    sqlx::raw_sql("delete from checkpoint").execute(&db.owner).await.unwrap();
    sign(db, key, store::head::newest(&db.owner).await.unwrap().size).await;
}

/// A checkpoint of the first `size` entries by `key`, as its note.
pub async fn sign(db: &TestDb, key: &CheckpointSigner, size: u64) -> String {
    let root = bailiwick::audit::proof::root(&mut db.owner.acquire().await.unwrap(), size).await.unwrap();
    let note = key.sign(0, size, root);
    let signed_at = store::head::newest(&db.owner).await.unwrap().recorded_at;
    let row = Checkpoint { epoch: 0, size, key: key.key(), root: root.to_vec(), note: note.clone(), signed_at };
    store::checkpoint::insert(&db.owner, &row).await.unwrap();
    note
}

/// Makes the stored tiles those of the entries that there are now.
pub async fn rewrite_tiles(db: &TestDb) {
    let (mut tree, mut complete) = (Tree::default(), Vec::new());
    for (_, leaf) in following(&db.owner, 0, 100_000).await.unwrap() {
        tree.append(leaf_hash(&leaf), &mut complete);
    }
    for tile in complete {
        sqlx::query("update tile set hashes = $3 where level = $1 and tile_index = $2")
            .bind(i16::from(tile.level))
            .bind(tile.index as i64)
            .bind(tile.hashes.concat())
            .execute(&db.owner)
            .await
            .unwrap();
    }
}

async fn change(db: &TestDb, index: u64, change: impl Fn(&mut Entry)) {
    let (_, leaf) = leaves(&db.owner, &[index]).await.unwrap().pop().unwrap();
    let mut entry = Entry::from_leaf(&leaf).unwrap();
    change(&mut entry);
    let columns = Columns::of(&entry);
    sqlx::query("update entry set leaf = $2, kind = $3, verdict = $4, target = $5 where leaf_index = $1")
        .bind(index as i64)
        .bind(entry.leaf().unwrap())
        .bind(columns.kind)
        .bind(columns.verdict)
        .bind(columns.target)
        .execute(&db.owner)
        .await
        .unwrap();
}

async fn rewrite_heads(db: &TestDb, index: u64, reach: Reach) {
    let mut tree = Tree::default();
    let all = following(&db.owner, 0, 100_000).await.unwrap();
    for step in store::head::steps_past(&db.owner, 0, 100_000).await.unwrap() {
        let (start, size) = (step.parent_size.unwrap(), step.head.size);
        let hashes: Vec<_> = all[start as usize..size as usize].iter().map(|(_, leaf)| leaf_hash(leaf)).collect();
        hashes.iter().for_each(|hash| tree.append(*hash, &mut Vec::new()));
        let is_its_own = (start..size).contains(&index);
        if is_its_own || index < size && reach == Reach::AllHeads {
            sqlx::query("update head set root = $2, edge = $3, hashes = $4 where size = $1")
                .bind(size as i64)
                .bind(tree.root().as_slice())
                .bind(tree.edge().to_bytes())
                .bind(hashes.concat())
                .execute(&db.owner)
                .await
                .unwrap();
        }
    }
}
