//! How an entry is proven: the first signed checkpoint that covers it, the key that signed it, and the hashes that lead
//! from the shown bytes to its root. The keys are those that the running log has, not those in the database: a key that another
//! broker signs with already is taken up a moment later. INVARIANT: nothing is called proven here that was not checked here,
//! from the bytes that are shown. Whoever does not trust this page verifies the same with their own tools.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    explain::lines,
    facts::{code, plain},
};
use crate::{
    audit::{
        Log,
        checkpoint::Verifier,
        proof::{self, ProofFault},
        search::{Losses, Lost},
        tree::{Hash, includes, leaf_hash},
    },
    model::Timestamp,
    portal::{PortalFault, page::ProofWords, words},
    store::checkpoint::{self, Checkpoint},
};

/// An entry's proof, as far as there is one.
pub struct Proven {
    leaf: Hash,
    index: u64,
    /// The first checkpoint by a key of ours that covers it, or by any other.
    pub checkpoint: Option<Checkpoint>,
    /// From its sibling up to the root's child; none: the stored hashes do not make one.
    pub path: Option<Vec<Hash>>,
    signed_by: Option<String>,
    /// Whether the checkpoint claims to be by a key that the running log has.
    is_claimed: bool,
}

/// Looks for the proof of the leaf at `index`, under one of the log's own keys: what the database calls one counts for
/// nothing. That it does not hold is an alarm; that a checkpoint claims a key that is not known here is none, because
/// another broker may have it already.
pub async fn prove(db: &mut PgConnection, log: &Log, index: u64, leaf: &[u8]) -> Result<Proven, PortalFault> {
    let proven = look(db, &log.keys(), index, leaf_hash(leaf)).await?;
    if proven.is_contradicted() {
        log.came_upon(&Losses { damaged: Lost::one(index), ..Losses::default() });
    } else if proven.is_claimed && proven.signed_by.is_none() {
        log.cannot_prove("a stored checkpoint is not what this log signed: run bailiwick audit verify");
    }
    Ok(proven)
}

async fn look(db: &mut PgConnection, keys: &[(Uuid, Verifier)], index: u64, leaf: Hash) -> Result<Proven, PortalFault> {
    let rows: Vec<Uuid> = keys.iter().map(|(row, _)| *row).collect();
    let checkpoint = checkpoint::covering(&mut *db, index, &rows).await?;
    let Some(sealed) = &checkpoint else {
        return Ok(Proven { leaf, index, checkpoint, path: None, signed_by: None, is_claimed: false });
    };
    let path = match proof::inclusion(&mut *db, index, sealed.size).await {
        Ok(path) => Some(path),
        Err(ProofFault::Store(fault)) => return Err(fault.into()),
        Err(_) => None,
    };
    let states = |verifier: &Verifier| {
        verifier.open(&sealed.note).is_ok_and(|said| said.size == sealed.size && said.root.as_slice() == sealed.root)
    };
    let signed_by = keys.iter().map(|(_, key)| key).find(|key| states(key)).map(ToString::to_string);
    let is_claimed = rows.contains(&sealed.key);
    Ok(Proven { leaf, index, checkpoint, path, signed_by, is_claimed })
}

impl Proven {
    /// Whether a checkpoint covers the entry, and the bytes do not lead to its root.
    pub fn is_contradicted(&self) -> bool {
        self.checkpoint.is_some() && !self.holds()
    }

    /// Whether the hashes lead from the bytes to the root that the checkpoint states.
    pub fn holds(&self) -> bool {
        let (Some(sealed), Some(path)) = (&self.checkpoint, &self.path) else { return false };
        let Ok(root) = sealed.root.as_slice().try_into() else { return false };
        includes(&root, sealed.size, self.index, self.leaf, path)
    }

    /// What does not hold when it is contradicted.
    pub fn contradiction(&self) -> String {
        format!(
            "the bytes of entry {} do not lead to the root of the checkpoint that covers them. Run bailiwick audit verify",
            self.index
        )
    }

    /// In words.
    pub fn words(&self, now: Timestamp) -> ProofWords {
        let hash = code("Leaf hash", hex::encode(self.leaf));
        let Some(sealed) = &self.checkpoint else {
            return ProofWords {
                badge: "not yet covered",
                tone: "maybe",
                sentence:
                    "No signed checkpoint covers this entry yet. One follows within a second of the entry; look again."
                        .to_owned(),
                facts: vec![hash],
                ..ProofWords::default()
            };
        };
        let (badge, tone, sentence) = match (self.holds(), &self.signed_by) {
            (true, Some(_)) => (
                "proven",
                "yes",
                format!("The bytes shown here lead to the root of the checkpoint over {}, whose signature holds.", words::entries(sealed.size)),
            ),
            (true, None) if !self.is_claimed => (
                "not proven here yet",
                "maybe",
                "The bytes lead to the checkpoint's root, but this broker does not know the key that it names: another broker may have it already. Look again, or run bailiwick audit verify.".to_owned(),
            ),
            (true, None) => (
                "not signed by a known key",
                "no",
                "The bytes lead to the checkpoint's root, but no key of this log signed it. Run bailiwick audit verify.".to_owned(),
            ),
            (false, _) => (
                "does not hold",
                "no",
                "The bytes do not lead to the root of the checkpoint that covers them: somebody has been at the database. Run bailiwick audit verify.".to_owned(),
            ),
        };
        let mut facts = vec![
            plain(
                "Checkpoint",
                format!("{}, signed {}", words::entries(sealed.size), words::ago(now, sealed.signed_at)),
            ),
            plain("Signed", sealed.signed_at.to_string()),
        ];
        facts.extend(self.signed_by.iter().map(|key| code("Key", key.clone())));
        facts.push(code("Root", hex::encode(&sealed.root)));
        facts.push(hash);
        ProofWords {
            badge,
            tone,
            sentence,
            facts,
            path: self.path.iter().flatten().map(hex::encode).collect(),
            note: Some(lines(&sealed.note)),
        }
    }

    /// The proof as a C2SP tlog-proof file. None: there is none that holds.
    pub fn file(&self) -> Option<String> {
        let sealed = self.checkpoint.as_ref().filter(|_| self.holds())?;
        Some(proof::tlog_proof(self.index, self.path.as_deref()?, &sealed.note))
    }
}
