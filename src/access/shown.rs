//! Rules as people read them: each with its name, its reason, its file and its own text, out of the texts that decisions
//! name by hash. Judges nothing.

use std::str::FromStr as _;

use cedar_policy::PolicySet;

use super::AccessFault;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    /// Its `@id`.
    pub id: String,
    /// What it tells whom it stops, by `@reason`.
    pub reason: Option<String>,
    /// The file that it stands in.
    pub file: String,
    /// The rule itself, as it was written.
    pub text: String,
}

/// The rules of a policy text, in its order.
pub fn rules_of(policies: &str) -> Result<Vec<RuleText>, AccessFault> {
    let set = PolicySet::from_str(policies).map_err(|fault| AccessFault::Unreadable(fault.to_string()))?;
    let mut rules: Vec<(usize, RuleText)> = set
        .policies()
        .map(|policy| {
            let id = policy.annotation("id").unwrap_or_default().to_owned();
            let reason = policy.annotation("reason").map(str::to_owned);
            let text = policy.to_string().trim().to_owned();
            // Ids are unique, so a rule's text stands in one place.
            let at = policies.find(&text).unwrap_or(policies.len());
            (at, RuleText { id, reason, file: file_at(policies, at).to_owned(), text })
        })
        .collect();
    rules.sort_by_key(|(at, _)| *at);
    Ok(rules.into_iter().map(|(_, rule)| rule).collect())
}

/// The file that the text at `at` came from: each begins after a comment with its name.
fn file_at(policies: &str, at: usize) -> &str {
    let before = policies.get(..at).unwrap_or_default();
    let names = before.lines().rev().filter_map(|line| line.strip_prefix(FILE));
    names.into_iter().find(|name| name.ends_with(".cedar")).unwrap_or_default()
}

pub(super) const FILE: &str = "// ---- ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_is_shown_as_it_was_written_with_its_file() {
        let text = "// ---- 10-a.cedar\n// why\n// ---- A heading\n@id(\"one\")\npermit (principal, action, resource)\n  when { true };\n\n\
                    // ---- 20-b.cedar\n@id(\"two\")\n@reason(\"No.\")\nforbid (principal, action, resource);\n\
                    @id(\"three\") permit (principal, action, resource);\n\n";
        let rules = rules_of(text).unwrap();
        let ids: Vec<_> = rules.iter().map(|rule| (rule.file.as_str(), rule.id.as_str())).collect();
        assert_eq!(ids, [("10-a.cedar", "one"), ("20-b.cedar", "two"), ("20-b.cedar", "three")]);
        assert_eq!(rules[0].text, "@id(\"one\")\npermit (principal, action, resource)\n  when { true };");
        assert_eq!(rules[1].reason.as_deref(), Some("No."));
    }
}
