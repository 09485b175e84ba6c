//! The keys that signed the log are lost, so nobody can vouch for new ones. The log goes on as another epoch, whose first
//! entry says who decided that, why, and which key signs from there on. Nothing of the past is given up by it: what was
//! published before must still be continued.

use sqlx::PgConnection;

use super::{
    Event, LogFault, Signers,
    beginning::{self, Begun},
    fork::{self, AcceptFault},
    position::Position,
    tree::empty_root,
};
use crate::{
    model::{BatchId, Entropy, Timestamp},
    store::head,
};

/// Whose decision it is, and why.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// Who.
    pub by: &'a str,
    /// Why.
    pub why: &'a str,
}

/// Whether one of `signers` has signed the epoch that the log is in; true as well for the first, and for no log.
pub async fn is_signed_by(db: &mut PgConnection, signers: &Signers) -> Result<bool, LogFault> {
    if !head::has_entries(&mut *db).await? {
        return Ok(true);
    }
    let position = Position::load(&mut *db).await?;
    match fork::expect_own_epoch(db, &position, signers).await {
        Ok(()) => Ok(true),
        Err(LogFault::Broken(_)) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Begins an epoch in which `signers` sign, in the transaction that makes their keys. So does a log that has no entry yet:
/// the keys that were made for it are not accounted for otherwise.
pub async fn go_on(
    db: &mut PgConnection,
    signers: &Signers,
    decided: Decided<'_>,
    (now, entropy): (Timestamp, &dyn Entropy),
) -> Result<Begun, AcceptFault> {
    head::begin_log(&mut *db, signers.origin(), BatchId::random(entropy), now).await?;
    let position = Position::load(&mut *db).await.map_err(LogFault::from)?;
    fork::expect_whole(db, position.tree.size()).await?;
    let epoch = position.epoch + 1;
    let event = Event::EpochBegan {
        epoch,
        size: position.tree.size(),
        root: hex::encode(position.tree.root()),
        // Nothing that was published is given up.
        published_size: 0,
        published_root: hex::encode(empty_root()),
        by: decided.by.to_owned(),
        why: decided.why.to_owned(),
        key: Some(signers.active().verifier().to_string()),
        lost: Some(signers.strangers()),
    };
    beginning::write(db, position, signers, (epoch, event), (now, entropy)).await
}
