//! Evidence to take away: an entry with all that belongs to its request and may be read, proven in one file that is
//! checked offline. Asked for at the gate as an export, judged entry by entry, and recorded when it is complete. The
//! texts of rules come along for those who may read them.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::header;
use sqlx::PgConnection;
use tower_sessions::Session;

use super::{
    entry::{kin, open},
    explain::Texts,
    proven::prove,
    reading::Shown,
};
use crate::{
    access::Permit,
    audit::{
        Draft, Event, Log,
        bundle::{self, BundleFault, Selection},
        checkpoint::Verifier,
        search::{Losses, Lost},
    },
    model::{Action, PortalAction},
    portal::{
        Portal, PortalFault,
        caller::{SignedIn, Visitor},
        told::told,
    },
    store::{
        StoreFault, checkpoint, head,
        key::{self, KeyPurpose},
    },
};

/// GET /audit/entries/{leaf}/evidence
pub async fn evidence(
    State(portal): State<Portal>,
    Visitor(visit): Visitor,
    SignedIn(caller): SignedIn,
    session: Session,
    Path(leaf): Path<String>,
) -> Result<Response, PortalFault> {
    let ask = |index: u64| PortalAction::ExportAudit { search: format!("entry={index}"), format: FORMAT.to_owned() };
    let opened = open(&portal, &caller, visit.request, (&session, &leaf), ask).await?;
    let mut db = portal.pool.acquire().await.map_err(StoreFault::from)?;
    let kin = kin(&mut db, (&opened.reader, &portal.log), &opened.shown).await?;
    let index = opened.shown.index;
    let texts = match Texts::of(&portal, &opened.permit) {
        Texts::Shown => bundle::Texts::Included,
        Texts::Withheld => bundle::Texts::LeftOut,
    };
    let file = match written(&mut db, &opened.shown, &kin.entries, texts).await {
        Ok(file) => file,
        Err(fault) => {
            let fault = look_into(&mut db, &portal.log, (&opened.shown, &kin.entries), fault).await;
            opened.permit.spend().2.answered(fault.status().as_u16());
            return Err(fault);
        }
    };
    drop(db);
    let event = Event::Exported {
        search: format!("entry={index}"),
        format: FORMAT.to_owned(),
        entries: file.entries,
        manifest: hex::encode(file.sha256),
    };
    let (happened_at, request) = (portal.clock.now(), Some(visit.request));
    let draft = Draft { caller: Some(caller.into()), event, happened_at, request };
    if let Err(fault) = portal.log.append(draft).await {
        opened.permit.spend().2.answered(503);
        return Err(PortalFault::Unavailable(fault.to_string()));
    }
    let name = format!("attachment; filename=\"entry-{index}.bundle.jsonl\"");
    let kind = "application/x-ndjson".to_owned();
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)];
    Ok(told(opened.permit, (headers, file.bytes).into_response()))
}

struct File {
    bytes: Vec<u8>,
    entries: u64,
    sha256: [u8; 32],
}

/// The file: the entry and its kin as far as a signed checkpoint covers them, up to the newest.
async fn written(
    db: &mut PgConnection,
    shown: &Shown,
    kin: &[Shown],
    texts: bundle::Texts,
) -> Result<File, BundleFault> {
    let beyond = || BundleFault::Beyond("no checkpoint covers this entry yet".to_owned());
    let signed = checkpoint::newest(&mut *db).await?.ok_or_else(beyond)?;
    let head = head::newest(&mut *db).await?;
    let publics = key::publics(&mut *db, KeyPurpose::Checkpoint).await?;
    let verifier = |public: Vec<u8>| Verifier::new(&head.origin, public.try_into().ok()?).ok();
    let keys: Vec<String> = publics.into_iter().filter_map(verifier).map(|key| key.to_string()).collect();
    let wanted = kin.iter().map(|shown| shown.index).chain([shown.index]);
    let covered = wanted.filter(|index| *index < signed.size || *index == shown.index);
    let selection = Selection::of(covered.map(|index| index..index.saturating_add(1)));
    let mut bytes = Vec::new();
    let written = bundle::write(db, &selection, &signed, (&head.origin, &keys), &[], texts, &mut bytes).await?;
    for changed in written.changed {
        tracing::error!(%changed, index = shown.index, "a stored text is not the one that was in force");
    }
    Ok(File { bytes, entries: written.entries, sha256: written.sha256 })
}

/// What there is to say of a file that could not be written. Where the log is at fault, that is an alarm, and the entries
/// are named that do not hold.
async fn look_into(
    db: &mut PgConnection,
    log: &Log,
    (shown, kin): (&Shown, &[Shown]),
    fault: BundleFault,
) -> PortalFault {
    let what = match fault {
        BundleFault::Beyond(_) => {
            return PortalFault::BadRequest(
                "No signed checkpoint covers this entry yet. Try again in a second.".into(),
            );
        }
        BundleFault::Archived(_) => return PortalFault::Archived,
        BundleFault::Missing(index) => {
            log.came_upon(&Losses { missing: Lost::one(index), ..Losses::default() });
            return PortalFault::Missing(index);
        }
        BundleFault::Unsound(what) => what,
        fault => return PortalFault::Unavailable(fault.to_string()),
    };
    for one in [shown].into_iter().chain(kin) {
        match prove(&mut *db, log, one.index, &one.leaf).await {
            Ok(proven) if proven.is_contradicted() => return PortalFault::Altered(proven.contradiction()),
            Ok(_) => {}
            Err(fault) => return fault,
        }
    }
    log.cannot_prove(&what);
    PortalFault::Altered(format!("{what}. Run bailiwick audit verify"))
}

/// Whether the holder of `permit` might take entries away.
pub fn might_export(portal: &Portal, permit: &Permit) -> bool {
    let action = PortalAction::ExportAudit { search: String::new(), format: String::new() };
    portal.would_allow(permit, Action::Portal(action))
}

const FORMAT: &str = "bundle";
