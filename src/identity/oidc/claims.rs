//! From verified claims to a person. Refuses names that could be taken for other names, or for several: a comma splits
//! a header list, a newline a log, and what cannot be seen deceives whoever reads it. Nothing is repaired.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{LEEWAY, ProviderLogin};
use crate::{
    config,
    identity::{Denial, IdentityFault},
    model::{Identity, Timestamp},
};

const LONGEST: usize = 255;
const MOST_GROUPS: usize = 1000;

/// Reads the payload of an ID token that has been verified.
pub(super) fn read(token: &str, settings: &config::Provider, now: Timestamp) -> Result<ProviderLogin, IdentityFault> {
    let malformed = || Denial::IdToken("its payload is malformed");
    let payload = token.split('.').nth(1).ok_or_else(malformed)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed())?;
    let claims: Value = serde_json::from_slice(&payload).map_err(|_| malformed())?;
    if seconds(&claims, "nbf").is_some_and(|at| at > now.plus(LEEWAY)) {
        return Err(Denial::IdToken("it is not valid yet").into());
    }
    let subject = claims.get("sub").and_then(Value::as_str).filter(|text| is_subject(text));
    let subject = subject.ok_or(Denial::Claim("subject"))?.to_owned();
    Ok(ProviderLogin {
        identity: Identity {
            provider: settings.name.clone(),
            issuer: settings.issuer.as_str().to_owned(),
            name: name(&claims, &settings.name_claim)?.unwrap_or_else(|| subject.clone()),
            subject,
        },
        groups: groups(&claims, &settings.groups_claim)?,
        acr: text(&claims, "acr", "acr")?,
        authenticated_at: seconds(&claims, "auth_time"),
        session: text(&claims, "sid", "session")?,
        id_token: token.to_owned(),
    })
}

fn name(claims: &Value, claim: &str) -> Result<Option<String>, IdentityFault> {
    text(claims, claim, "name")
}

/// A claim that is text; absent, null or empty is none.
fn text(claims: &Value, claim: &str, what: &'static str) -> Result<Option<String>, IdentityFault> {
    match claims.get(claim) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if is_visible(text) => Ok(Some(text.clone())),
        Some(_) => Err(Denial::Claim(what).into()),
    }
}

/// Groups: a list of text; absent or null is none. Sorted, each once.
fn groups(claims: &Value, claim: &str) -> Result<Vec<String>, IdentityFault> {
    let refused = || IdentityFault::from(Denial::Claim("groups"));
    let listed = match claims.get(claim) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(listed)) if listed.len() <= MOST_GROUPS => listed,
        Some(_) => return Err(refused()),
    };
    let names = listed.iter().map(|group| group.as_str().filter(|name| is_group(name)).map(str::to_owned));
    let mut names: Vec<String> = names.collect::<Option<_>>().ok_or_else(refused)?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn seconds(claims: &Value, claim: &str) -> Option<Timestamp> {
    let at = claims.get(claim)?;
    let at = at.as_i64().or_else(|| at.as_f64().map(|at| at as i64))?;
    Some(Timestamp::from_micros(at.saturating_mul(1_000_000)))
}

/// At most 255 ASCII characters (OpenID Connect Core 1.0, section 2), all visible, none that splits a list.
fn is_subject(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

fn is_group(text: &str) -> bool {
    !text.is_empty() && is_visible(text) && text.trim() == text && !text.contains(',')
}

/// No control, format, private-use or line-separating character.
fn is_visible(text: &str) -> bool {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}'
                | '\u{e0000}'..='\u{e007f}' | '\u{f0000}'..)
    };
    text.len() <= LONGEST && !text.chars().any(hidden)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_are_sorted_and_each_is_there_once() {
        let claims = json!({ "groups": ["ops", "Ärzte", "dev:web", "ops"] });
        assert_eq!(groups(&claims, "groups").unwrap(), ["dev:web", "ops", "Ärzte"]);
        assert_eq!(groups(&json!({}), "groups").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_could_be_split_or_cannot_be_seen_is_refused() {
        for bad in ["a,b", "a\nb", "a\0", "a\u{202e}b", "a\u{200b}", " a", "a ", "", "a\u{85}b", &"x".repeat(256)] {
            assert!(groups(&json!({ "groups": [bad] }), "groups").is_err(), "{bad:?}");
            assert!(!is_subject(bad), "{bad:?}");
        }
        for bad in [json!("ops"), json!([1]), json!({ "a": 1 }), json!([["a"]])] {
            assert!(groups(&json!({ "groups": bad }), "groups").is_err());
        }
        assert!(!is_subject("ä") && !is_subject("a b"));
        assert!(is_subject("auth0|5f7c") && is_subject("a@b.example") && is_subject("system:x"));
        assert!(name(&json!({ "n": "Ada\u{1b}[31m" }), "n").is_err());
        assert_eq!(name(&json!({ "n": "Ada Lovelace, PhD" }), "n").unwrap().unwrap(), "Ada Lovelace, PhD");
        assert!(name(&json!({ "n": 7 }), "n").is_err());
    }
}
