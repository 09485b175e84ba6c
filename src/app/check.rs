//! What a broker reads before it opens a door, beside the words of its configuration: keys, certificates, kubeconfigs,
//! addresses. By the same functions with which it starts, so that `bailiwick check` passes nothing that `serve` refuses.
//! Looks at files alone, and changes nothing: database and network are not asked.

use super::{StartFault, doors, provider_client};
use crate::{
    config::Settings,
    credential::{CredentialFault, Wrapping},
    proxy::{KubernetesDoor, WebDoor},
    shipping::{self, collector},
    store,
};

/// Everything that is wrong.
pub fn check(settings: &Settings) -> Vec<StartFault> {
    let database = [Some(&settings.database.url), settings.database.auditor_url.as_ref()];
    let databases = database.into_iter().flatten().map(|url| store::check_url(url).map_err(StartFault::from));
    let wrapping = Wrapping::new(settings.keys.wrapping_key_file.clone()).check();
    let wrapping = wrapping.map_err(|fault| StartFault::from(CredentialFault::from(fault)));
    let certificate = doors::names(&settings.listener).map(drop);
    let providers = settings.provider.iter().map(|provider| provider_client(provider).map(drop));
    let apps = settings.app.iter().map(|app| WebDoor::check(app).map_err(StartFault::from));
    let clusters = settings.cluster.iter().map(|cluster| KubernetesDoor::check(cluster).map_err(StartFault::from));
    let shipping = shipping::check(&settings.shipping, &settings.witness).map_err(StartFault::from);
    let collectors = collector::check(&settings.collector, &settings.audit.origin).into_iter().map(StartFault::from);
    let all = databases.chain([wrapping, certificate]).chain(providers).chain(apps).chain(clusters).chain([shipping]);
    all.filter_map(Result::err).chain(collectors).collect()
}
