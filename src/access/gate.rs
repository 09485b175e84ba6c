//! The one place where access is granted: decide, record, then permit.
//!
//! INVARIANT: a [`Permit`] is made here and nowhere else, only after the log has returned the receipt of its decision.
//! It is not Clone, it owns the action that was judged, and whoever acts consumes it.
//! An attacker chooses the action and much of the caller; anything unclear about either is a denial.

use std::sync::Arc;

use super::{
    Counters, Live, Reader, judge,
    pending::{Debt, Pending},
};
use crate::{
    audit::{Draft, Event, Log, Receipt},
    model::{Action, Caller, Clock, Context, Decision, RequestId, Verdict},
    store::feed::Feed,
};

/// Decides, records, permits. Cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<Parts>);

struct Parts {
    live: Live,
    log: Log,
    feed: Feed,
    clock: Arc<dyn Clock>,
    counters: Counters,
}

/// Leave to do one thing once. Dropping it unspent records that the thing was not done.
#[must_use = "a permit that is dropped is recorded as not forwarded"]
#[derive(Debug)]
pub struct Permit {
    caller: Caller,
    action: Action,
    context: Context,
    // Owes the log an ending from the moment that the permit exists; its drop pays.
    pending: Pending,
}

/// What a stream depends on: the same question would still have to be answered with yes.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whose stream it is.
    pub caller: Caller,
    /// What it does.
    pub action: Action,
    context: Context,
}

/// A question on its way into the log.
struct Asked {
    caller: Caller,
    action: Action,
    context: Context,
    request: RequestId,
    verdict: Verdict,
}

/// The log did not take the decision.
struct Unanswered;

/// Why there is no permit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The rules or the credential's scope say no. Recorded.
    #[error("{}", decision.sentence())]
    Denied {
        /// What was recorded.
        decision: Decision,
        /// The request that it is recorded under.
        request: RequestId,
    },
    /// The rules say no now, and yes once the person has proven themselves again. Recorded.
    #[error("this asks for your passkey again")]
    StepUp {
        /// What was recorded.
        decision: Decision,
        /// The request that it is recorded under.
        request: RequestId,
    },
    /// It could not be decided or recorded, so nothing may happen: 503.
    #[error("no decision can be made: {why}")]
    Unavailable {
        /// Which part is missing; safe to show.
        why: &'static str,
        /// The request, for the broker's own log.
        request: RequestId,
    },
}

impl Gate {
    /// A gate before everything that `live` speaks about. It permits nothing while `live`, `log` or `feed` is not well.
    pub fn new(live: Live, log: Log, feed: Feed, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Parts { live, log, feed, clock, counters: Counters::default() }))
    }

    /// May `caller` do `action`? Returns only after the answer is in the log; a caller who goes away meanwhile leaves a
    /// `not-forwarded` entry behind.
    pub async fn ask(&self, caller: &Caller, request: RequestId, action: Action) -> Result<Permit, Refusal> {
        let unavailable = |why| {
            Counters::bump(&self.0.counters.unavailable);
            Refusal::Unavailable { why, request }
        };
        if self.0.feed.freshness().is_err() {
            return Err(unavailable("the revocation feed is stale"));
        }
        let rules = self.0.live.rules();
        let context = judge::circumstances(caller, self.0.clock.now());
        let decision = judge::judge(&rules, caller, &action, &context);
        let draft = Draft {
            caller: Some(caller.clone()),
            event: Event::Decision {
                action: action.clone(),
                context: context.clone(),
                decision: decision.clone(),
                policy: rules.version().clone(),
            },
            happened_at: context.time,
            request: Some(request),
        };
        let asked = Asked { caller: caller.clone(), action, context, request, verdict: decision.verdict };
        let Ok(permit) = self.record(draft, asked).await else {
            return Err(unavailable("the audit log does not answer"));
        };
        match (decision.verdict, permit) {
            (Verdict::Allow, Some(permit)) => {
                Counters::bump(&self.0.counters.allowed);
                Ok(permit)
            }
            (Verdict::StepUp, _) => {
                Counters::bump(&self.0.counters.step_up);
                Err(Refusal::StepUp { decision, request })
            }
            _ => {
                Counters::bump(&self.0.counters.denied);
                Err(Refusal::Denied { decision, request })
            }
        }
    }

    /// For an open stream: would the same still be allowed? Nothing is recorded and nothing permitted. The age of the
    /// assurance counts as it was when the stream began; time does not stand still.
    pub fn still_allows(&self, standing: &Standing) -> bool {
        let rules = self.0.live.rules();
        let context = Context { time: self.0.clock.now(), ..standing.context.clone() };
        judge::judge(&rules, &standing.caller, &standing.action, &context).verdict == Verdict::Allow
    }

    /// What the holder of `permit` may see of the log, which they may read.
    pub fn reader(&self, permit: &Permit) -> Reader {
        Reader::new(self.0.live.rules(), permit.caller.clone(), permit.context.clone())
    }

    /// The rules in force, and what is wrong with newer ones.
    pub fn live(&self) -> &Live {
        &self.0.live
    }

    /// How often the gate has said what.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Appends the decision and, if it allows, makes the permit. Runs as a task of its own, so that a caller who goes
    /// away cannot lose a receipt: the permit is then made all the same, dropped, and its drop is recorded.
    async fn record(&self, draft: Draft, asked: Asked) -> Result<Option<Permit>, Unanswered> {
        let parts = Arc::clone(&self.0);
        let task = tokio::spawn(async move {
            let receipt = parts.log.append(draft).await.map_err(|_| Unanswered)?;
            if asked.verdict != Verdict::Allow {
                return Ok(None);
            }
            let Asked { caller, action, context, request, .. } = asked;
            let debt =
                Debt { log: parts.log.clone(), clock: Arc::clone(&parts.clock), receipt, request, since: context.time };
            let pending = Pending::new(caller.clone(), debt);
            Ok(Some(Permit { caller, action, context, pending }))
        });
        task.await.map_err(|_| Unanswered)?
    }
}

impl Permit {
    /// Who may.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What they may.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The request that it was asked for.
    pub fn request(&self) -> RequestId {
        self.pending.request()
    }

    /// Where the decision stands in the log.
    pub fn receipt(&self) -> &Receipt {
        self.pending.receipt()
    }

    /// What a stream that begins with this permit goes on depending on.
    pub fn standing(&self) -> Standing {
        Standing { caller: self.caller.clone(), action: self.action.clone(), context: self.context.clone() }
    }

    /// Uses the permit up: the pieces to act on, and what is owed to the log for having them.
    pub fn spend(self) -> (Caller, Action, Pending) {
        (self.caller, self.action, self.pending)
    }
}
