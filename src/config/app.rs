//! `[[app]]`: a protected web app.

use std::path::PathBuf;

use url::Url;

use super::{
    Portal, PublicHost,
    reader::Section,
    value::{boolean, origin_url, parsed},
};
use crate::model::AppName;

/// A protected web app.
#[derive(Clone, Debug)]
pub struct App {
    /// How policies and the log call it.
    pub name: AppName,
    /// Its own host, as browsers see it.
    pub host: PublicHost,
    /// Where it really is: scheme, host and port.
    pub upstream: Url,
    /// More authorities to trust for it, PEM.
    pub ca_file: Option<PathBuf>,
    /// Whether it is told who asks.
    pub forward_identity: bool,
}

impl App {
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let files = section.files();
        let name = section.required("name", parsed);
        let host = section.required("host", parsed);
        let upstream = section.required("upstream", origin_url);
        let ca_file = section.optional("ca_file", |node| files.file(node));
        let forward_identity = section.or("forward_identity", "true", boolean);
        if ca_file.is_some() && upstream.as_ref().is_some_and(|url| url.scheme() == "http") {
            section.wrong("ca_file", "`ca_file` is for an https upstream", "of no use");
        }
        Some(Self { name: name?, host: host?, upstream: upstream?, ca_file, forward_identity: forward_identity? })
    }

    /// The origin that browsers see: the portal's scheme with this app's host.
    pub fn origin(&self, portal: &Portal) -> String {
        format!("{}://{}", portal.url.scheme(), self.host)
    }
}
