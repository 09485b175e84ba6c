//! From a path to [`Settings`], or to everything that is wrong with them.
//! The order of the sections here is the order of the sample.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::{
    App, Audit, Cluster, Collector, Database, Keys, Listener, Login, Mistake, Policy, Portal, Provider, Settings,
    Shipping, Witness, agreement,
    document::{self, Table},
    mistake::{Origin, Source},
    reader::Reading,
    value::{FileCheck, Files},
};

/// Every section, in order.
pub(super) const SECTIONS: [&str; 13] = [
    "portal",
    "listener",
    "database",
    "audit",
    "shipping",
    "witness",
    "collector",
    "keys",
    "provider",
    "policy",
    "login",
    "app",
    "cluster",
];

/// Sections as far as they could be read; `None` where mistakes were found.
pub(super) struct Parts {
    pub(super) portal: Option<Portal>,
    pub(super) listener: Option<Listener>,
    pub(super) database: Option<Database>,
    pub(super) audit: Option<Audit>,
    pub(super) shipping: Option<Shipping>,
    pub(super) witness: Vec<Option<Witness>>,
    pub(super) collector: Vec<Option<Collector>>,
    pub(super) keys: Option<Keys>,
    pub(super) provider: Vec<Option<Provider>>,
    pub(super) policy: Option<Policy>,
    pub(super) login: Option<Login>,
    pub(super) app: Vec<Option<App>>,
    pub(super) cluster: Vec<Option<Cluster>>,
}

impl Settings {
    /// Reads the file, lays `BAILIWICK_SECTION__KEY` variables over it, and checks everything, files that it names
    /// included. All mistakes are returned, in the order of the file.
    pub fn load(path: &Path) -> Result<Self, Vec<Mistake>> {
        load(path, FileCheck::All)
    }

    /// The same before there is a wrapping key.
    pub fn load_before_keys(path: &Path) -> Result<Self, Vec<Mistake>> {
        load(path, FileCheck::AllButWrappingKey)
    }
}

impl Policy {
    /// Where the rules are, read from a file that may have mistakes elsewhere, so that both can be told at once.
    pub fn load_alone(path: &Path) -> Option<Self> {
        let source = Source::new(path.display().to_string(), fs::read_to_string(path).ok()?);
        let mut table = document::parse(&source).ok()?;
        document::overlay(&mut table, &environment());
        Reading::new(source, Files::new(folder_of(path), FileCheck::All)).one(&mut table, "policy", Self::read)
    }
}

fn load(path: &Path, check: FileCheck) -> Result<Settings, Vec<Mistake>> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|fault| {
        let source = Source::new(name.clone(), String::new());
        vec![source.mistake(&Origin::Absent, format!("{name}: {fault}"), "")]
    })?;
    parse(Source::new(name, text), &environment(), Files::new(folder_of(path), check)).map(|(settings, _)| settings)
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

fn environment() -> Vec<(String, String)> {
    let text = |(name, text): (OsString, OsString)| Some((name.into_string().ok()?, text.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}

/// The settings, and the reading that found no mistake in them.
pub(super) fn parse(
    source: Source,
    environment: &[(String, String)],
    files: Files,
) -> Result<(Settings, Reading), Vec<Mistake>> {
    let mut table = document::parse(&source)?;
    document::overlay(&mut table, environment);
    let digest = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, source.text().as_bytes()));
    let mut reading = Reading::new(source, files);
    let parts = read(&mut reading, &mut table);
    agreement::check(&parts, &mut reading);
    match (reading.is_clean(), parts.complete(digest)) {
        (true, Some(settings)) => Ok((settings, reading)),
        _ => Err(reading.into_mistakes()),
    }
}

fn read(reading: &mut Reading, table: &mut Table) -> Parts {
    let portal = reading.one(table, "portal", Portal::read);
    let parts = Parts {
        listener: reading.one(table, "listener", Listener::read),
        database: reading.one(table, "database", Database::read),
        audit: reading.one(table, "audit", |section| Audit::read(section, portal.as_ref())),
        shipping: reading.one(table, "shipping", Shipping::read),
        witness: reading.each(table, "witness", Witness::read),
        collector: reading.each(table, "collector", Collector::read),
        keys: reading.one(table, "keys", Keys::read),
        provider: reading.each(table, "provider", Provider::read),
        policy: reading.one(table, "policy", Policy::read),
        login: reading.one(table, "login", Login::read),
        app: reading.each(table, "app", App::read),
        cluster: reading.each(table, "cluster", Cluster::read),
        portal,
    };
    reading.refuse_unknown_sections(table, &SECTIONS);
    parts
}

impl Parts {
    fn complete(self, digest: String) -> Option<Settings> {
        Some(Settings {
            portal: self.portal?,
            listener: self.listener?,
            database: self.database?,
            audit: self.audit?,
            shipping: self.shipping?,
            witness: self.witness.into_iter().collect::<Option<_>>()?,
            collector: self.collector.into_iter().collect::<Option<_>>()?,
            keys: self.keys?,
            provider: self.provider.into_iter().collect::<Option<_>>()?,
            policy: self.policy?,
            login: self.login?,
            app: self.app.into_iter().collect::<Option<_>>()?,
            cluster: self.cluster.into_iter().collect::<Option<_>>()?,
            digest,
        })
    }
}

#[cfg(test)]
mod tests;
