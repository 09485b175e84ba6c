//! The pages that say no, or that something went wrong.

use askama::Template;

use super::Frame;

/// The rules say no to something in the portal.
#[derive(Template)]
#[template(path = "denied.html")]
pub struct DeniedPage {
    /// The frame.
    pub frame: Frame,
    /// What was asked, to follow "You may not".
    pub asked: String,
    /// Why not.
    pub reason: String,
    /// The rules that said so, by `@id`.
    pub rules: Vec<String>,
    /// Who: `provider/subject`.
    pub person: String,
    /// The request's id.
    pub request: String,
    /// Whether only half a login asked.
    pub half: bool,
}

/// Something went wrong, on either side.
#[derive(Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// The frame.
    pub frame: Frame,
    /// The status.
    pub status: u16,
    /// Whether the fault is ours.
    pub ours: bool,
    /// In a few words.
    pub title: String,
    /// In a sentence.
    pub message: String,
    /// The number under which our log has the details.
    pub incident: Option<String>,
    /// Where to go from here.
    pub href: String,
    /// In words.
    pub link: String,
}

/// A link or form on another site led here.
#[derive(Template)]
#[template(path = "asked_from_elsewhere.html")]
pub struct AskedFromElsewherePage {
    /// The frame.
    pub frame: Frame,
    /// The same page, to be opened from here.
    pub href: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::{super::look_at, *};

    /// As the proxy fills it; its own struct stands in that room.
    #[derive(Template)]
    #[template(path = "refused.html")]
    struct RefusedPage {
        css: String,
        glyph: String,
        portal: String,
        app: String,
        asked: String,
        reason: String,
        rules: Vec<String>,
        person: String,
        request: String,
    }

    const REQUEST: &str = "0b54ad30-7d3c-4c80-9d0f-3f1f4ac7a0b1";

    #[test]
    fn an_app_that_is_refused_says_why_and_by_which_rule() {
        let page = RefusedPage {
            css: "/static/portal.css".to_owned(),
            glyph: "/static/glyph.svg".to_owned(),
            portal: "https://auth.example.com/".to_owned(),
            app: "wiki".to_owned(),
            asked: "GET wiki/admin/users".to_owned(),
            reason: "only administrators may open the wiki's back room".to_owned(),
            rules: vec!["wiki-admin-only".to_owned()],
            person: "corp/ada".to_owned(),
            request: REQUEST.to_owned(),
        };
        let html = look_at("refused", &page);
        assert!(html.contains("wiki-admin-only") && html.contains("back room"));
    }

    #[test]
    fn a_denial_gives_the_rules_words() {
        let page = DeniedPage {
            frame: Frame::sample("/audit"),
            asked: "read the audit log".to_owned(),
            reason: "no rule allows this".to_owned(),
            rules: vec![],
            person: "corp/ada".to_owned(),
            request: REQUEST.to_owned(),
            half: false,
        };
        assert!(look_at("denied", &page).contains("You may not read the audit log"));
    }

    #[test]
    fn a_failure_shows_an_incident_and_nothing_of_itself() {
        let page = ErrorPage {
            frame: Frame::door(),
            status: 503,
            ours: true,
            title: "Not just now".to_owned(),
            message: "The broker cannot record requests at the moment, so it lets none through.".to_owned(),
            incident: Some(REQUEST.to_owned()),
            href: "/".to_owned(),
            link: "Try again".to_owned(),
        };
        assert!(look_at("error", &page).contains(REQUEST));
    }

    #[test]
    fn a_link_from_elsewhere_can_be_opened_properly() {
        let page = AskedFromElsewherePage { frame: Frame::door(), href: Some("/audit".to_owned()) };
        assert!(look_at("asked_from_elsewhere", &page).contains("href=\"/audit\""));
    }
}
