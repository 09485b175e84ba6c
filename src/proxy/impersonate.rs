//! Who a request runs as at the API server: the person, never the broker.
//!
//! INVARIANT: every name carries its provider's prefix, and none begins with `system:`, so that nobody at a provider can
//! become a component of the cluster. Impersonation fails open: see `Ours`.

use http::{HeaderName, HeaderValue};

use super::ours::Ours;
use crate::model::{Caller, RequestId};

/// Why somebody cannot be impersonated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unnameable {
    /// A name that Kubernetes keeps for itself.
    #[error("a name that begins with `system:` is not passed on to a cluster")]
    Reserved,
    /// A name with bytes that no header field may hold, or that could be read as two names.
    #[error("a name has characters that cannot be passed on to a cluster")]
    Characters,
}

const LOGIN: HeaderName = HeaderName::from_static("impersonate-extra-bailiwick.dev%2flogin");
const REQUEST: HeaderName = HeaderName::from_static("impersonate-extra-bailiwick.dev%2frequest");

/// The fields by which `caller` is impersonated. `prefix` is that of the caller's provider.
pub fn fields(caller: &Caller, request: RequestId, prefix: &str) -> Result<Ours, Unnameable> {
    let mut ours = Ours::default();
    ours.add(HeaderName::from_static("impersonate-user"), name(prefix, &caller.identity.subject)?);
    ours.add(HeaderName::from_static("impersonate-uid"), value(&caller.person.to_string())?);
    for group in &caller.groups {
        ours.add(HeaderName::from_static("impersonate-group"), name(prefix, group)?);
    }
    ours.add(LOGIN, value(&caller.login.to_string())?);
    ours.add(REQUEST, value(&request.to_string())?);
    Ok(ours)
}

fn name(prefix: &str, name: &str) -> Result<HeaderValue, Unnameable> {
    let full = format!("{prefix}{name}");
    if full.trim_start().to_ascii_lowercase().starts_with("system:") {
        return Err(Unnameable::Reserved);
    }
    value(&full)
}

/// As UTF-8, which is what the API server takes; controls and outer space would change on the way.
fn value(text: &str) -> Result<HeaderValue, Unnameable> {
    if text.is_empty() || text.trim() != text || text.chars().any(char::is_control) {
        return Err(Unnameable::Characters);
    }
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Unnameable::Characters)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{super::told::tests::caller, *};
    use crate::model::SeededEntropy;

    fn request() -> RequestId {
        RequestId::random(&SeededEntropy::new(2))
    }

    #[test]
    fn each_group_is_a_field_of_its_own_and_every_name_has_its_prefix() {
        let ours = fields(&caller("ada", &["a", "b,c"]), request(), "dev:").unwrap();
        let mut headers = HeaderMap::new();
        ours.set_in(&mut headers);
        assert_eq!(headers.get("impersonate-user").unwrap(), "dev:ada");
        assert_eq!(headers.get_all("impersonate-group").iter().collect::<Vec<_>>(), ["dev:a", "dev:b,c"]);
        assert_eq!(headers.len(), 6);
        assert!(headers.contains_key("impersonate-extra-bailiwick.dev%2flogin"));
    }

    #[test]
    fn nobody_becomes_a_component_of_the_cluster() {
        for (subject, group, prefix) in [
            ("system:admin", "a", ""),
            ("ada", "system:masters", ""),
            ("admin", "a", "system:"),
            ("ada", "SYSTEM:x", ""),
        ] {
            assert_eq!(fields(&caller(subject, &[group]), request(), prefix).err(), Some(Unnameable::Reserved));
        }
        assert!(fields(&caller("system:admin", &[]), request(), "dev:").is_ok());
        for subject in ["a\r\nImpersonate-Group: x", "a\0", "", "a "] {
            assert!(fields(&caller(subject, &[]), request(), "").is_err(), "{subject:?}");
        }
    }
}
