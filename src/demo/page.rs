//! The pages of the demonstration's provider and wiki. They share one style sheet and have no other scripts or styles.

use askama::Template;
use axum::{
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
};

use super::personas::LISTED;

/// The style sheet of both.
pub(super) const STYLE: &str = include_str!("../../templates/demo/style.css");
/// Shows what the wiki's event stream says.
pub(super) const LIVE: &str = include_str!("../../templates/demo/live.js");
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                              form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The list of people to sign in as.
#[derive(Template)]
#[template(path = "demo/provider.html")]
struct ProviderPage<'a> {
    query: &'a str,
    people: Vec<Listed>,
}

struct Listed {
    subject: &'static str,
    name: &'static str,
    about: &'static str,
    groups: String,
}

/// A page of the wiki.
#[derive(Default, Template)]
#[template(path = "demo/wiki.html")]
pub(super) struct WikiPage<'a> {
    pub(super) title: &'a str,
    pub(super) texts: &'a [&'a str],
    /// The notes and the form for a new one, where the page has them.
    pub(super) notes: Option<Vec<Note>>,
    /// Whether the page shows the event stream.
    pub(super) live: bool,
    pub(super) caller: Told,
}

/// What somebody wrote.
#[derive(Clone)]
pub(super) struct Note {
    pub(super) number: u64,
    pub(super) by: String,
    pub(super) text: String,
}

/// Who asks, as the broker's headers say.
#[derive(Clone, Default)]
pub(super) struct Told {
    pub(super) user: String,
    pub(super) name: String,
    pub(super) groups: String,
    pub(super) request: String,
}

impl WikiPage<'_> {
    pub(super) fn answer(&self) -> Response {
        page(self)
    }
}

/// The provider's page for an authorization request with this query.
pub(super) fn provider_page(query: &str) -> Response {
    let people = LISTED.iter().map(|(subject, persona)| Listed {
        subject,
        name: persona.name,
        about: persona.about,
        groups: persona.groups.join(", "),
    });
    page(&ProviderPage { query, people: people.collect() })
}

/// The style sheet.
pub(super) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()
}

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => ([(header::CONTENT_SECURITY_POLICY, CONTENT_POLICY)], Html(html)).into_response(),
        Err(fault) => (StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_renders_and_escapes_what_it_is_told() {
        let notes = Some(vec![Note { number: 1, by: "Alice".into(), text: "<b>".into() }]);
        let page = WikiPage { title: "Notes", texts: &["one"], notes, live: true, caller: Told::default() };
        let html = page.render().unwrap();
        assert!(html.contains("&#60;b&#62;") && !html.contains("<b>") && html.contains("nobody"));
        let people = vec![Listed { subject: "alice", name: "Alice", about: "", groups: String::new() }];
        let html = ProviderPage { query: "state=\"><script>", people }.render().unwrap();
        assert!(!html.contains("<script>") && html.contains("Development only") && html.contains("no group"));
    }
}
