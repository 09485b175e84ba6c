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
    audit::{Asker, Draft, Entry, Event, Log, Receipt},
    model::{Action, Caller, Clock, Context, Decision, PortalAction, RequestId, Verdict},
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
    standing: Arc<Standing>,
    // Owes the log an ending from the moment that the permit exists; its drop pays.
    pending: Pending,
}

/// What a stream depends on: the same question would still have to be answered with yes.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Whose stream it is.
    pub caller: Asker,
    /// What it does.
    pub action: Action,
    context: Context,
}

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
    /// `not-forwarded` entry behind. INVARIANT: nothing is waited for between the receipt and the permit, so a receipt is
    /// either in a permit, whose drop is recorded, or still with the log, which records that nobody took it.
    pub async fn ask(&self, caller: impl Into<Asker>, request: RequestId, action: Action) -> Result<Permit, Refusal> {
        let caller = caller.into();
        let unavailable = |why| {
            Counters::bump(&self.0.counters.unavailable);
            Refusal::Unavailable { why, request }
        };
        if self.0.feed.freshness().is_err() {
            return Err(unavailable("the revocation feed is stale"));
        }
        let rules = self.0.live.rules();
        let context = judge::circumstances(&caller, self.0.clock.now());
        let decision = judge::judge(&rules, &caller, &action, &context);
        let draft = Draft {
            caller: Some(caller.clone()),
            happened_at: context.time,
            event: Event::Decision { action, context, decision, policy: rules.version().clone() },
            request: Some(request),
        };
        let receipt = self.0.log.append(&draft).await;
        // What was recorded is what is permitted.
        let (Ok(receipt), Event::Decision { action, context, decision, .. }) = (receipt, draft.event) else {
            return Err(unavailable("the audit log does not answer"));
        };
        match decision.verdict {
            Verdict::Allow => {
                Counters::bump(&self.0.counters.allowed);
                let standing = Standing { caller, action, context };
                Ok(self.permit(standing, receipt, request))
            }
            Verdict::StepUp => {
                Counters::bump(&self.0.counters.step_up);
                Err(Refusal::StepUp { decision: decision.to_value(), request })
            }
            Verdict::Deny => {
                Counters::bump(&self.0.counters.denied);
                Err(Refusal::Denied { decision: decision.to_value(), request })
            }
        }
    }

    fn permit(&self, standing: Standing, receipt: Receipt, request: RequestId) -> Permit {
        let Parts { log, clock, .. } = &*self.0;
        let since = standing.context.time;
        let debt = Debt { log: log.clone(), clock: Arc::clone(clock), receipt, request, since };
        let standing = Arc::new(standing);
        Permit { pending: Pending::new(Arc::clone(&standing), debt), standing }
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
        Reader::new(self.0.live.rules(), permit.standing.caller.to_value(), permit.standing.context.clone())
    }

    /// May the holder of `permit`, who may read the log, see the entry at `leaf`, which says this (none: its bytes are no
    /// entry)? A no is in the log as a decision of its own before it is said; a yes is in the permit's. Which rule says no is not in
    /// it, since that would tell whoever may read their own entries of the one that is hidden.
    pub async fn ask_to_read(
        &self,
        permit: &Permit,
        reader: &Reader,
        (leaf, entry): (u64, Option<&Entry>),
    ) -> Result<(), Refusal> {
        let decision = reader.decide(entry);
        if decision.verdict == Verdict::Allow {
            return Ok(());
        }
        let (request, (rules, context)) = (permit.request(), reader.grounds());
        let event = Event::Decision {
            action: Action::Portal(PortalAction::ReadEntry { leaf }),
            context: context.clone(),
            decision: Decision { policies: Vec::new(), reasons: Vec::new(), errors: Vec::new(), ..decision.clone() }
                .into(),
            policy: rules.version().clone(),
        };
        let caller = Some(permit.standing.caller.clone());
        let draft = Draft { caller, happened_at: self.0.clock.now(), event, request: Some(request) };
        let Ok(_receipt) = self.0.log.append(&draft).await else {
            Counters::bump(&self.0.counters.unavailable);
            return Err(Refusal::Unavailable { why: "the audit log does not answer", request });
        };
        Counters::bump(&self.0.counters.denied);
        Err(Refusal::Denied { decision, request })
    }

    /// The rules in force, and what is wrong with newer ones.
    pub fn live(&self) -> &Live {
        &self.0.live
    }

    /// How often the gate has said what.
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }
}

impl Permit {
    /// Who may.
    pub fn caller(&self) -> &Caller {
        &self.standing.caller
    }

    /// What they may.
    pub fn action(&self) -> &Action {
        &self.standing.action
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
    pub fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing)
    }

    /// Uses the permit up: the pieces to act on, and what is owed to the log for having them.
    pub fn spend(self) -> (Caller, Action, Pending) {
        let Standing { caller, action, .. } = Standing::clone(&self.standing);
        (caller.to_value(), action, self.pending)
    }

    /// The same for what is done for every request: nothing is copied.
    pub fn spend_whole(self) -> (Arc<Standing>, Pending) {
        (self.standing, self.pending)
    }
}
