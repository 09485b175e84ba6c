//! The log's tree and its newest checkpoint, for anybody (C2SP tlog-tiles): hashes and a signed note, and no entry. Leaf
//! hashes tell nothing, because every leaf is salted; so there is nothing here to sign in for.
//!
//! Under `/log/`, and under `/log/epoch-n/` once the log has begun another epoch: what a browser or a cache keeps of one
//! epoch for ever must not be taken for the other. An attacker controls the address: it has one spelling, each answer is
//! 8 KiB at most and comes out of a few rows, few are looked up at a time, and a network may ask only so often.

use std::sync::LazyLock;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, Uri, header, uri::PathAndQuery};
use tokio::sync::Semaphore;

use super::{Portal, PortalFault, caller::Visitor};
use crate::{
    audit::{
        proof::{ProofFault, tile},
        tile::WIDTH,
    },
    store::StoreFault,
};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Checkpoint,
    Tile { level: u8, index: u64, width: usize },
}

/// GET /log/{*path}
pub async fn serve(State(portal): State<Portal>, Visitor(visit): Visitor, uri: Uri) -> Result<Response, PortalFault> {
    portal.tile_pace.take(visit.address, portal.clock.now()).map_err(PortalFault::TooMany)?;
    Ok(found(&portal, &uri).await)
}

async fn found(portal: &Portal, uri: &Uri) -> Response {
    // The address as it was sent: a decoded one would have many spellings, and so would one with a query.
    let path = uri.path_and_query().map_or("", PathAndQuery::as_str);
    let Some((epoch, asked)) = path.strip_prefix("/log/").and_then(read) else { return absent() };
    let Some(newest) = portal.shipping.newest().filter(|newest| newest.epoch == epoch) else { return absent() };
    match asked {
        Asked::Checkpoint => answer(
            StatusCode::OK,
            &[(header::CONTENT_TYPE, TEXT), (header::CACHE_CONTROL, "public, max-age=2")],
            newest.note,
        ),
        Asked::Tile { level, index, width } => match find(portal, level, index, width).await {
            Ok(Some(hashes)) => {
                answer(StatusCode::OK, &[(header::CONTENT_TYPE, BYTES), (header::CACHE_CONTROL, EVER)], hashes)
            }
            Ok(None) => absent(),
            Err(fault) => {
                tracing::warn!(%fault, "a tile could not be served");
                let headers = [(header::CONTENT_TYPE, TEXT), (header::RETRY_AFTER, "1")];
                answer(StatusCode::SERVICE_UNAVAILABLE, &headers, "not now\n".to_owned())
            }
        },
    }
}

/// The bytes of a tile. The width is exact: a tile that has become complete still gives the part that was asked for.
async fn find(portal: &Portal, level: u8, index: u64, width: usize) -> Result<Option<Vec<u8>>, ProofFault> {
    let _turn = TURNS.acquire().await.ok();
    let mut db = portal.pool.acquire().await.map_err(StoreFault::from)?;
    Ok(tile(&mut db, level, index, width).await?.map(|hashes| hashes.concat()))
}

/// Reads an address below the prefix, in its one spelling: the epoch, and what is asked for.
fn read(path: &str) -> Option<(u64, Asked)> {
    let (epoch, rest) = match path.strip_prefix("epoch-").and_then(|rest| rest.split_once('/')) {
        Some((number, rest)) => (decimal(number).filter(|epoch| *epoch > 0)?, rest),
        None => (0, path),
    };
    if rest == "checkpoint" {
        return Some((epoch, Asked::Checkpoint));
    }
    let (level, rest) = rest.strip_prefix("tile/")?.split_once('/')?;
    let level = u8::try_from(decimal(level)?).ok().filter(|level| *level < 64)?;
    let (index, width) = match rest.rsplit_once(".p/") {
        Some((index, width)) => {
            (index, usize::try_from(decimal(width)?).ok().filter(|width| (1..WIDTH).contains(width))?)
        }
        None => (rest, WIDTH),
    };
    Some((epoch, Asked::Tile { level, index: place(index)?, width }))
}

/// Three digits for each part, all but the last after an `x`, and no part more than needed.
fn place(text: &str) -> Option<u64> {
    let parts: Vec<&str> = text.split('/').collect();
    let (last, first) = parts.split_last()?;
    let mut index = 0_u64;
    for (nth, part) in first.iter().chain([last]).enumerate() {
        let digits = if nth < first.len() { part.strip_prefix('x')? } else { part };
        if digits.len() != 3
            || !digits.bytes().all(|b| b.is_ascii_digit())
            || nth == 0 && nth < first.len() && digits == "000"
        {
            return None;
        }
        index = index.checked_mul(1_000)?.checked_add(digits.parse().ok()?)?;
    }
    Some(index)
}

fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

fn absent() -> Response {
    answer(StatusCode::NOT_FOUND, &[(header::CONTENT_TYPE, TEXT)], "there is nothing here\n".to_owned())
}

fn answer(status: StatusCode, headers: &[(header::HeaderName, &'static str)], body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    response
}

/// How many tiles are looked up at a time, by everybody together.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(4));

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
const EVER: &str = "public, max-age=31536000, immutable";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_spelling() {
        let tile = |level, index, width| Some((0, Asked::Tile { level, index, width }));
        let good = [
            ("checkpoint", Some((0, Asked::Checkpoint))),
            ("epoch-2/checkpoint", Some((2, Asked::Checkpoint))),
            ("tile/0/000", tile(0, 0, 256)),
            ("tile/0/x001/x234/067", tile(0, 1_234_067, 256)),
            ("tile/63/067.p/1", tile(63, 67, 1)),
            ("tile/1/x001/000.p/255", tile(1, 1_000, 255)),
        ];
        for (path, asked) in good {
            assert_eq!(read(path), asked, "{path}");
        }
        for bad in [
            "",
            "checkpoint/",
            "Checkpoint",
            "/checkpoint",
            "epoch-0/checkpoint",
            "epoch-01/checkpoint",
            "epoch-/checkpoint",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/a/000",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/x001",
            "tile/0/x001/x000",
            "tile/0/+01",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/1/",
            "tile/0/000.p/+1",
            "tile/0/000.p/1.p/1",
            "tile/0/%30%30%30",
            "tile/entries/000",
            "tile/0/000/..",
            "tile/0/000?x",
            "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
