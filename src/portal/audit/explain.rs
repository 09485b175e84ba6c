//! A decision explained: what was said, by which rules as they were written then, and what they could read. A text is
//! shown only if it has the hash that the entry names.

use sqlx::PgConnection;

use super::{
    Links,
    facts::{code, link, plain},
};
use crate::{
    access::{Permit, rules_of},
    audit::{
        entry::{Entry, Event},
        texts::{Text, text},
    },
    model::{Action, Caller, Context, Decision, PortalAction, Upgrade, Verdict},
    portal::{
        Portal,
        entry_words::visible,
        page::{Fact, RuleWords, WhyWords},
    },
    store::{StoreFault, policy_text::TextKind},
};

/// Whether a person may see the texts that were in force: rules, entities and schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    /// They may.
    Shown,
    /// They may know their names alone.
    Withheld,
}

impl Texts {
    /// As the rules say to the holder of `permit`.
    pub fn of(portal: &Portal, permit: &Permit) -> Self {
        let may = portal.would_allow(permit, Action::Portal(PortalAction::ReadPolicy));
        if may { Self::Shown } else { Self::Withheld }
    }
}

/// Why it was decided so; none for what is no decision.
pub async fn why(db: &mut PgConnection, entry: &Entry, texts: Texts) -> Result<Option<WhyWords>, StoreFault> {
    let Event::Decision { action, context, decision, policy } = &entry.event else { return Ok(None) };
    let text = match (texts, hash(&policy.policies)) {
        (Texts::Shown, Some(hash)) if !decision.policies.is_empty() => text(db, TextKind::Policies, &hash).await?,
        _ => Text::Missing,
    };
    if text == Text::Changed {
        tracing::error!(policies = %policy.policies, "a stored text is not the one that was in force");
    }
    let mut context = context_facts(context, entry.caller.as_ref());
    if let Some(upgrade) = upgrade(action) {
        context.push(code("upgrade", upgrade.to_string()));
    }
    Ok(Some(WhyWords {
        sentence: visible(&sentence(decision)),
        fresh: decision.fresh.map(|fresh| fresh_words(fresh).to_owned()),
        alarm: (text == Text::Changed).then(|| CHANGED.to_owned()),
        rules: rules(decision, &text),
        unshown: match texts {
            Texts::Shown => "Its text is not kept here.",
            Texts::Withheld => "Its text is for those whom a rule gives readPolicy.",
        },
        errors: decision.errors.iter().map(|fault| visible(fault)).collect(),
        context,
    }))
}

fn sentence(decision: &Decision) -> String {
    let verdict = match decision.verdict {
        Verdict::Allow => return format!("Allowed by {}.", decision.policies.join(", ")),
        Verdict::Deny => "Denied",
        Verdict::StepUp => "Put off until a fresh passkey",
    };
    format!("{verdict}: {}", decision.sentence())
}

const fn fresh_words(fresh: Verdict) -> &'static str {
    match fresh {
        Verdict::Allow => "With a fresh passkey the answer would have been yes.",
        Verdict::Deny | Verdict::StepUp => "A fresh passkey would have changed nothing.",
    }
}

fn rules(decision: &Decision, text: &Text) -> Vec<RuleWords> {
    let known = match text {
        Text::Whole(text) => rules_of(text).unwrap_or_default(),
        Text::Changed | Text::Missing => Vec::new(),
    };
    let rule = |id: &String| {
        let found = known.iter().find(|rule| rule.id == *id);
        RuleWords {
            id: visible(id),
            reason: found.and_then(|rule| rule.reason.as_deref()).map(visible),
            file: found.map(|rule| visible(&rule.file)).unwrap_or_default(),
            text: found.map(|rule| lines(&rule.text)),
            href: Links::default().with("rule", id),
        }
    };
    decision.policies.iter().map(rule).collect()
}

/// A text of several lines, with everything visible that would hide.
pub fn lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

/// What rules could read about the caller and the circumstances, in their own words.
fn context_facts(context: &Context, caller: Option<&Caller>) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(caller) = caller {
        let person = crate::access::person(&caller.identity);
        facts.push(Fact { term: "principal", ..link("", "who", person) });
        facts.push(code("groups", caller.groups.join(", ")));
    }
    facts.push(Fact { term: "address", ..link("", "address", context.address.to_string()) });
    facts.push(code("assurance", context.assurance.to_string()));
    facts.push(code("assuranceAge", format!("{} s", context.assurance_age)));
    facts.push(code("credential", context.credential.to_string()));
    facts.push(plain("time", context.time.to_string()));
    facts.extend(context.acr.iter().map(|acr| code("acr", acr.clone())));
    facts.retain(|fact| !fact.value.is_empty());
    facts
}

fn upgrade(action: &Action) -> Option<bool> {
    match action {
        Action::Web(web) => Some(web.upgrade != Upgrade::None),
        Action::Kubernetes(request) => Some(request.upgrade != Upgrade::None),
        _ => None,
    }
}

fn hash(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    hex::decode_to_slice(hex, &mut hash).ok()?;
    Some(hash)
}

const CHANGED: &str = "The text of the rules that is stored is not the one that was in force, so it is not shown: somebody has \
                       been at the database. Run bailiwick audit verify.";
