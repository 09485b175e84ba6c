//! What the rules say, and nothing else: a pure function of the rules, the caller, the action and the circumstances.
//!
//! INVARIANT: all four are in a decision's entry, by value or by hash, so [`replay`] gives the same answer years later.
//! INVARIANT: any error of evaluation is a denial, whatever the other rules say; Cedar alone would skip the rule.

use cedar_policy::{AuthorizationError, Authorizer, Entities, Response};

use super::{
    AccessFault,
    policy::{Rules, Texts},
    request, scope,
};
use crate::{
    audit::entry::{Entry, Event},
    model::{Action, AssuranceLevel, Caller, Cause, Context, Decision, Timestamp, Verdict},
};

/// What rules may read about a request at `now`.
pub fn circumstances(caller: &Caller, now: Timestamp) -> Context {
    let age = now.since(caller.assurance.at).as_secs();
    Context {
        acr: caller.acr.clone(),
        address: caller.address,
        assurance: caller.assurance.level.as_str().to_owned(),
        assurance_age: i64::try_from(age).unwrap_or(i64::MAX),
        credential: caller.presented.kind().to_owned(),
        time: now,
    }
}

/// Judges. A denial is asked again with fresh assurance, and when only that is missing the answer is step-up.
pub fn judge(rules: &Rules, caller: &Caller, action: &Action, context: &Context) -> Decision {
    if !scope::covers(caller, action) {
        return denial(Cause::OutOfScope);
    }
    let mut decision = ask(rules, caller, action, context);
    // Whoever registers a first passkey has none to be asked for.
    let could_step_up =
        matches!(decision.cause, Cause::NoRule | Cause::Forbidden) && !matches!(action, Action::Enrol(_));
    let fresh = Context { assurance: AssuranceLevel::Passkey.as_str().to_owned(), assurance_age: 0, ..context.clone() };
    if could_step_up && fresh != *context {
        let verdict = ask(rules, caller, action, &fresh).verdict;
        decision.fresh = Some(verdict);
        if verdict == Verdict::Allow {
            decision.verdict = Verdict::StepUp;
        }
    }
    decision
}

/// Judges a recorded decision again, from the entry and the texts that it names.
pub fn replay(entry: &Entry, texts: Texts) -> Result<Decision, ReplayFault> {
    let (Event::Decision { action, context, policy, .. }, Some(caller)) = (&entry.event, &entry.caller) else {
        return Err(ReplayFault::NotADecision);
    };
    let rules = Rules::from_texts(texts)?;
    if rules.version() != policy {
        return Err(ReplayFault::OtherTexts);
    }
    Ok(judge(&rules, caller, action, context))
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
    /// The texts cannot be read, although they once were.
    #[error(transparent)]
    Access(#[from] AccessFault),
}

fn ask(rules: &Rules, caller: &Caller, action: &Action, context: &Context) -> Decision {
    let Ok(question) = request::question(caller, action, context, rules.schema()) else {
        return denial(Cause::Unknown);
    };
    answer(rules, question)
}

/// What the rules say to a question.
pub(super) fn answer(rules: &Rules, question: request::Question) -> Decision {
    let slice = rules.slice(&question.request);
    let Ok(entities) = entities(rules, question.entities) else { return denial(Cause::Unknown) };
    let response = Authorizer::new().is_authorized(&question.request, slice, &entities);
    explain(rules, &response)
}

fn entities(rules: &Rules, of_request: [cedar_policy::Entity; 2]) -> Result<Entities, ()> {
    rules.entities().clone().add_entities(of_request, Some(rules.schema())).map_err(drop)
}

fn explain(rules: &Rules, response: &Response) -> Decision {
    let sorted = |ids: Vec<String>| {
        let mut ids = ids;
        ids.sort();
        ids
    };
    let diagnostics = response.diagnostics();
    let failed = sorted(diagnostics.errors().map(failed_rule).collect());
    if !failed.is_empty() {
        let errors = failed.iter().map(|id| format!("`{id}` could not be evaluated")).collect();
        return Decision { policies: failed, errors, ..denial(Cause::PolicyError) };
    }
    let policies = sorted(diagnostics.reason().map(ToString::to_string).collect());
    let (verdict, cause) = match response.decision() {
        cedar_policy::Decision::Allow => (Verdict::Allow, Cause::Permitted),
        cedar_policy::Decision::Deny if policies.is_empty() => (Verdict::Deny, Cause::NoRule),
        cedar_policy::Decision::Deny => (Verdict::Deny, Cause::Forbidden),
    };
    let reasons = if verdict == Verdict::Deny { rules.reasons(&policies) } else { Vec::new() };
    Decision { verdict, policies, reasons, ..denial(cause) }
}

fn failed_rule(fault: &AuthorizationError) -> String {
    match fault {
        AuthorizationError::PolicyEvaluationError(fault) => fault.policy_id().to_string(),
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
