//! Is the database what was published? If it is behind or different, nobody is let in until somebody has accepted that,
//! by name and with a reason; the log then goes on as another epoch, whose first entry says so.
//!
//! The database's owner may have done anything to it. INVARIANT: a new epoch is believed only with a checkpoint of that
//! epoch that our own key signed, which no copy of the database can forge.

use std::{fmt, sync::Arc};

use sqlx::PgConnection;

use super::{
    Entry, Event, LogFault, Signed, Signers, beginning,
    checkpoint::{Checkpoint, name_in_epoch},
    own_keys,
    position::{Astray, NOT_OURS, Position},
    proof::{ProofFault, consistency},
    published::Published,
    shared::Shared,
    tree::{Hash, continues, leaf_hash},
};
use crate::{
    model::{BatchId, Clock, Entropy},
    store::{StoreFault, entry, epoch, head, tile},
};

/// The database and what was published of it, where the one does not continue the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// What was published.
    pub published: Published,
    /// The epoch of the database.
    pub epoch: u64,
    /// How many entries it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
    /// Whether its newest batch is one that a broker of this log made.
    pub is_ours: bool,
    /// Whether it continues what was published.
    pub continues: bool,
}

/// Why a fork was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptFault {
    /// There is none.
    #[error("the database continues what was published; there is nothing to accept")]
    Nothing,
    /// The tables do not agree with each other, so no log can go on from them.
    #[error("the database has {0} beyond its newest head: part of it was removed. Restore a whole copy of it first")]
    Leftover(&'static str),
    /// Somebody writes meanwhile.
    #[error("the log was extended at this moment: stop every broker and try again")]
    Moved,
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogFault),
    /// The entry could not be encoded.
    #[error("the name or the reason does not fit into an entry")]
    Unfit,
}

impl From<StoreFault> for AcceptFault {
    fn from(fault: StoreFault) -> Self {
        Self::Log(fault.into())
    }
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { published, epoch, size, root, is_ours, continues } = self;
        let (stated, root) = (&published.checkpoint, hex::encode(root));
        write!(f, "the database holds {size} entries of epoch {epoch} with the root {root}")?;
        if !is_ours {
            write!(f, ", of which the last batch {NOT_OURS}")?;
        }
        if *continues {
            return Ok(());
        }
        f.write_str(", and does not continue what was ")?;
        write!(
            f,
            "published: {} entries of epoch {} with the root {}",
            stated.size,
            published.epoch,
            hex::encode(stated.root)
        )?;
        if !published.is_signed {
            f.write_str(", signed by a key that this database does not have")?;
        }
        Ok(())
    }
}

/// An epoch after the first is one that somebody accepted who holds our keys; nothing is signed in any other.
pub(super) async fn expect_own_epoch(
    db: &mut PgConnection,
    position: &Position,
    signers: &Signers,
) -> Result<(), LogFault> {
    if position.epoch == 0 || is_of_ours(db, position, 0, signers).await? {
        return Ok(());
    }
    let epoch = position.epoch;
    let what = if has_begun(db, epoch).await? {
        format!(
            "it is in epoch {epoch}, which no key of this broker has signed. If the keys that did are lost for good, \
             `bailiwick key init --lost` lets it go on"
        )
    } else {
        format!(
            "its newest head claims epoch {epoch}, and no entry says that one began: the table was changed. \
             `bailiwick audit verify` says where"
        )
    };
    Err(LogFault::Broken(what))
}

/// Whether the first entry under a head of `epoch` says that it began; true as well if its body is archived.
async fn has_begun(db: &mut PgConnection, epoch: u64) -> Result<bool, LogFault> {
    let Some(began) = epoch::after(&mut *db, epoch - 1).await? else { return Ok(false) };
    let Some(leaf) = began.leaf else { return Ok(true) };
    let event = Entry::from_leaf(&leaf).map(|entry| entry.event);
    Ok(matches!(event, Ok(Event::EpochBegan { epoch: said, .. }) if said == epoch))
}

/// The newest batch must be of a broker of this log: our signature would make it true. What our key has signed before
/// counts as well.
pub(super) async fn expect_ours(db: &mut PgConnection, position: &Position, signers: &Signers) -> Result<(), LogFault> {
    if is_ours(db, position, signers).await? {
        return Ok(());
    }
    Err(LogFault::Broken(format!("the batch up to {} entries {NOT_OURS}", position.tree.size())))
}

async fn is_ours(db: &mut PgConnection, position: &Position, signers: &Signers) -> Result<bool, LogFault> {
    let Some(last) = position.tree.size().checked_sub(1) else { return Ok(true) };
    is_of_ours(db, position, last, signers).await
}

/// The log in `db`, if it continues what was `published`, or somebody has accepted that it does not.
pub(super) async fn compare(
    db: &mut PgConnection,
    published: &Published,
    signers: &Signers,
) -> Result<Result<Position, Fork>, LogFault> {
    let position = Position::load(&mut *db).await?;
    let (size, root) = (position.tree.size(), position.tree.root());
    let is_ours = is_ours(db, &position, signers).await?;
    let continues = match published.epoch == position.epoch {
        true => published.is_signed && is_prefix(db, &published.checkpoint, size, root).await?,
        false => published.epoch < position.epoch && is_accepted(db, published, &position, signers).await?,
    };
    Ok(if is_ours && continues {
        Ok(position)
    } else {
        Err(Fork { published: published.clone(), epoch: position.epoch, size, root, is_ours, continues })
    })
}

/// Moves to the newest head. Where that is of a new epoch, its beginning must have been accepted.
pub(super) async fn follow(shared: &Shared, db: &mut PgConnection, position: &mut Position) -> Result<bool, Astray> {
    let signers = Arc::clone(&shared.signers.borrow());
    let what = match position.follow(&mut *db, &signers).await {
        Err(Astray::Broken(what)) => what,
        other => return other,
    };
    if head::newest(&mut *db).await?.epoch <= position.epoch {
        return Err(Astray::Broken(what));
    }
    let (seen, name) = (position.acknowledged(), signers.origin().to_owned());
    let origin = name_in_epoch(&name, seen.epoch);
    let checkpoint = Checkpoint { origin, size: seen.size, root: seen.root };
    let own = Published { epoch: seen.epoch, checkpoint, note: String::new(), is_signed: true };
    match compare(db, &own, &signers).await {
        Ok(Ok(newer)) => {
            tracing::error!(epoch = newer.epoch, "an operator accepted that the audit log's past was cut");
            *position = newer;
            Ok(true)
        }
        Ok(Err(fork)) => Err(Astray::Broken(fork.to_string())),
        Err(LogFault::Store(fault)) => Err(fault.into()),
        Err(fault) => Err(Astray::Broken(fault.to_string())),
    }
}

/// Whether the tree of `size` leaves continues the one that `old` states.
async fn is_prefix(db: &mut PgConnection, old: &Checkpoint, size: u64, root: Hash) -> Result<bool, LogFault> {
    if old.size > size {
        return Ok(false);
    }
    match consistency(db, old.size, size).await {
        Ok(proof) => Ok(continues(&old.root, old.size, &root, size, &proof)),
        Err(ProofFault::Store(fault)) => Err(fault.into()),
        Err(ProofFault::Beyond(_) | ProofFault::Missing) => Ok(false),
    }
}

/// Whether the first epoch after the published one began with an entry that covers what was published, and the epoch
/// that the database is in now is one that our key has signed.
async fn is_accepted(
    db: &mut PgConnection,
    published: &Published,
    position: &Position,
    signers: &Signers,
) -> Result<bool, LogFault> {
    let (size, root) = (position.tree.size(), position.tree.root());
    let Some(began) = epoch::after(&mut *db, published.epoch).await? else { return Ok(false) };
    if !is_of_ours(db, position, began.size, signers).await? {
        return Ok(false);
    }
    if published.is_signed && is_prefix(db, &published.checkpoint, size, root).await? {
        return Ok(true);
    }
    let Some(leaf) = began.leaf.filter(|leaf| began.hash == leaf_hash(leaf)) else { return Ok(false) };
    let Ok(Entry { event: Event::EpochBegan { epoch, published_size, published_root, .. }, .. }) =
        Entry::from_leaf(&leaf)
    else {
        return Ok(false);
    };
    let stated = &published.checkpoint;
    let is_covered =
        stated.size < published_size || stated.size == published_size && published_root == hex::encode(stated.root);
    Ok(epoch == began.epoch && is_covered)
}

/// Whether more than `least` entries of the epoch that the database is in are of brokers of ours: they made its newest batch, or
/// a key that still signs has signed so many. What a key has signed that is retired may be its thief's, as it may be why it is.
pub(super) async fn is_of_ours(
    db: &mut PgConnection,
    position: &Position,
    least: u64,
    signers: &Signers,
) -> Result<bool, LogFault> {
    let (size, root) = (position.tree.size(), position.tree.root());
    if size > least && position.is_ours(signers) {
        return Ok(true);
    }
    for key in signers.signing() {
        let Some(note) = epoch::newest_note(&mut *db, position.epoch, key.key()).await? else { continue };
        let Ok(stated) = key.verifier().open(&note) else { continue };
        let is_current = stated.epoch(key.origin()) == Some(position.epoch) && stated.size > least;
        if is_current && is_prefix(db, &stated, size, root).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What whoever accepts a fork brings along.
pub struct Acceptance<'a> {
    /// What was published.
    pub published: &'a Published,
    /// The keys that sign.
    pub signers: &'a Signers,
    /// Who accepts it.
    pub by: &'a str,
    /// Why.
    pub why: &'a str,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Randomness.
    pub entropy: &'a dyn Entropy,
}

/// Says whether the log in `db` continues what was published, without changing anything.
pub async fn look(db: &mut PgConnection, published: &Published, signers: &Signers) -> Result<Option<Fork>, LogFault> {
    Ok(compare(db, published, signers).await?.err())
}

/// Begins an epoch with the database as it is, and signs its first head.
pub async fn accept(db: &mut PgConnection, acceptance: &Acceptance<'_>) -> Result<Signed, AcceptFault> {
    let Acceptance { published, signers, clock, entropy, .. } = *acceptance;
    let now = clock.now();
    head::begin_log(&mut *db, signers.origin(), BatchId::random(entropy), now).await?;
    let Err(fork) = compare(db, published, signers).await? else { return Err(AcceptFault::Nothing) };
    expect_whole(db, fork.size).await?;
    let position = Position::load(&mut *db).await.map_err(LogFault::from)?;
    own_keys::expect_own_keys(db, &position, signers).await?;
    let epoch = fork.epoch.max(published.epoch) + 1;
    let event = Event::EpochBegan {
        epoch,
        size: fork.size,
        root: hex::encode(fork.root),
        published_size: published.checkpoint.size,
        published_root: hex::encode(published.checkpoint.root),
        by: acceptance.by.to_owned(),
        why: acceptance.why.to_owned(),
        key: None,
        lost: None,
    };
    let begun = beginning::write(&mut *db, position, signers, (epoch, event), (now, entropy)).await?;
    Ok(begun.sign(db, signers, now).await?)
}

/// Nothing may lie beyond the head that the log is to go on from.
pub(super) async fn expect_whole(db: &mut PgConnection, size: u64) -> Result<(), AcceptFault> {
    let (last, _) = entry::extent(&mut *db).await?;
    if last.is_some_and(|last| last >= size) {
        return Err(AcceptFault::Leftover("entries"));
    }
    let mut complete = size / 256;
    for level in 0..8 {
        if tile::count(&mut *db, level).await? > complete {
            return Err(AcceptFault::Leftover("tiles"));
        }
        complete /= 256;
    }
    Ok(())
}
