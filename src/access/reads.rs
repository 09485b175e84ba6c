//! Which circumstances a rule's conditions look at, found in its syntax tree.
//!
//! INVARIANT: never fewer than it does. A form that is not known here counts as looking at everything.

use cedar_policy::Policy;
use serde_json::Value;

/// A set of circumstances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reads(u8);

impl Reads {
    pub(super) const NOTHING: Self = Self(0);
    pub(super) const ACR: Self = Self(1);
    pub(super) const ADDRESS: Self = Self(1 << 1);
    pub(super) const ASSURANCE: Self = Self(1 << 2);
    pub(super) const ASSURANCE_AGE: Self = Self(1 << 3);
    pub(super) const CREDENTIAL: Self = Self(1 << 4);
    pub(super) const TIME: Self = Self(1 << 5);
    pub(super) const EVERYTHING: Self = Self((1 << 6) - 1);

    /// What `policy` looks at.
    pub(super) fn of(policy: &Policy) -> Self {
        match policy.to_json() {
            Ok(tree) => tree.get("conditions").map_or(Self::EVERYTHING, Self::in_tree),
            Err(_) => Self::EVERYTHING,
        }
    }

    /// Both.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `other` is looked at.
    pub(super) const fn any_of(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn in_tree(tree: &Value) -> Self {
        match tree {
            Value::Object(members) => {
                if members.get("Var").and_then(Value::as_str) == Some("context") {
                    // The context as a whole, compared or passed on.
                    return Self::EVERYTHING;
                }
                let of_member = |(name, member): (&String, &Value)| match (name.as_str(), member) {
                    ("." | "has", Value::Object(access)) => Self::of_access(access).unwrap_or(Self::in_tree(member)),
                    _ => Self::in_tree(member),
                };
                members.iter().map(of_member).fold(Self::NOTHING, Self::and)
            }
            Value::Array(items) => items.iter().map(Self::in_tree).fold(Self::NOTHING, Self::and),
            _ => Self::NOTHING,
        }
    }

    /// `context.name` or `context has name`.
    fn of_access(access: &serde_json::Map<String, Value>) -> Option<Self> {
        let left = access.get("left")?.as_object()?;
        if access.len() != 2 || left.len() != 1 || left.get("Var")?.as_str()? != "context" {
            return None;
        }
        Some(match access.get("attr")?.as_str()? {
            "acr" => Self::ACR,
            "address" => Self::ADDRESS,
            "assurance" => Self::ASSURANCE,
            "assuranceAge" => Self::ASSURANCE_AGE,
            "credential" => Self::CREDENTIAL,
            "time" => Self::TIME,
            // These belong to what is asked, not to the circumstances.
            "upgrade" | "invited" | "lifetime" | "namespaces" | "readOnly" => Self::NOTHING,
            _ => Self::EVERYTHING,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(condition: &str) -> Reads {
        let text = format!("permit (principal, action, resource) {condition};");
        Reads::of(&text.parse().unwrap())
    }

    #[test]
    fn what_a_condition_looks_at_is_found_wherever_it_stands() {
        let cases = [
            ("", Reads::NOTHING),
            ("when { context.upgrade }", Reads::NOTHING),
            ("when { context.time < datetime(\"2026-01-01\") }", Reads::TIME),
            ("unless { context.assuranceAge * 2 < 300 }", Reads::ASSURANCE_AGE),
            ("when { context has acr && context.acr like \"m*\" }", Reads::ACR),
            ("when { !(if context.assurance == \"passkey\" then true else false) }", Reads::ASSURANCE),
            ("when { context.address.isInRange(ip(\"10.0.0.0/8\")) }", Reads::ADDRESS),
            ("when { [context.credential].contains(\"token\") }", Reads::CREDENTIAL),
            ("when { {a: {b: context.credential}}.a.b == \"token\" }", Reads::CREDENTIAL),
            ("when { context[\"time\"].toTime() > duration(\"8h\") }", Reads::TIME),
            ("when { principal.subject == \"context\" } unless { context.assuranceAge > 5 }", Reads::ASSURANCE_AGE),
            (
                "when { context.credential == \"token\" || context.assurance == \"passkey\" }",
                Reads::CREDENTIAL.and(Reads::ASSURANCE),
            ),
        ];
        for (condition, expected) in cases {
            assert_eq!(of(condition), expected, "{condition}");
        }
    }

    #[test]
    fn a_form_that_is_not_known_looks_at_everything() {
        for condition in [
            "when { context == {} }",
            "when { [context].isEmpty() }",
            "when { {a: context}.a.time == context.time }",
            "when { (if true then context else context).time == context.time }",
            "when { context.somethingNew }",
            "when { context has somethingNew }",
            "when { context has acr.deeper }",
        ] {
            assert_eq!(of(condition), Reads::EVERYTHING, "{condition}");
        }
    }
}
