//! What was decided about a request, under which rules, from which inputs.
//! Everything here is recorded, so that a decision can be explained and replayed years later.

use std::{borrow::Cow, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What a decision says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Go ahead.
    Allow,
    /// No.
    Deny,
    /// Not now, but yes after proving oneself again.
    StepUp,
}

impl Verdict {
    /// The word in columns, pages and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::StepUp => "step-up",
        }
    }
}

/// Why the verdict is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A rule permits it.
    Permitted,
    /// No rule allows it.
    NoRule,
    /// A rule forbids it.
    Forbidden,
    /// A rule could not be evaluated; that is a denial whatever the others say.
    PolicyError,
    /// It lies outside what the credential was issued for.
    OutOfScope,
    /// The request names something that policy has no word for.
    Unknown,
}

/// A decision and its explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What it says.
    pub verdict: Verdict,
    /// Why.
    pub cause: Cause,
    /// The rules that determined it, by `@id`: sorted.
    pub policies: Vec<String>,
    /// What those rules tell the person, by `@reason`, in the order of `policies`.
    pub reasons: Vec<String>,
    /// Errors of evaluation, without values.
    pub errors: Vec<String>,
    /// The answer to the same question with fresh assurance, where it was asked.
    pub fresh: Option<Verdict>,
}

impl Decision {
    /// One sentence for the person, from the rules' own words where they have any.
    pub fn sentence(&self) -> String {
        if let Some(reason) = self.reasons.first() {
            return reason.clone();
        }
        let rule = self.policies.first().map_or("a rule", String::as_str);
        match self.cause {
            Cause::Permitted => format!("allowed by {rule}"),
            Cause::NoRule => "no rule allows this".to_owned(),
            Cause::Forbidden => format!("forbidden by {rule}"),
            Cause::PolicyError => "a rule could not be evaluated, so the answer is no".to_owned(),
            Cause::OutOfScope => "outside what this credential was issued for".to_owned(),
            Cause::Unknown => "no rule can speak about this request".to_owned(),
        }
    }
}

/// Which texts were in force: SHA-256 of each, in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyVersion {
    /// The entities file.
    pub entities: String,
    /// The policy set.
    pub policies: String,
    /// The schema.
    pub schema: String,
}

/// What else policies may read about a request: `context`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// The provider's authentication context class.
    pub acr: Option<String>,
    /// Where the request came from.
    pub address: IpAddr,
    /// `provider` or `passkey`.
    pub assurance: Cow<'static, str>,
    /// Whole seconds since the person last proved themselves so.
    pub assurance_age: i64,
    /// `session`, `app-session`, `certificate` or `token`.
    pub credential: Cow<'static, str>,
    /// The instant of the decision.
    pub time: Timestamp,
}
