//! What an export said about itself, for whoever made it: at the address of its hash, as the log names it, and at that of
//! the request that was the export, which is known before its first byte. Never anybody else's.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::header;
use sqlx::PgConnection;
use tower_sessions::Session;

use crate::{
    audit::{
        Log,
        entry::{Entry, Event},
        export::Manifest,
        search::{self, Search},
    },
    model::{PersonId, PortalAction, RequestId, Timestamp},
    portal::{
        Portal, PortalFault,
        caller::{SignedIn, Visitor},
        entry_words::visible,
        told::told,
        words,
    },
    store::{StoreFault, export_manifest},
};

/// GET /audit/manifests/{name}
pub async fn manifest(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
    Path(name): Path<String>,
) -> Result<Response, PortalFault> {
    let name = Name::read(&name).ok_or(PortalFault::NotFound)?;
    let action = PortalAction::ExportAudit { search: format!("manifest={name}"), format: "manifest".to_owned() };
    let permit = portal.ask_on_the_way(&caller, visit.request, action, (&session, "/audit")).await?;
    let mut db = portal.pool.acquire().await.map_err(StoreFault::from)?;
    let found = match name.hash(&mut db, &portal.log).await? {
        Some(hash) => export_manifest::manifest(&mut *db, &hash, caller.person).await?,
        None => None,
    };
    let Some(body) = found else {
        permit.spend().2.answered(404);
        return Err(PortalFault::NotFound);
    };
    let name = "attachment; filename=\"manifest.json\"".to_owned();
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok(told(permit, (headers, body).into_response()))
}

/// Where the manifest of the export that `request` is will be found, once it is complete (RFC 8288).
pub fn link(request: RequestId) -> String {
    format!("</audit/manifests/{request}>; rel=\"describedby\"")
}

/// Those of a person's newest exports: the file's name with its age, and the address.
pub async fn newest(
    db: &mut PgConnection,
    person: PersonId,
    now: Timestamp,
) -> Result<Vec<(String, String)>, StoreFault> {
    let word = |(sha256, body, made_at): (String, String, Timestamp)| {
        let manifest: Option<Manifest> = serde_json::from_str(&body).ok();
        let file = manifest.and_then(|manifest| manifest.files.into_iter().next()).map(|file| file.name);
        let file = file.unwrap_or_else(|| sha256.clone());
        (format!("{}, {}", visible(&file), words::ago(now, made_at)), format!("/audit/manifests/{sha256}"))
    };
    Ok(export_manifest::newest(db, person, MOST_SHOWN).await?.into_iter().map(word).collect())
}

/// What a manifest is asked for by.
#[derive(Clone, Copy)]
enum Name {
    /// Its SHA-256.
    Hash([u8; 32]),
    /// The request that was the export.
    Request(RequestId),
}

impl Name {
    fn read(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        match hex::decode_to_slice(text, &mut hash) {
            Ok(()) => Some(Self::Hash(hash)),
            Err(_) => text.parse().ok().map(Self::Request),
        }
    }

    async fn hash(self, db: &mut PgConnection, log: &Log) -> Result<Option<[u8; 32]>, StoreFault> {
        let request = match self {
            Self::Hash(hash) => return Ok(Some(hash)),
            Self::Request(request) => request,
        };
        let search = Search { request: Some(request), ..Search::default() };
        let found = search::find(db, &search, None, MOST_OF_A_REQUEST, |_| true).await?;
        log.came_upon(&found.losses);
        let exported = found.entries.iter().find_map(|(_, leaf)| match Entry::from_leaf(leaf).ok()?.event {
            Event::Exported { manifest, .. } => Some(manifest),
            _ => None,
        });
        let mut hash = [0; 32];
        Ok(exported.and_then(|hex| hex::decode_to_slice(hex, &mut hash).is_ok().then_some(hash)))
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hash(hash) => f.write_str(&hex::encode(hash)),
            Self::Request(request) => request.fmt(f),
        }
    }
}

/// How many the page names.
const MOST_SHOWN: i64 = 3;

/// An export has a decision, its end and what it was: more than that.
const MOST_OF_A_REQUEST: usize = 10;
