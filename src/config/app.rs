//! `[[app]]`: a protected web app.

use std::path::PathBuf;

use url::Url;

use super::{Portal, PublicHost};
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
    /// The origin that browsers see: the portal's scheme with this app's host.
    pub fn origin(&self, portal: &Portal) -> String {
        format!("{}://{}", portal.url.scheme(), self.host)
    }
}
