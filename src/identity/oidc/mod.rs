//! The provider's word: the OpenID Connect code flow with PKCE (S256), state and nonce.
//!
//! What the provider, or whoever can answer in its place, controls here: the query of the callback, the token response,
//! every claim. Nothing is believed before the ID token's signature, algorithm, issuer, audience, times and nonce hold
//! (OpenID Connect Core 1.0, section 3.1.3.7), and a person is (iss, sub), never an e-mail address.
//! No token is kept but the ID token, and that only for signing out.

mod claims;
mod directory;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use openidconnect::{
    AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    SignatureVerificationError, TokenResponse as _,
    core::{
        CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken, CoreIdTokenVerifier,
        CoreJwsSigningAlgorithm, CoreTokenResponse,
    },
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use url::Url;

use self::directory::{Directory, Known};
use super::{Denial, IdentityFault, secret};
use crate::{
    config::{self, Algorithm},
    model::{Clock, Entropy, Identity, ProviderName, Timestamp},
    outbound::{Outbound, OutboundFault},
};

/// A provider. It is called for the first time when it is first needed, so that one that is down stops nobody else.
pub struct Provider {
    settings: config::Provider,
    redirect: RedirectUrl,
    outbound: Outbound,
    directory: Directory,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// What a sign-in must remember until the answer comes. Kept on the server, used once.
#[derive(Debug, Serialize, Deserialize)]
pub struct SignInState {
    /// At which provider.
    pub provider: ProviderName,
    state: String,
    nonce: String,
    verifier: String,
}

/// The query of the callback. One that says anything twice does not deserialize.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Answer {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

/// What the provider vouches for.
#[derive(Clone, Debug)]
pub struct ProviderLogin {
    /// Who.
    pub identity: Identity,
    /// Their groups: sorted, each once.
    pub groups: Vec<String>,
    /// How they proved themselves there.
    pub acr: Option<String>,
    /// When they did, if the provider says so.
    pub authenticated_at: Option<Timestamp>,
    /// The provider's own session.
    pub session: Option<String>,
    /// For signing out there.
    pub id_token: String,
}

/// How far the provider's clock may be from ours.
const LEEWAY: Duration = Duration::from_secs(30);
const LONGEST_CODE: usize = 4096;

impl Provider {
    /// A provider that answers to `portal`'s `/sign-in/callback`, called by way of `outbound`.
    pub fn new(
        settings: config::Provider,
        portal: &config::Portal,
        outbound: Outbound,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, IdentityFault> {
        let url = portal.url.join("/sign-in/callback");
        let url = url.map_err(|_| IdentityFault::Internal("the portal's URL has no callback"))?;
        let directory = Directory::new(settings.issuer.clone(), outbound.clone());
        Ok(Self { settings, redirect: RedirectUrl::from_url(url), outbound, directory, clock, entropy })
    }

    /// Its configured name.
    pub fn name(&self) -> &ProviderName {
        &self.settings.name
    }

    /// Its settings.
    pub fn settings(&self) -> &config::Provider {
        &self.settings
    }

    /// Where to send the browser, and what to remember until it comes back.
    pub async fn begin(&self) -> Result<(Url, SignInState), IdentityFault> {
        let known = self.directory.known().await?;
        let fresh = || secret::fresh(self.entropy.as_ref());
        let state = SignInState { provider: self.name().clone(), state: fresh(), nonce: fresh(), verifier: fresh() };
        let verifier = PkceCodeVerifier::new(state.verifier.clone());
        let client = CoreClient::new(self.client_id(), known.metadata.issuer().clone(), known.keys.clone())
            .set_auth_uri(known.metadata.authorization_endpoint().clone())
            .set_redirect_uri(self.redirect.clone());
        let (state_value, nonce) = (state.state.clone(), state.nonce.clone());
        let request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                move || CsrfToken::new(state_value),
                move || Nonce::new(nonce),
            )
            .add_scopes(self.settings.scopes.iter().filter(|scope| *scope != "openid").cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        Ok((request.url().0, state))
    }

    /// Checks the answer, fetches the ID token and checks that.
    pub async fn finish(&self, answer: &Answer, state: &SignInState) -> Result<ProviderLogin, IdentityFault> {
        let known = self.directory.known().await?;
        let code = self.check_answer(answer, state, &known)?;
        let response = self.exchange(code, state, &known).await?;
        let token = response.id_token().ok_or(Denial::IdToken("there is none"))?;
        let text = token.to_string();
        let payload = match self.verify(token, &response, state, &known) {
            Err(Unverified::UnknownKey) => {
                // The provider may have rotated its keys since they were fetched.
                let known = self.directory.known_with_newer_keys().await?;
                self.verify(token, &response, state, &known)
            }
            other => other,
        };
        payload.map_err(|why| Denial::IdToken(why.sentence()))?;
        claims::read(&text, &self.settings, self.clock.now())
    }

    /// Where to sign out there (OpenID Connect RP-Initiated Logout 1.0), if it has such a place.
    pub async fn sign_out_url(&self, id_token: &str, back: &Url) -> Option<Url> {
        let known = self.directory.known().await.ok()?;
        let mut url = known.metadata.additional_metadata().end_session_endpoint.clone()?;
        url.query_pairs_mut()
            .append_pair("id_token_hint", id_token)
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("post_logout_redirect_uri", back.as_str());
        Some(url)
    }

    /// `state` first, so that an answer that is not for us is not read any further.
    fn check_answer(&self, answer: &Answer, state: &SignInState, known: &Known) -> Result<String, IdentityFault> {
        let given = answer.state.as_deref().unwrap_or_default();
        if state.provider != *self.name() || !secret::same(given.as_bytes(), state.state.as_bytes()) {
            return Err(Denial::State.into());
        }
        // RFC 9207, section 2.4: compared as text; it must be there where the metadata announces it.
        let announced = known.metadata.additional_metadata().authorization_response_iss_parameter_supported;
        match answer.iss.as_deref() {
            Some(iss) if iss == self.settings.issuer.as_str() => {}
            None if announced != Some(true) => {}
            _ => return Err(Denial::Issuer.into()),
        }
        if answer.error.is_some() {
            return Err(Denial::ProviderRefused.into());
        }
        let code = answer.code.as_deref().filter(|code| !code.is_empty() && code.len() <= LONGEST_CODE);
        code.map(str::to_owned).ok_or(IdentityFault::BadRequest("the answer has neither a code nor an error"))
    }

    async fn exchange(
        &self,
        code: String,
        state: &SignInState,
        known: &Known,
    ) -> Result<CoreTokenResponse, IdentityFault> {
        let endpoint = known.metadata.token_endpoint().cloned();
        let endpoint = endpoint.ok_or_else(|| IdentityFault::Provider("it names no token endpoint".to_owned()))?;
        let mut client = CoreClient::new(self.client_id(), known.metadata.issuer().clone(), known.keys.clone())
            .set_token_uri(endpoint)
            .set_redirect_uri(self.redirect.clone())
            .set_auth_type(client_authentication(known));
        if let Some(file) = &self.settings.client_secret_file {
            let secret = file.read().map_err(crate::credential::CredentialFault::from)?;
            client = client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()));
        }
        let http = Calls(&self.outbound);
        let response = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(state.verifier.clone()))
            .request_async(&http)
            .await;
        response.map_err(|fault| match fault {
            RequestTokenError::ServerResponse(_) => Denial::Code.into(),
            RequestTokenError::Request(fault) => IdentityFault::Provider(fault.to_string()),
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                IdentityFault::Provider("its token response is malformed".to_owned())
            }
        })
    }

    fn verify(
        &self,
        token: &CoreIdToken,
        response: &CoreTokenResponse,
        state: &SignInState,
        known: &Known,
    ) -> Result<(), Unverified> {
        let now = self.clock.now();
        let (late, soon) = (chrono_at(now.minus(LEEWAY)), chrono_at(now.plus(LEEWAY)));
        let issuer = known.metadata.issuer().clone();
        let verifier = CoreIdTokenVerifier::new_public_client(self.client_id(), issuer, known.keys.clone())
            .set_allowed_algs(self.settings.algorithms.iter().copied().map(algorithm))
            .set_time_fn(move || late)
            .set_issue_time_verifier_fn(move |at| if at <= soon { Ok(()) } else { Err(String::new()) });
        let claims = token.claims(&verifier, &Nonce::new(state.nonce.clone())).map_err(Unverified::from)?;
        if claims.authorized_party().is_some_and(|party| party.as_str() != self.settings.client_id) {
            return Err(Unverified::Audience);
        }
        let Some(stated) = claims.access_token_hash() else { return Ok(()) };
        let found = token.signing_alg().and_then(|algorithm| {
            let key = token.signing_key(&verifier)?;
            openidconnect::AccessTokenHash::from_token(response.access_token(), algorithm, key)
                .map_err(|_| SignatureVerificationError::NoMatchingKey)
        });
        if found.is_ok_and(|found| found == *stated) { Ok(()) } else { Err(Unverified::AccessToken) }
    }

    fn client_id(&self) -> ClientId {
        ClientId::new(self.settings.client_id.clone())
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Provider({})", self.settings.name)
    }
}

/// Why an ID token does not hold.
#[derive(Clone, Copy, Debug)]
enum Unverified {
    UnknownKey,
    Algorithm,
    Signature,
    Issuer,
    Audience,
    Times,
    Nonce,
    AccessToken,
    Form,
}

impl Unverified {
    const fn sentence(self) -> &'static str {
        match self {
            Self::UnknownKey => "its key is not one of the provider's",
            Self::Algorithm => "its algorithm is not allowed",
            Self::Signature => "its signature is wrong",
            Self::Issuer => "it is another issuer's",
            Self::Audience => "it is for somebody else",
            Self::Times => "it has expired, or comes from the future",
            Self::Nonce => "it does not belong to this sign-in",
            Self::AccessToken => "it belongs to another access token",
            Self::Form => "its form is not supported",
        }
    }
}

impl From<ClaimsVerificationError> for Unverified {
    fn from(fault: ClaimsVerificationError) -> Self {
        use {ClaimsVerificationError as C, SignatureVerificationError as S};
        match fault {
            C::SignatureVerification(S::NoMatchingKey) => Self::UnknownKey,
            C::SignatureVerification(S::DisallowedAlg(_) | S::UnsupportedAlg(_) | S::NoSignature) => Self::Algorithm,
            C::SignatureVerification(_) => Self::Signature,
            C::InvalidIssuer(_) => Self::Issuer,
            C::InvalidAudience(_) => Self::Audience,
            C::Expired(_) | C::InvalidAuthTime(_) => Self::Times,
            C::InvalidNonce(_) => Self::Nonce,
            _ => Self::Form,
        }
    }
}

/// Calls by way of the one hardened client. A type of its own: the future of a closure is not provably `Send`.
struct Calls<'a>(&'a Outbound);

impl<'c> openidconnect::AsyncHttpClient<'c> for Calls<'_> {
    type Error = OutboundFault;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<openidconnect::HttpResponse, OutboundFault>> + Send + 'c>>;

    fn call(&'c self, request: openidconnect::HttpRequest) -> Self::Future {
        Box::pin(self.0.fetch(request))
    }
}

/// Basic authentication, the default of OpenID Connect Discovery 1.0, unless only the other one is on offer.
fn client_authentication(known: &Known) -> AuthType {
    let Some(offered) = known.metadata.token_endpoint_auth_methods_supported() else { return AuthType::BasicAuth };
    let only_post = offered.contains(&CoreClientAuthMethod::ClientSecretPost)
        && !offered.contains(&CoreClientAuthMethod::ClientSecretBasic);
    if only_post { AuthType::RequestBody } else { AuthType::BasicAuth }
}

fn chrono_at(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.micros()).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

const fn algorithm(algorithm: Algorithm) -> CoreJwsSigningAlgorithm {
    match algorithm {
        Algorithm::Rs256 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
        Algorithm::Rs384 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
        Algorithm::Rs512 => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
        Algorithm::Ps256 => CoreJwsSigningAlgorithm::RsaSsaPssSha256,
        Algorithm::Ps384 => CoreJwsSigningAlgorithm::RsaSsaPssSha384,
        Algorithm::Ps512 => CoreJwsSigningAlgorithm::RsaSsaPssSha512,
        Algorithm::Es256 => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
        Algorithm::Es384 => CoreJwsSigningAlgorithm::EcdsaP384Sha384,
        Algorithm::EdDsa => CoreJwsSigningAlgorithm::EdDsa,
    }
}
