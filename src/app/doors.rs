//! Which host leads where: the portal, each app and each cluster, with the certificates and client-certificate rules
//! that belong to their names.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use super::{Parts, StartFault};
use crate::{
    config::{self, ProxyProtocol, Settings},
    listener::{
        self, HostTable, Limits, Listener, Options, ServerKey, ServerNames, Service, Trust, Turning, server_config,
    },
    portal,
    proxy::{KubernetesDoor, WebDoor},
};

/// Takes the ports and puts a service behind every name.
pub(super) async fn open(parts: &Parts) -> Result<Listener, StartFault> {
    let settings = &parts.settings;
    let rooms = parts.rooms();
    let mut table = HostTable::default();
    table.insert(settings.portal.host(), Service::new(portal::router(parts.portal()?)))?;
    for app in &settings.app {
        table.insert(app.host.name(), WebDoor::new(app, &settings.portal, rooms.clone(), APP_PATIENCE)?.service())?;
    }
    for cluster in &settings.cluster {
        let door = KubernetesDoor::new(cluster, &settings.provider, rooms.clone())?;
        table.insert(&cluster.host, door.service())?;
    }
    let names = names_of_clusters(parts)?.map(|names| Arc::new(ArcSwap::from_pointee(names)));
    let refusals = parts.refusals.clone();
    let turning: Turning = Arc::new(move |refused| refusals.note(None, refused));
    Ok(Listener::bind(&options(settings), names, table, turning).await?)
}

/// For how long an app may say nothing about a request.
const APP_PATIENCE: Duration = Duration::from_secs(120);

/// The certificate that every name shows, and what asks for none of a client.
pub(super) fn names(listener: &config::Listener) -> Result<Option<(ServerKey, ServerNames)>, StartFault> {
    let (Some(certificate), Some(key)) = (&listener.certificate_file, &listener.key_file) else { return Ok(None) };
    let shown = ServerKey::read(certificate, key.path())?;
    let names = ServerNames::new(server_config(&shown, None)?);
    Ok(Some((shown, names)))
}

/// Clusters ask for client certificates of our own authority; nobody else does.
fn names_of_clusters(parts: &Parts) -> Result<Option<ServerNames>, StartFault> {
    let Some((shown, mut names)) = names(&parts.settings.listener)? else { return Ok(None) };
    let authority = [parts.authority.certificate().clone()];
    for cluster in &parts.settings.cluster {
        names.insert(&cluster.host, server_config(&shown, Some(&authority))?)?;
    }
    Ok(Some(names))
}

fn options(settings: &Settings) -> Options {
    let listener = &settings.listener;
    Options {
        http: listener.http,
        https: listener.https.into_iter().chain(settings.cluster.iter().filter_map(|cluster| cluster.listen)).collect(),
        limits: Limits {
            handshake: listener.handshake_timeout,
            header: listener.header_timeout,
            idle: listener.idle_timeout,
            body: listener.body_timeout,
            ..Limits::default()
        },
        trust: Trust {
            proxies: listener.trusted_proxies.clone(),
            proxy_protocol: match listener.proxy_protocol {
                ProxyProtocol::Off => listener::ProxyProtocol::Off,
                ProxyProtocol::V2 => listener::ProxyProtocol::V2,
            },
        },
    }
}
