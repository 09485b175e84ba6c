//! A software user: signs in as a browser would, with a passkey that lives in this process alone.
//! Says that a person was verified although none was there, which is why nothing but a demonstration may enrol it.

use url::Url;
use webauthn_authenticator_rs::{AuthenticatorBackend, softpasskey::SoftPasskey};
use webauthn_rs_proto::{CreationChallengeResponse, RequestChallengeResponse};

use super::browser::{Browser, Page};

const CEREMONY_MILLISECONDS: u32 = 60_000;

/// Somebody with a passkey. Each browser is a device of theirs.
pub(super) struct SoftwareUser {
    /// The subject at the development provider.
    pub(super) subject: String,
    portal: Url,
    passkey: SoftPasskey,
}

impl SoftwareUser {
    pub(super) fn new(subject: String, portal: Url) -> Self {
        Self { subject, portal, passkey: SoftPasskey::new(true) }
    }

    /// Through the provider, up to the page that asks for a passkey.
    pub(super) async fn sign_in(&self, browser: &mut Browser) -> Result<Page, String> {
        let mut page = browser.open(&self.at("/sign-in")?).await?.expect_success("the sign-in page")?;
        if page.url.path() != "/authorize" {
            // The portal's own page: choose the provider.
            let action = page.attribute("action=\"/sign-in", "action").unwrap_or_else(|| "/sign-in".to_owned());
            let target = page.url.join(&action).map_err(|fault| fault.to_string())?;
            let fields = page.attribute("name=\"provider\"", "value");
            let fields: Vec<(&str, &str)> = fields.iter().map(|value| ("provider", value.as_str())).collect();
            page = browser.submit(&page.url, &target, &fields).await?.expect_success("the provider's page")?;
        }
        let mut chosen = page.url.clone();
        chosen.query_pairs_mut().append_pair("login_hint", &self.subject);
        browser.follow(&page.url, &chosen).await?.expect_success("signing in at the provider")
    }

    /// Registers the passkey. `page` is where the sign-in led to.
    pub(super) async fn enrol(&mut self, browser: &mut Browser, page: &Page) -> Result<Page, String> {
        let begun = self.post(browser, page, "/enrol/begin", &serde_json::json!({})).await?;
        let options: CreationChallengeResponse =
            serde_json::from_slice(&begun.body).map_err(|fault| format!("the options for a passkey: {fault}"))?;
        let origin = self.portal.clone();
        let made = self.passkey.perform_register(origin, options.public_key, CEREMONY_MILLISECONDS);
        let made = made.map_err(|fault| format!("the authenticator refused: {fault:?}"))?;
        let answer = serde_json::to_value(&made).map_err(|fault| fault.to_string())?;
        self.post(browser, page, "/enrol/finish", &answer).await
    }

    /// Proves itself with the passkey. `page` is where the sign-in led to.
    pub(super) async fn assert(&mut self, browser: &mut Browser, page: &Page) -> Result<Page, String> {
        let begun = self.post(browser, page, "/passkey/begin", &serde_json::json!({})).await?;
        let options: RequestChallengeResponse =
            serde_json::from_slice(&begun.body).map_err(|fault| format!("the options for a passkey: {fault}"))?;
        let origin = self.portal.clone();
        let proof = self.passkey.perform_auth(origin, options.public_key, CEREMONY_MILLISECONDS);
        let proof = proof.map_err(|fault| format!("the authenticator refused: {fault:?}"))?;
        let answer = serde_json::to_value(&proof).map_err(|fault| fault.to_string())?;
        self.post(browser, page, "/passkey/finish", &answer).await
    }

    async fn post(
        &self,
        browser: &mut Browser,
        page: &Page,
        path: &str,
        value: &serde_json::Value,
    ) -> Result<Page, String> {
        browser.post_json(&page.url, &self.at(path)?, value).await?.expect_success(path)
    }

    fn at(&self, path: &str) -> Result<Url, String> {
        self.portal.join(path).map_err(|fault| fault.to_string())
    }
}
