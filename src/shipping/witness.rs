//! A witness is asked to cosign (C2SP tlog-witness, add-checkpoint): it is shown that the new checkpoint continues the
//! last one that it cosigned, and answers with its own timestamped signature over the note.
//!
//! It controls what it answers. A cosignature counts only if it holds over our note; a size only says from where to prove
//! next. A witness that says that our history is not the one it knows is an alarm, never a command.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::time::{Instant, sleep};
use url::Url;

use super::{carrier::Undelivered, post::post, ship::Cosigned};
use crate::{
    audit::{
        Log, Signed,
        cosignature::Witness,
        printable,
        proof::{ProofFault, consistency, witness_request},
    },
    outbound::Outbound,
};

/// Asks one witness.
pub(super) struct WitnessClient {
    pub(super) address: Url,
    pub(super) witness: Witness,
    pub(super) client: Outbound,
    pub(super) pool: PgPool,
    pub(super) log: Log,
    pub(super) cosigned: Arc<Cosigned>,
    /// The epoch and the size that it cosigned last, as far as we know.
    pub(super) known: (u64, u64),
}

/// What the witness said.
enum Answer {
    /// The signature lines.
    Lines(String),
    /// It has cosigned so many entries, and not what we thought.
    Size(u64),
}

impl WitnessClient {
    /// Gets a cosignature of `signed`, or learns that the witness is further already.
    pub(super) async fn deliver(&mut self, signed: &Signed) -> Result<(), Undelivered> {
        if self.known.0 != signed.epoch {
            self.known = (signed.epoch, 0);
        }
        for _ in 0..MOST_ROUNDS {
            let old = self.known.1;
            if old > signed.size {
                return self.is_ahead(old).await;
            }
            let proof = self.proof(old, signed.size).await.map_err(|fault| fault.to_string())?;
            match self.ask(old, &witness_request(old, &proof, &signed.note)).await? {
                Answer::Lines(lines) => {
                    let found = self.witness.cosignature(&signed.note, &lines).map_err(|fault| fault.to_string())?;
                    let found =
                        found.ok_or_else(|| "its answer has no signature by the key that is configured".to_owned())?;
                    self.known.1 = signed.size;
                    self.cosigned.add(signed, self.witness.name(), &found.line);
                    return Ok(());
                }
                Answer::Size(0) if old == 0 => return Err(at_the_beginning("409", "")),
                Answer::Size(size) if size == old => {
                    let what = format!("at {old} entries it cosigned another root");
                    return Err(Undelivered::Forked(what));
                }
                Answer::Size(size) => self.known.1 = size,
            }
        }
        Err("it cosigns faster than it can be asked".to_owned().into())
    }

    /// Another broker may have shown it a newer checkpoint; then the log is as long, and this broker hears of it soon.
    async fn is_ahead(&mut self, cosigned: u64) -> Result<(), Undelivered> {
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if self.log.health().size >= cosigned {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
        self.known.1 = 0;
        let what = format!("it cosigned {cosigned} entries, and the log has {}", self.log.health().size);
        Err(Undelivered::Forked(what))
    }

    async fn proof(&self, old: u64, new: u64) -> Result<Vec<crate::audit::tree::Hash>, ProofFault> {
        let mut db = self.pool.acquire().await.map_err(crate::store::StoreFault::from)?;
        consistency(&mut db, old, new).await
    }

    async fn ask(&self, old: u64, request: &str) -> Result<Answer, Undelivered> {
        let address = format!("{}/add-checkpoint", self.address.as_str().trim_end_matches('/'));
        let (status, (kind, body)) = post(&self.client, &address, request.to_owned()).await?;
        match status {
            200 => Ok(Answer::Lines(body)),
            409 if kind == "text/x.tlog.size" => {
                Ok(Answer::Size(decimal(&body).ok_or("it answered 409 without a size".to_owned())?))
            }
            // The sizes agree and the roots do not.
            409 => Ok(Answer::Size(old)),
            422 if old == 0 => Err(at_the_beginning("422", &body)),
            422 => Err(Undelivered::Forked(format!("what it cosigned at {old} entries is no part of this log"))),
            403 => Err("it does not know the key that signs".to_owned().into()),
            404 => Err("it does not know this log".to_owned().into()),
            other => Err(format!("it answered {other}").into()),
        }
    }
}

/// It refuses the log though it says that it has cosigned nothing of it. Every log continues no entries, so this tells of
/// a wrong address, a wrong key or a witness that is not one, and not of another log.
fn at_the_beginning(status: &str, body: &str) -> Undelivered {
    let said: String = printable(body.trim()).chars().take(LONGEST_ANSWER).collect();
    let said = if said.is_empty() { "nothing more".to_owned() } else { said };
    format!("it answered {status} to the first checkpoint that it was shown, and said: {said}").into()
}

/// In characters, of what it answers beside signatures.
const LONGEST_ANSWER: usize = 200;

/// A size and a newline, in its one spelling.
fn decimal(body: &str) -> Option<u64> {
    let digits = body.strip_suffix('\n')?;
    digits.parse().ok().filter(|size: &u64| size.to_string() == digits)
}

/// How often one note is offered in a row: once to learn the witness's size, once with the proof, and once more if
/// another broker came between.
const MOST_ROUNDS: u32 = 4;

/// How long this broker may take to hear of entries that another one has had cosigned already.
const GRACE: Duration = Duration::from_secs(10);

const LOOK_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_at_the_beginning_is_told_in_the_words_of_the_witness_and_is_no_fork() {
        let Undelivered::Failed(why) = at_the_beginning("422", "unknown\x1b[2J\n") else { panic!("a fork") };
        assert_eq!(why, "it answered 422 to the first checkpoint that it was shown, and said: unknown\u{fffd}[2J");
    }

    #[test]
    fn a_size_has_one_spelling() {
        assert_eq!(decimal("20852014\n"), Some(20_852_014));
        for wrong in ["", "7", "07\n", "7\n\n", "-7\n", "+7\n", " 7\n", "7 \n"] {
            assert_eq!(decimal(wrong), None, "{wrong:?}");
        }
    }
}
