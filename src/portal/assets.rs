//! The sheet, the glyph and the passkey script, out of the binary.
//! Promises that an address with a hash in its name always means the same bytes, so that browsers may keep them; the
//! bare names serve the pages that an app's own host shows.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{HeaderName, StatusCode, header};

/// The address of a file, with the hash of its bytes in the name.
pub fn address(name: &str) -> String {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => format!("/static/{}", asset.hashed),
        None => format!("/static/{name}"),
    }
}

/// GET /static/{file}
pub async fn serve(Path(file): Path<String>) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.hashed == file || asset.name == file) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let keep = if asset.hashed == file { "public, max-age=31536000, immutable" } else { "public, max-age=300" };
    let headers: [(HeaderName, &str); 3] = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, keep),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    (headers, asset.bytes).into_response()
}

struct Asset {
    name: &'static str,
    hashed: String,
    kind: &'static str,
    bytes: &'static [u8],
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        asset("portal.css", "text/css; charset=utf-8", include_bytes!("../../static/portal.css")),
        asset("glyph.svg", "image/svg+xml", include_bytes!("../../static/glyph.svg")),
        asset("passkey.js", "text/javascript; charset=utf-8", include_bytes!("../../static/passkey.js")),
    ]
});

fn asset(name: &'static str, kind: &'static str, bytes: &'static [u8]) -> Asset {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let hash = hex::encode(digest.as_ref().iter().take(8).copied().collect::<Vec<u8>>());
    let hashed = match name.rsplit_once('.') {
        Some((stem, end)) => format!("{stem}.{hash}.{end}"),
        None => name.to_owned(),
    };
    Asset { name, hashed, kind, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hashed_name_may_be_kept_for_ever_and_a_bare_one_may_not() {
        for (name, keep) in
            [("portal.css", "max-age=300"), (address("portal.css").trim_start_matches("/static/"), "immutable")]
        {
            let response = serve(Path(name.to_owned())).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains(keep));
        }
        assert_eq!(serve(Path("../Cargo.toml".to_owned())).await.status(), StatusCode::NOT_FOUND);
    }
}
