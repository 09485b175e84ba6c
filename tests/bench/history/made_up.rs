//! A made-up log as brokers would have left it: entries, the heads of their batches, tiles, and signed checkpoints.

use std::{fmt::Write as _, time::Instant};

use bailiwick::{
    audit::{
        checkpoint::CheckpointSigner,
        tile::{Tile, Tree},
        tree::Hash,
    },
    model::Timestamp,
};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use super::{
    cluster::Cluster,
    history::{self, BATCH, recorded_at},
};

/// Half a second between entries: ten million are two months.
pub const PACE: i64 = 500_000;

const ORIGIN: &str = "auth.example.test/audit";

/// How many entries are written at a time; a checkpoint is signed after them.
const PART: u64 = 64_000;

/// What an auditor needs.
pub struct Log {
    /// Where it is.
    pub url: String,
    /// How many entries it has.
    pub size: u64,
    /// The key that its checkpoints are signed with.
    pub key: String,
}

pub async fn connect(role: &str, database: &str) -> PgConnection {
    PgConnection::connect(&Cluster::running().url(role, database)).await.unwrap()
}

/// Writes a log of `size` entries.
pub async fn write(size: u64) -> Log {
    prepare().await;
    let mut db = connect("postgres", "bench").await;
    history::make_room(&mut db, size, PACE).await;
    squeeze(&mut db).await;
    db.execute("set synchronous_commit = off").await.unwrap();
    let signer = CheckpointSigner::from_seed(ORIGIN, Uuid::nil(), &[7; 32]).unwrap();
    let (start, mut tree) = (Instant::now(), Tree::default());
    begin(&mut db).await;
    for from in (0..size).step_by(PART as usize) {
        let hashes = history::write(&mut db, (from, (from + PART).min(size)), PACE).await;
        extend(&mut db, &mut tree, &hashes).await;
        sign(&mut db, &signer, &tree).await;
        eprint!("\r{} entries written, {} s ", tree.size(), start.elapsed().as_secs());
    }
    eprintln!();
    for table in ["entry", "head", "tile"] {
        db.execute(AssertSqlSafe(format!("vacuum analyze {table}"))).await.unwrap();
    }
    db.execute("checkpoint").await.unwrap();
    let url = Cluster::running().url("bailiwick_auditor", "bench");
    Log { url, size, key: signer.verifier().to_string() }
}

async fn prepare() {
    let mut owner = connect("postgres", "postgres").await;
    for setting in ["max_wal_size = '2GB'", "shared_buffers = '512MB'", "checkpoint_timeout = '30min'"] {
        owner.execute(AssertSqlSafe(format!("alter system set {setting}"))).await.unwrap();
    }
    owner.execute("select pg_reload_conf()").await.unwrap();
    owner.execute("create database bench").await.unwrap();
    let pool = sqlx::PgPool::connect(&Cluster::running().url("postgres", "bench")).await.unwrap();
    bailiwick::store::migrate(&pool).await.unwrap();
    pool.close().await;
    for role in ["broker", "auditor"] {
        owner.execute(AssertSqlSafe(format!("alter role bailiwick_{role} login"))).await.unwrap();
    }
}

/// Leaves are compressed inside their rows to save the disk of whoever measures; that costs a reader, it saves nothing.
async fn squeeze(db: &mut PgConnection) {
    let parts: Vec<String> =
        sqlx::query_scalar("select inhrelid::regclass::text from pg_inherits where inhparent = 'entry'::regclass")
            .fetch_all(&mut *db)
            .await
            .unwrap();
    for part in parts {
        let squeeze = format!(
            "alter table {part} alter leaf set storage main, alter leaf set compression lz4, set (toast_tuple_target = 128)"
        );
        db.execute(AssertSqlSafe(squeeze)).await.unwrap();
    }
}

/// The empty tree, which the first batch follows.
async fn begin(db: &mut PgConnection) {
    let begun = bailiwick::store::head::begin_log(db, ORIGIN, batch(0), Timestamp::from_micros(history::START)).await;
    assert_eq!(begun.unwrap(), ORIGIN);
}

fn batch(size: u64) -> bailiwick::model::BatchId {
    bailiwick::model::BatchId::from_uuid(history::id(6, size))
}

/// Adds the entries with these hashes to the tree: the heads of their batches, and the tiles that they complete.
async fn extend(db: &mut PgConnection, tree: &mut Tree, hashes: &[Hash]) {
    let (mut heads, mut complete) = (String::new(), Vec::new());
    for listed in hashes.chunks(BATCH as usize) {
        let parent = tree.size();
        listed.iter().for_each(|hash| tree.append(*hash, &mut complete));
        let (size, root, edge) = (tree.size(), hex::encode(tree.root()), hex::encode(tree.edge().to_bytes()));
        let (listed, batch, at) = (hex::encode(listed.concat()), batch(size), recorded_at(parent, PACE));
        writeln!(heads, "0\t{size}\t{parent}\t{ORIGIN}\t\\\\x{root}\t\\\\x{edge}\t\\\\x{listed}\t{batch}\t\\N\t{at}")
            .unwrap();
    }
    let columns = "epoch, size, parent_size, origin, root, edge, hashes, batch, broker, recorded_at";
    copy(db, &format!("head ({columns})"), heads).await;
    let mut tiles = String::new();
    for Tile { level, index, hashes } in complete {
        writeln!(tiles, "{level}\t{index}\t\\\\x{}", hex::encode(hashes.concat())).unwrap();
    }
    copy(db, "tile (level, tile_index, hashes)", tiles).await;
}

async fn sign(db: &mut PgConnection, signer: &CheckpointSigner, tree: &Tree) {
    let note = signer.sign(0, tree.size(), tree.root());
    sqlx::query("insert into checkpoint (epoch, size, key, root, note, signed_at) values (0, $1, $2, $3, $4, now())")
        .bind(i64::try_from(tree.size()).unwrap())
        .bind(Uuid::nil())
        .bind(tree.root().as_slice())
        .bind(note)
        .execute(db)
        .await
        .unwrap();
}

async fn copy(db: &mut PgConnection, into: &str, rows: String) {
    let mut copy = db.copy_in_raw(&format!("copy {into} from stdin")).await.unwrap();
    copy.send(rows.into_bytes()).await.unwrap();
    copy.finish().await.unwrap();
}
