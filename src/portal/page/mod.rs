//! The pages: one struct each over a template of the same name, every field already in words.
//! Promises that nothing here reads a database, a clock or a request, and that escaping is never off. Leaves it to the
//! handlers to decide what a person may see.

mod administration;
mod answer;
mod audit;
mod chart;
mod door;
mod entry;
mod frame;
mod home;

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;

pub use administration::{PolicyFaultWords, PolicyPage, RuleFile, SessionsPage};
pub use answer::{AskedFromElsewherePage, DeniedPage, ErrorPage};
pub use audit::{
    AuditPage, CheckpointWords, Chip, Choice, DayWords, EntryLine, Field, FilterForm, NothingWords, SavedWords, Value,
};
pub use chart::{Bar, Chart, STEP};
pub use door::{
    CommandLinePage, EnrolPage, OnwardPage, PasskeyPage, ProviderButton, SignInPage, SignedOutPage, StepUpPage,
};
pub use entry::{EntryPage, Fact, ProofWords, RuleWords, WhyWords};
pub use frame::{Alarm, Frame, Link};
pub use home::{AppTile, ClusterTile, CredentialRow, HomePage, LoginRow, PasskeyRow};

/// A page as a response. A template that cannot be rendered is a failure of ours and shows nothing of itself.
pub fn show(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(fault) => {
            tracing::error!(%fault, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The tests' way to look at a page: rendered, kept under `target/pages` for whoever wants to see it, and checked for
/// what every page owes.
#[cfg(test)]
pub(crate) fn look_at(name: &str, page: &impl Template) -> String {
    let html = page.render().unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pages");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name).with_extension("html"), &html).unwrap();
    assert!(html.starts_with("<!doctype html>"), "{name} is not a whole page");
    assert!(
        html.contains("<title>") && html.contains("<h1>") && html.contains("id=\"main\""),
        "{name} lacks its frame"
    );
    assert!(!html.contains(" style=") && !html.contains("<style"), "{name} has inline style");
    assert!(!html.contains("<script>") && !html.contains(" onclick"), "{name} has inline script");
    assert!(!html.contains("{{") && !html.contains("{%"), "{name} shows its template");
    html
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_template_turns_escaping_off() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("|safe") && !text.contains("| safe") && !text.contains("escape("), "{path:?}");
        }
    }
}
