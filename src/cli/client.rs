//! What the commands of a user share: where they keep things, the login that they hold, and how they fail.
//! Promises: folders 0700, files 0600, written whole or not at all. How the portal is asked is `api`'s affair.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use url::Url;

use super::CliFault;
use crate::{config::client as environment, model::Timestamp};

/// Why a command of a user could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    /// Nobody is logged in at this portal, or not any more.
    #[error("not logged in at {portal}. Type: bailiwick login --portal {portal}")]
    LoggedOut {
        /// Where.
        portal: String,
    },
    /// It is not known which portal is meant.
    #[error("no portal is known yet. Type: bailiwick login --portal https://…")]
    NoPortal,
    /// The portal's address is not one.
    #[error("{0} is not the address of a portal: https://HOST, or http:// on this machine")]
    BadPortal(String),
    /// The portal could not be reached.
    #[error("{portal} could not be reached: {why}")]
    Unreachable {
        /// Which.
        portal: String,
        /// Why.
        why: String,
    },
    /// The portal said no.
    #[error("{portal} refused: {why}")]
    Refused {
        /// Which.
        portal: String,
        /// What it said.
        why: String,
    },
    /// The portal's answer makes no sense.
    #[error("{portal} answered in a way that this version does not understand: {why}")]
    Strange {
        /// Which.
        portal: String,
        /// What was odd.
        why: String,
    },
    /// A file is in the way.
    #[error("could not {doing} {}: {source}", path.display())]
    File {
        /// What was to be done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What stopped it.
        source: io::Error,
    },
    /// There is no home folder to keep anything in.
    #[error("there is no home folder; set BAILIWICK_HOME")]
    Homeless,
    /// Asked for and not there.
    #[error("{portal} knows no cluster {cluster} that you may use{known}")]
    NoCluster {
        /// Where.
        portal: String,
        /// Which.
        cluster: String,
        /// What it does know.
        known: String,
    },
    /// Anything else that has to be said.
    #[error("{0}")]
    Other(String),
}

impl From<ClientFault> for CliFault {
    fn from(fault: ClientFault) -> Self {
        Self::failed(fault)
    }
}

impl ClientFault {
    pub(super) fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), source }
    }
}

/// The folder in which the command line keeps what it holds.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

/// A login at a portal, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLogin {
    /// The portal's address.
    pub portal: String,
    /// What proves it. Never printed.
    pub token: String,
    /// Who it is.
    pub person: String,
    /// The latest that it can end.
    pub expires_at: String,
    /// An authority to trust for the portal besides the public ones.
    pub ca_file: Option<PathBuf>,
}

impl Home {
    /// The user's, which is made if it is not there.
    pub fn of_user() -> Result<Self, ClientFault> {
        let home = Self(environment::home().ok_or(ClientFault::Homeless)?);
        home.folder("")?;
        Ok(home)
    }

    #[cfg(test)]
    pub(super) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// A folder below it, made if it is not there.
    pub fn folder(&self, name: &str) -> Result<PathBuf, ClientFault> {
        let folder = self.0.join(name);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| ClientFault::file("make", &folder, source))?;
        Ok(folder)
    }

    /// The login at `portal`; none given: at the portal of the newest login.
    pub fn login(&self, portal: Option<&Url>) -> Result<HeldLogin, ClientFault> {
        let portal = match portal {
            Some(portal) => address(portal),
            None => read(&self.0.join("portal"))?.ok_or(ClientFault::NoPortal)?.trim().to_owned(),
        };
        let held = read(&self.login_file(&portal))?;
        held.and_then(|text| serde_json::from_str(&text).ok()).ok_or(ClientFault::LoggedOut { portal })
    }

    /// Keeps a login, and its portal as the one that is meant from now on.
    pub fn keep_login(&self, login: &HeldLogin) -> Result<(), ClientFault> {
        self.folder("logins")?;
        let text = serde_json::to_string(login).map_err(|fault| ClientFault::Other(fault.to_string()))?;
        write(&self.login_file(&login.portal), text.as_bytes())?;
        write(&self.0.join("portal"), login.portal.as_bytes())
    }

    /// Forgets a login and every credential that was issued under it.
    pub fn forget_login(&self, portal: &str) -> Result<(), ClientFault> {
        remove(&self.login_file(portal))?;
        self.forget_credentials(portal)
    }

    /// Forgets every credential of a portal that is kept here.
    pub fn forget_credentials(&self, portal: &str) -> Result<(), ClientFault> {
        let prefix = format!("{}-", name_for(&[portal]));
        for entry in fs::read_dir(self.folder("credentials")?).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn login_file(&self, portal: &str) -> PathBuf {
        self.0.join("logins").join(name_for(&[portal])).with_extension("json")
    }
}

/// A file name for things that may hold any character.
pub(super) fn name_for(parts: &[&str]) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finish().as_ref().iter().take(10).copied().collect::<Vec<u8>>())
}

/// Writes a file that only its owner may read, whole or not at all.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), ClientFault> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut open = fs::OpenOptions::new();
    let written = open
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    written.map_err(|source| ClientFault::file("write", path, source))
}

/// The text of a file; none if it is not there.
pub(super) fn read(path: &Path) -> Result<Option<String>, ClientFault> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ClientFault::file("read", path, source)),
    }
}

fn remove(path: &Path) -> Result<(), ClientFault> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ClientFault::file("remove", path, source)),
        _ => Ok(()),
    }
}

/// A portal's address as text, without a slash at its end.
pub(super) fn address(portal: &Url) -> String {
    portal.origin().ascii_serialization()
}

/// A portal's address as the user gave it. Plain HTTP is taken on this machine only.
pub fn portal_address(text: &str) -> Result<Url, ClientFault> {
    let bad = || ClientFault::BadPortal(text.to_owned());
    let url = Url::parse(text).map_err(|_| bad())?;
    let sound = match url.scheme() {
        "https" => url.host_str().is_some(),
        "http" => url.host_str().is_some_and(is_this_machine),
        _ => false,
    };
    if sound && url.path() == "/" && url.query().is_none() && url.username().is_empty() { Ok(url) } else { Err(bad()) }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host == "127.0.0.1"
}

/// Instants as the API writes them (RFC 3339).
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let format = time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text, &format).ok().map(Timestamp::from_datetime)
}
