//! `bailiwick audit proof`: that an entry is in the log, or that the log continues what it was, as files of C2SP or as
//! JSON. INVARIANT: no proof is printed that does not hold against the root that it is printed with.

use clap::{Args, Subcommand};
use serde_json::json;
use sqlx::PgConnection;

use super::{
    super::{
        CliFault, Ending,
        output::{Format, say, say_json},
    },
    LogDatabase, newest_head,
};
use crate::{
    audit::{
        proof::{self, ProofFault, consistency, inclusion, tlog_proof, witness_request},
        tree::{Hash, continues, includes},
    },
    store::checkpoint,
};

/// `bailiwick audit proof …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Proof {
    /// That an entry is in the log: a C2SP tlog-proof
    #[command(
        after_help = "Exit code: 0 proven, 1 the stored hashes prove nothing, 2 there is no such entry or checkpoint.\n\n\
                            Examples:\n  bailiwick audit proof inclusion 4711 > 4711.tlog-proof\n  \
                            bailiwick audit proof inclusion 4711 --size 5000 -o json"
    )]
    Inclusion(Inclusion),
    /// That the log continues what it was: the form in which C2SP witnesses are asked
    #[command(
        after_help = "Exit code: 0 proven, 1 the stored hashes prove nothing, 2 there is no such checkpoint.\n\n\
                            Examples:\n  bailiwick audit proof consistency 4000\n  \
                            bailiwick audit proof consistency 4000 5000 -o json"
    )]
    Consistency(Consistency),
}

/// `bailiwick audit proof inclusion`
#[derive(Debug, Args)]
pub(in crate::cli) struct Inclusion {
    /// The entry's index
    leaf: u64,
    /// In the tree of so many entries; by default that of the newest checkpoint
    #[arg(long, value_name = "ENTRIES")]
    size: Option<u64>,
    #[command(flatten)]
    database: LogDatabase,
    /// table: a tlog-proof, which needs a checkpoint of that size; json: hashes and roots in hex
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// `bailiwick audit proof consistency`
#[derive(Debug, Args)]
pub(in crate::cli) struct Consistency {
    /// How many entries the older tree has
    old: u64,
    /// How many the newer one has; by default that of the newest checkpoint
    new: Option<u64>,
    #[command(flatten)]
    database: LogDatabase,
    /// table: the body of an add-checkpoint request, which needs a checkpoint of that size; json: hashes and roots in hex
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Proof {
    pub(super) async fn run(self) -> Result<Ending, CliFault> {
        match self {
            Self::Inclusion(command) => command.run().await,
            Self::Consistency(command) => command.run().await,
        }
    }
}

impl Inclusion {
    async fn run(self) -> Result<Ending, CliFault> {
        let mut db = self.database.connect().await?;
        let tree = Tree::of(&mut db, self.size, self.output).await?;
        let hashes = inclusion(&mut db, self.leaf, tree.size).await.map_err(fault)?;
        let leaf_hash = proof::leaf(&mut db, self.leaf).await.map_err(fault)?;
        expect(includes(&tree.root, tree.size, self.leaf, leaf_hash, &hashes))?;
        match (self.output, tree.note) {
            (Format::Table, Some(note)) => say(tlog_proof(self.leaf, &hashes, &note).trim_end()),
            (_, note) => say_json(&json!({
                "origin": tree.origin, "leaf_index": self.leaf, "size": tree.size, "leaf_hash": hex::encode(leaf_hash),
                "root": hex::encode(tree.root), "hashes": hexes(&hashes), "checkpoint": note,
            }))?,
        }
        Ok(Ending::Yes)
    }
}

impl Consistency {
    async fn run(self) -> Result<Ending, CliFault> {
        let mut db = self.database.connect().await?;
        let tree = Tree::of(&mut db, self.new, self.output).await?;
        let hashes = consistency(&mut db, self.old, tree.size).await.map_err(fault)?;
        let old_root = proof::root(&mut db, self.old).await.map_err(fault)?;
        expect(continues(&old_root, self.old, &tree.root, tree.size, &hashes))?;
        match (self.output, tree.note) {
            (Format::Table, Some(note)) => say(witness_request(self.old, &hashes, &note).trim_end()),
            (_, note) => say_json(&json!({
                "origin": tree.origin, "old_size": self.old, "old_root": hex::encode(old_root), "size": tree.size,
                "root": hex::encode(tree.root), "hashes": hexes(&hashes), "checkpoint": note,
            }))?,
        }
        Ok(Ending::Yes)
    }
}

/// What a proof leads to.
struct Tree {
    origin: String,
    size: u64,
    root: Hash,
    note: Option<String>,
}

impl Tree {
    /// The tree of `size` entries with its checkpoint, if it has one; without a size that of the newest checkpoint.
    async fn of(db: &mut PgConnection, size: Option<u64>, output: Format) -> Result<Self, CliFault> {
        let origin = newest_head(db).await?.origin;
        let signed = match size {
            None => checkpoint::newest(&mut *db).await,
            Some(size) => checkpoint::at(&mut *db, size).await,
        };
        let signed = signed.map_err(CliFault::could_not_look)?;
        match (signed, size) {
            (Some(signed), _) => {
                let root = signed.root.try_into().map_err(|_| broken())?;
                Ok(Self { origin, size: signed.size, root, note: Some(signed.note) })
            }
            (None, Some(size)) if output == Format::Json => {
                let root = proof::root(db, size).await.map_err(fault)?;
                Ok(Self { origin, size, root, note: None })
            }
            (None, Some(size)) => {
                let what = format!("no checkpoint covers exactly {size} entries; without one there is only -o json");
                Err(CliFault::could_not_look(what))
            }
            (None, None) => Err(CliFault::could_not_look("there is no checkpoint yet")),
        }
    }
}

fn expect(holds: bool) -> Result<(), CliFault> {
    if holds { Ok(()) } else { Err(broken()) }
}

fn broken() -> CliFault {
    CliFault::failed("the stored hashes do not lead to the stored root: verify the log")
}

fn fault(fault: ProofFault) -> CliFault {
    match fault {
        ProofFault::Missing => CliFault::failed(fault),
        _ => CliFault::could_not_look(fault),
    }
}

fn hexes(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(hex::encode).collect()
}
