//! The pages of signing in and out, and of letting the command line in.

use askama::Template;

use super::Frame;

/// Choose a provider.
#[derive(Template)]
#[template(path = "sign_in.html")]
pub struct SignInPage {
    /// The frame.
    pub frame: Frame,
    /// Where the person wanted to go, in words.
    pub destination: Option<String>,
    /// Why they are here again.
    pub notice: Option<String>,
    /// One button each.
    pub providers: Vec<ProviderButton>,
}

/// One provider.
pub struct ProviderButton {
    /// Its configured name.
    pub name: String,
    /// What the button says.
    pub label: String,
}

/// Assert a passkey: the second half of a login.
#[derive(Template)]
#[template(path = "passkey.html")]
pub struct PasskeyPage {
    /// The frame.
    pub frame: Frame,
    /// Who the provider says it is.
    pub person: String,
    /// Which provider.
    pub provider: String,
}

/// Register a first passkey.
#[derive(Template)]
#[template(path = "enrol.html")]
pub struct EnrolPage {
    /// The frame.
    pub frame: Frame,
    /// Who the provider says it is.
    pub person: String,
    /// A first guess at a name for the passkey.
    pub label: String,
    /// The address that will be recorded.
    pub address: String,
}

/// Assert a passkey again.
#[derive(Template)]
#[template(path = "step_up.html")]
pub struct StepUpPage {
    /// The frame.
    pub frame: Frame,
    /// Who.
    pub person: String,
    /// What asks for it, in words.
    pub destination: Option<String>,
}

/// Confirm that the command line may act for this login.
#[derive(Template)]
#[template(path = "command_line.html")]
pub struct CommandLinePage {
    /// The frame.
    pub frame: Frame,
    /// Who.
    pub person: String,
    /// The name that the asking computer gives itself.
    pub host: String,
    /// The loopback address that the answer goes to.
    pub callback: String,
    /// When it asked.
    pub asked: String,
    /// The same, exact.
    pub asked_exact: String,
    /// When the login ends at the latest.
    pub ends: String,
    /// The number under which the server remembers what was asked.
    pub request: String,
}

/// On to another page, as a navigation of our own: a redirect would still count as coming from the site before, and one
/// that answers a form would be held to the form's policy.
#[derive(Template)]
#[template(path = "onward.html")]
pub struct OnwardPage {
    /// The frame.
    pub frame: Frame,
    /// Where to.
    pub address: String,
}

/// The login has ended.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub struct SignedOutPage {
    /// The frame.
    pub frame: Frame,
}

#[cfg(test)]
mod tests {
    use super::{super::look_at, *};

    #[test]
    fn sign_in_offers_one_button_for_each_provider() {
        let button = |name: &str, label: &str| ProviderButton { name: name.to_owned(), label: label.to_owned() };
        let page = SignInPage {
            frame: Frame::door(),
            destination: Some("wiki".to_owned()),
            notice: Some("Your login has ended.".to_owned()),
            providers: vec![button("corp", "Corp"), button("partners", "Partners")],
        };
        let html = look_at("sign_in", &page);
        assert_eq!(html.matches("name=\"provider\"").count(), 2);
    }

    #[test]
    fn sign_in_without_a_provider_says_so() {
        let page = SignInPage { frame: Frame::door(), destination: None, notice: None, providers: vec![] };
        assert!(look_at("sign_in_empty", &page).contains("No sign-in provider"));
    }

    #[test]
    fn what_a_provider_calls_a_person_is_inert() {
        let page = PasskeyPage {
            frame: Frame::door(),
            person: "<svg onload=alert(1)>".to_owned(),
            provider: "Corp".to_owned(),
        };
        assert!(!look_at("passkey_hostile", &page).contains("<svg"));
    }

    #[test]
    fn the_passkey_pages_name_both_halves_of_their_ceremony() {
        let person = || "Ada Lovelace".to_owned();
        let passkey = PasskeyPage { frame: Frame::door(), person: person(), provider: "Corp".to_owned() };
        let enrol = EnrolPage {
            frame: Frame::door(),
            person: person(),
            label: "Firefox on Linux".to_owned(),
            address: "192.0.2.7".to_owned(),
        };
        let step_up = StepUpPage { frame: Frame::door(), person: person(), destination: Some("wiki".to_owned()) };
        for (html, begin) in [
            (look_at("passkey", &passkey), "/passkey/begin"),
            (look_at("enrol", &enrol), "/enrol/begin"),
            (look_at("step_up", &step_up), "/step-up/begin"),
        ] {
            assert!(html.contains(&format!("data-begin=\"{begin}\"")) && html.contains("<noscript>"));
        }
    }

    #[test]
    fn the_command_line_is_let_in_only_by_a_form_that_says_what_it_asks() {
        let page = CommandLinePage {
            frame: Frame::sample("/command-line"),
            person: "corp/ada".to_owned(),
            host: "ada-laptop".to_owned(),
            callback: "127.0.0.1:43117".to_owned(),
            asked: "21 Nov 2026, 23:15 UTC".to_owned(),
            asked_exact: "2026-11-21T23:15:00Z".to_owned(),
            ends: "22 Nov 2026, 11:00 UTC".to_owned(),
            request: "6c1f".to_owned(),
        };
        let html = look_at("command_line", &page);
        assert!(html.contains("ada-laptop") && html.contains("method=\"post\" action=\"/command-line\""));
    }

    #[test]
    fn the_way_onward_needs_no_script() {
        let html = look_at("onward", &OnwardPage { frame: Frame::door(), address: "/passkey".to_owned() });
        assert!(html.contains("content=\"0;url=/passkey\"") && html.contains("href=\"/passkey\""));
    }

    #[test]
    fn signed_out_offers_the_way_back_in() {
        assert!(look_at("signed_out", &SignedOutPage { frame: Frame::door() }).contains("/sign-in"));
    }
}
