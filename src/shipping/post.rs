//! An address that the newest note is posted to, as text, until it is taken. At least once, newest first.

use http::{Request, header};
use url::Url;

use crate::{
    audit::Signed,
    outbound::{Outbound, OutboundFault, Plain, Route},
};

/// Posts notes to one address.
pub(super) struct Post {
    url: Url,
    client: Outbound,
}

impl Post {
    pub(super) fn new(url: Url, client: Outbound) -> Self {
        Self { url, client }
    }

    /// Posts one note; only an answer of 2xx means that it was taken.
    pub(super) async fn deliver(&self, signed: &Signed) -> Result<(), String> {
        let (status, _) = post(&self.client, self.url.as_str(), signed.note.clone()).await?;
        if (200..300).contains(&status) { Ok(()) } else { Err(format!("it answered {status}")) }
    }
}

/// A client for destinations: more authorities if they are given, plain http to this machine alone.
pub(super) fn client(ca_file: Option<&std::path::PathBuf>) -> Result<Outbound, OutboundFault> {
    Outbound::new(Route { ca_file: ca_file.cloned(), plain: Plain::Loopback, ..Route::default() })
}

/// Posts text; the status, and the answer with its content type.
pub(super) async fn post(client: &Outbound, url: &str, text: String) -> Result<(u16, (String, String)), String> {
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "text/plain; charset=utf-8")
        .body(text.into_bytes())
        .map_err(|fault| fault.to_string())?;
    let answer = client.fetch(request).await.map_err(|fault| fault.to_string())?;
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let (kind, status) = (kind.to_owned(), answer.status().as_u16());
    Ok((status, (kind, String::from_utf8_lossy(answer.body()).into_owned())))
}
