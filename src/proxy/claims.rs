//! The names of header fields that claim an identity, an address or another target: fields that some proxy or framework
//! believes. None of them passes the broker from a caller; what an app is told comes from the broker alone.

use std::sync::LazyLock;

/// Whether a field claims who or where a request comes from, or what it should be taken for.
pub(super) fn claims(plain: &str) -> bool {
    // Most fields begin with a letter with which no claim begins.
    let begins = plain.as_bytes().first().and_then(|first| BEGINS.get(usize::from(*first)));
    if begins != Some(&true) {
        return false;
    }
    // None begins with another, so only the last that does not come after the field can begin it.
    let after = PREFIXES.partition_point(|prefix| *prefix <= plain);
    let before = after.checked_sub(1).and_then(|last| PREFIXES.get(last));
    before.is_some_and(|prefix| plain.starts_with(prefix)) || NAMES.binary_search(&plain).is_ok()
}

/// The bytes with which claims begin.
static BEGINS: LazyLock<[bool; 256]> = LazyLock::new(|| {
    let mut begins = [false; 256];
    for first in PREFIXES.iter().chain(NAMES).filter_map(|claim| claim.as_bytes().first()) {
        if let Some(place) = begins.get_mut(usize::from(*first)) {
            *place = true;
        }
    }
    begins
});

/// In order. None begins with another.
const PREFIXES: &[&str] = &[
    "bailiwick-",
    "cf-",
    "client-ip",
    "cluster-client-",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "impersonate-",
    "remote-",
    "ssl-client-",
    "tailscale-",
    "true-client-ip",
    "wl-proxy-",
    "x-accel-",
    "x-amzn-oidc-",
    "x-arr-",
    "x-auth-email",
    "x-auth-group",
    "x-auth-name",
    "x-auth-request-",
    "x-auth-user",
    "x-authelia-",
    "x-authenticated-",
    "x-authentik-",
    "x-azure-",
    "x-client-cert",
    "x-client-dn",
    "x-client-ip",
    "x-client-subject",
    "x-client-verify",
    "x-cluster-client-ip",
    "x-envoy-",
    "x-forward",
    "x-goog-authenticated-",
    "x-host",
    "x-http-method",
    "x-method-override",
    "x-ms-client-",
    "x-original-",
    "x-originating-",
    "x-pomerium-",
    "x-proxyuser-",
    "x-real-ip",
    "x-remote-",
    "x-rewrite-",
    "x-sendfile-",
    "x-ssl-client",
    "x-token-subject",
    "x-vouch-",
    "x-webauth-",
];

/// In order.
const NAMES: &[&str] = &[
    "base-url",
    "http-url",
    // CGI makes HTTP_PROXY of it.
    "proxy",
    "redirect",
    "request-uri",
    "via",
    "x-custom-ip-authorization",
    "x-email",
    "x-groups",
    "x-ip",
    "x-middleware-subrequest",
    "x-path",
    "x-proto",
    "x-scheme",
    "x-script-name",
    "x-url",
    "x-user",
    "x-user-email",
    "x-user-id",
    "x-username",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_found_as_if_every_one_were_compared() {
        assert!(PREFIXES.is_sorted() && NAMES.is_sorted());
        assert!(PREFIXES.windows(2).all(|two| !two[1].starts_with(two[0])), "one begins with another");
        let fields = PREFIXES.iter().chain(NAMES).flat_map(|claim| {
            let shorter = claim[..claim.len() - 1].to_owned();
            [(*claim).to_owned(), shorter, format!("{claim}-by"), format!("{claim}0"), format!("x{claim}")]
        });
        for field in fields.chain(["host", "accept", "", "x", "zz"].map(str::to_owned)) {
            let one_by_one = PREFIXES.iter().any(|prefix| field.starts_with(prefix)) || NAMES.contains(&field.as_str());
            assert_eq!(claims(&field), one_by_one, "{field}");
        }
    }
}
