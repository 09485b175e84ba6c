//! What sections must agree on: hosts, ports and names that only make sense side by side.
//! Judges what could be read, so that a mistake elsewhere does not hide these.

use std::collections::BTreeMap;

use super::{ProxyProtocol, host::is_localhost, load::Parts, reader::Reading};

/// Notes every disagreement.
pub(super) fn check(parts: &Parts, reading: &mut Reading) {
    check_ports(parts, reading);
    check_listener(parts, reading);
    check_hosts(parts, reading);
    check_apps_fit_the_portal(parts, reading);
    check_names(parts, reading);
    check_providers(parts, reading);
    check_login(parts, reading);
}

/// No two ports are the same, and there is a door.
fn check_ports(parts: &Parts, reading: &mut Reading) {
    let Some(listener) = &parts.listener else { return };
    if !reading.has("listener.http") && !reading.has("listener.https") {
        reading.wrong("listener", "`listener` needs `http` or `https`", "no door");
    }
    let own = [("listener.http", listener.http), ("listener.https", listener.https)];
    let mut ports: Vec<_> = own.into_iter().map(|(path, address)| (path.to_owned(), address)).collect();
    ports.push(("listener.status".to_owned(), Some(listener.status)));
    for (nth, cluster) in present(&parts.cluster) {
        ports.push((format!("cluster[{nth}].listen"), cluster.listen));
    }
    let given = ports.into_iter().filter_map(|(path, address)| Some((path, address?)));
    refuse_twice(reading, "address", given.filter(|(_, address)| address.port() != 0));
}

/// TLS has what it needs, and a PROXY header is believed from somebody.
fn check_listener(parts: &Parts, reading: &mut Reading) {
    let Some(listener) = &parts.listener else { return };
    let needs_tls = reading.has("listener.https") || !parts.cluster.is_empty();
    if needs_tls && !reading.has("listener.certificate_file") {
        reading.wrong("listener", "TLS ports need `listener.certificate_file`", "needs `certificate_file`");
    }
    if needs_tls && !reading.has("listener.key_file") {
        reading.wrong("listener", "TLS ports need `listener.key_file`", "needs `key_file`");
    }
    if listener.proxy_protocol == ProxyProtocol::V2 && listener.trusted_proxies.is_empty() {
        let message = "`proxy_protocol` needs `trusted_proxies`: nobody else's header is believed";
        reading.wrong("listener.proxy_protocol", message, "from whom?");
    }
    for (nth, cluster) in present(&parts.cluster) {
        if cluster.listen.is_none() && !reading.has("listener.https") && !reading.has(&format!("cluster[{nth}].listen"))
        {
            let message = format!("cluster `{}` needs `listen`, or `listener.https`", cluster.name);
            reading.wrong(&format!("cluster[{nth}]"), message, "no door");
        }
    }
}

/// Every host leads to one place. Ports do not tell hosts apart: cookies ignore them.
fn check_hosts(parts: &Parts, reading: &mut Reading) {
    let portal = parts.portal.iter().map(|portal| ("portal.url".to_owned(), portal.host().to_owned()));
    let apps = present(&parts.app).map(|(nth, app)| (format!("app[{nth}].host"), app.host.name().to_owned()));
    let clusters = present(&parts.cluster).map(|(nth, cluster)| (format!("cluster[{nth}].host"), cluster.host.clone()));
    let hosts: Vec<_> = portal.chain(apps).chain(clusters).collect();
    refuse_twice(reading, "host", hosts);
}

/// An app is reached as the portal is, and cannot speak for it.
fn check_apps_fit_the_portal(parts: &Parts, reading: &mut Reading) {
    let Some(portal) = &parts.portal else { return };
    let below = format!(".{}", portal.host());
    for (nth, app) in present(&parts.app) {
        let path = format!("app[{nth}].host");
        // A page may use the passkeys of any domain that its own host lies below (WebAuthn Level 3, section 5.1.4.1).
        if app.host.name().ends_with(&below) {
            let message = format!("`{}` lies below the portal's host and could ask for its passkeys", app.host);
            reading.wrong(&path, message, "below the portal's host");
        }
        if portal.url.scheme() == "http" && !is_localhost(app.host.name()) {
            let message = "while the portal is plain http, apps must be on localhost too: elsewhere cookies need https";
            reading.wrong(&path, message, "not localhost");
        }
    }
}

/// Names are compared as they were written, so that a mistake elsewhere in a section does not hide that its name is taken.
fn check_names(parts: &Parts, reading: &mut Reading) {
    let sections = [
        ("provider", parts.provider.len()),
        ("app", parts.app.len()),
        ("cluster", parts.cluster.len()),
        ("collector", parts.collector.len()),
    ];
    for (section, count) in sections {
        let names = reading.names(section, count);
        refuse_twice(reading, section, names);
    }
}

/// There is somebody to vouch for people, and no two could vouch for the same one.
fn check_providers(parts: &Parts, reading: &mut Reading) {
    if parts.provider.is_empty() {
        reading.wrong("provider", "at least one `[[provider]]` is needed: nobody could sign in", "none");
    }
    let issuers = present(&parts.provider).map(|(nth, it)| (format!("provider[{nth}].issuer"), it.issuer.to_string()));
    refuse_twice(reading, "issuer", issuers);
    for (nth, provider) in present(&parts.provider) {
        for (_, other) in present(&parts.provider).take_while(|&(other, _)| other < nth) {
            let (one, two) = (&provider.kubernetes_prefix, &other.kubernetes_prefix);
            if one.starts_with(two.as_str()) || two.starts_with(one.as_str()) {
                let message = format!("`{one}` and `{two}` of provider `{}` could name the same user", other.name);
                reading.wrong(&format!("provider[{nth}].kubernetes_prefix"), message, "not distinct");
            }
        }
    }
}

fn check_login(parts: &Parts, reading: &mut Reading) {
    let Some(login) = &parts.login else { return };
    for (key, span) in [("idle", login.idle), ("credential", login.credential), ("step_up", login.step_up)] {
        if span > login.absolute {
            let message = format!("`login.{key}` is longer than `login.absolute`, which ends everything");
            reading.wrong(&format!("login.{key}"), message, "longer than `absolute`");
        }
    }
}

fn present<T>(all: &[Option<T>]) -> impl Iterator<Item = (usize, &T)> {
    all.iter().enumerate().filter_map(|(nth, one)| Some((nth, one.as_ref()?)))
}

fn refuse_twice<T: Ord + std::fmt::Display>(
    reading: &mut Reading,
    what: &str,
    all: impl IntoIterator<Item = (String, T)>,
) {
    let mut seen: BTreeMap<T, String> = BTreeMap::new();
    for (path, value) in all {
        if let Some(first) = seen.get(&value) {
            let message = format!("{what} `{value}` is taken by `{first}` already");
            reading.wrong(&path, message, "taken");
        } else {
            seen.insert(value, path);
        }
    }
}
