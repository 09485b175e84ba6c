//! What the rules say, and nothing else: a pure function of the rules, the caller, the action and the circumstances.
//!
//! INVARIANT: all four are in a decision's entry, by value or by hash, so [`replay`] gives the same answer years later. It
//! asks all rules and remembers nothing, so it checks the short cuts that were taken at the time as well. What was judged in
//! the reading of an entry is that entry, named by its place: [`replay_reading`].
//! INVARIANT: any error of evaluation is a denial, whatever the other rules say; Cedar alone would skip the rule.

use std::sync::Arc;

use cedar_policy::{AuthorizationError, Authorizer, Entities, PolicyId, Response};

use super::{
    AccessFault, Reader,
    policy::{Rules, Texts},
    reads::Reads,
    remembered::{Recalled, is_fresh},
    request::{self, Question, Unaskable},
    scope,
    slice::Slice,
};
use crate::{
    audit::{
        Common,
        entry::{Entry, Event},
    },
    model::{Action, AssuranceLevel, Caller, Cause, Context, Decision, PortalAction, Timestamp, Verdict},
};

/// What rules may read about a request at `now`.
pub fn circumstances(caller: &Caller, now: Timestamp) -> Context {
    let age = now.since(caller.assurance.at).as_secs();
    Context {
        acr: caller.acr.clone(),
        address: caller.address,
        assurance: caller.assurance.level.as_str().into(),
        assurance_age: i64::try_from(age).unwrap_or(i64::MAX),
        credential: caller.presented.kind().into(),
        time: now,
    }
}

/// Judges, or remembers how the same was judged before. Where the answer depends on the time, the question is remembered
/// instead, and only the answer is thought through.
pub fn judge(rules: &Rules, caller: &Caller, action: &Action, context: &Context) -> Common<Decision> {
    let asked = match rules.remembered().recall(caller, action, context) {
        Some(Recalled::Decision(decision)) => return decision,
        Some(Recalled::Question(asked)) => return asked.decide(rules, action, context).unwrap_or_else(unknown).into(),
        None => ask(rules, Breadth::Slice, caller, action),
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err(cause) => return denial(cause).into(),
    };
    let Ok(decision) = asked.decide(rules, action, context) else { return denial(Cause::Unknown).into() };
    let decision = Common::from(decision);
    rules.remembered().remember(caller, action, context, asked, &decision);
    decision
}

/// Judges by all rules, remembering nothing.
pub fn judge_by_all(rules: &Rules, caller: &Caller, action: &Action, context: &Context) -> Decision {
    think(rules, Breadth::Whole, caller, action, context).0
}

/// How many rules are asked. The answer is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breadth {
    /// All of them, and every input is checked against the schema.
    Whole,
    /// Those whose scopes match. That what we make of a request fits the schema is a test's to show, not each request's.
    Slice,
}

/// Thinks a question through, remembering nothing. Says as well which circumstances the answer may depend on.
pub(super) fn think(
    rules: &Rules,
    breadth: Breadth,
    caller: &Caller,
    action: &Action,
    context: &Context,
) -> (Decision, Reads) {
    match ask(rules, breadth, caller, action) {
        Ok(asked) => asked
            .decide(rules, action, context)
            .map_or_else(|fault| (unknown(fault), Reads::EVERYTHING), |decision| (decision, asked.slice.reads)),
        Err(cause) => (denial(cause), Reads::EVERYTHING),
    }
}

/// Makes everything that is needed to judge `action` of `caller`, whatever the circumstances; or says why it is denied.
fn ask(rules: &Rules, breadth: Breadth, caller: &Caller, action: &Action) -> Result<Asked, Cause> {
    if !scope::covers(caller, action) {
        return Err(Cause::OutOfScope);
    }
    let question = request::question(caller, action).and_then(|question| Asked::new(rules, breadth, question));
    question.map_err(|Unaskable| Cause::Unknown)
}

/// Judges a recorded decision again, from the entry and the texts that it names.
pub fn replay(entry: &Entry, texts: Texts) -> Result<Decision, ReplayFault> {
    let (action, caller, context, rules) = recorded(entry, texts)?;
    match action {
        Action::Portal(PortalAction::ReadEntry { leaf }) => Err(ReplayFault::OfAnEntry(*leaf)),
        action => Ok(judge_by_all(&rules, caller, action, context)),
    }
}

/// Judges again whether `read`, the entry at the place that the decision names (none: its bytes are no entry), may be seen.
pub fn replay_reading(entry: &Entry, read: Option<&Entry>, texts: Texts) -> Result<Decision, ReplayFault> {
    let (_, caller, context, rules) = recorded(entry, texts)?;
    Ok(Reader::new(Arc::new(rules), caller.clone(), context.clone()).decide(read))
}

fn recorded(entry: &Entry, texts: Texts) -> Result<(&Action, &Caller, &Context, Rules), ReplayFault> {
    let (Event::Decision { action, context, policy, .. }, Some(caller)) = (&entry.event, &entry.caller) else {
        return Err(ReplayFault::NotADecision);
    };
    let rules = Rules::from_texts(texts)?;
    if rules.version() != policy {
        return Err(ReplayFault::OtherTexts);
    }
    Ok((action, caller, context, rules))
}

/// Why a decision could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayFault {
    /// The entry is not a decision about a caller.
    #[error("the entry is not a decision")]
    NotADecision,
    /// The hashes differ from those in the entry.
    #[error("the decision was made under other texts")]
    OtherTexts,
    /// It is about the entry at this place, which [`replay_reading`] takes.
    #[error("what was judged is entry {0} of the log")]
    OfAnEntry(u64),
    /// The texts cannot be read, although they once were.
    #[error(transparent)]
    Access(#[from] AccessFault),
}

/// What the rules say to a question that is no request.
pub(super) fn answer(rules: &Rules, question: Question, context: &Context) -> Decision {
    let asked = Asked::new(rules, Breadth::Slice, question);
    asked.and_then(|asked| asked.answer(rules, context)).unwrap_or_else(unknown)
}

/// A question that can be answered under any circumstances: the rules that it is put to, and the entities that they can
/// name. It goes with the rules that it was put to.
#[derive(Debug)]
pub(super) struct Asked {
    breadth: Breadth,
    question: Question,
    slice: Arc<Slice>,
    entities: Entities,
}

impl Asked {
    fn new(rules: &Rules, breadth: Breadth, question: Question) -> Result<Self, Unaskable> {
        let (slice, groups, schema) = match breadth {
            Breadth::Whole => (rules.whole(), question.groups.clone(), Some(rules.schema())),
            Breadth::Slice => {
                let groups = rules.closure(&question.groups);
                (rules.slice(&question, &groups), groups, None)
            }
        };
        let of_request = [question.principal(&groups)?, question.sentence.resource.clone()];
        let entities = slice.entities.clone().add_entities(of_request, schema).map_err(|_| Unaskable)?;
        Ok(Self { breadth, question, slice, entities })
    }

    /// The circumstances that the answer may depend on.
    pub(super) fn reads(&self) -> Reads {
        self.slice.reads
    }

    /// A denial is asked again with fresh assurance, and when only that is missing the answer is step-up.
    fn decide(&self, rules: &Rules, action: &Action, context: &Context) -> Result<Decision, Unaskable> {
        let mut decision = self.answer(rules, context)?;
        // Whoever registers a first passkey has none to be asked for.
        let could_step_up =
            matches!(decision.cause, Cause::NoRule | Cause::Forbidden) && !matches!(action, Action::Enrol(_));
        if could_step_up && !is_fresh(context) {
            let verdict = self.verdict_if_fresh(rules, context, decision.verdict);
            decision.fresh = Some(verdict);
            if verdict == Verdict::Allow {
                decision.verdict = Verdict::StepUp;
            }
        }
        Ok(decision)
    }

    fn answer(&self, rules: &Rules, context: &Context) -> Result<Decision, Unaskable> {
        let schema = (self.breadth == Breadth::Whole).then(|| rules.schema());
        let request = self.question.request(context, self.slice.reads, schema)?;
        let response = Authorizer::new().is_authorized(&request, &self.slice.set, &self.entities);
        Ok(explain(rules, &self.slice, &response))
    }

    /// `now` is the answer as things are.
    fn verdict_if_fresh(&self, rules: &Rules, context: &Context, now: Verdict) -> Verdict {
        if !self.slice.reads.any_of(Reads::ASSURANCE.and(Reads::ASSURANCE_AGE)) {
            return now;
        }
        let assurance = AssuranceLevel::Passkey.as_str().into();
        let fresh = Context { assurance, assurance_age: 0, ..context.clone() };
        self.answer(rules, &fresh).map_or(Verdict::Deny, |decision| decision.verdict)
    }
}

/// What cannot be asked is denied.
pub(super) fn unknown(Unaskable: Unaskable) -> Decision {
    denial(Cause::Unknown)
}

fn explain(rules: &Rules, slice: &Slice, response: &Response) -> Decision {
    let sorted = |policies: &mut dyn Iterator<Item = &PolicyId>| {
        let mut ids: Vec<String> = policies.flat_map(|policy| slice.rules(policy)).collect();
        ids.sort();
        ids
    };
    let diagnostics = response.diagnostics();
    let failed = sorted(&mut diagnostics.errors().map(failed_policy));
    if !failed.is_empty() {
        let errors = failed.iter().map(|id| format!("`{id}` could not be evaluated")).collect();
        return Decision { policies: failed, errors, ..denial(Cause::PolicyError) };
    }
    let policies = sorted(&mut diagnostics.reason());
    let (verdict, cause) = match response.decision() {
        cedar_policy::Decision::Allow => (Verdict::Allow, Cause::Permitted),
        cedar_policy::Decision::Deny if policies.is_empty() => (Verdict::Deny, Cause::NoRule),
        cedar_policy::Decision::Deny => (Verdict::Deny, Cause::Forbidden),
    };
    let reasons = if verdict == Verdict::Deny { rules.reasons(&policies) } else { Vec::new() };
    Decision { verdict, policies, reasons, ..denial(cause) }
}

fn failed_policy(fault: &AuthorizationError) -> &PolicyId {
    match fault {
        AuthorizationError::PolicyEvaluationError(fault) => fault.policy_id(),
    }
}

fn denial(cause: Cause) -> Decision {
    Decision {
        verdict: Verdict::Deny,
        cause,
        policies: Vec::new(),
        reasons: Vec::new(),
        errors: Vec::new(),
        fresh: None,
    }
}
