//! What a provider publishes about itself: endpoints and keys. Fetched when first needed, refreshed hourly, kept when
//! the provider is down; keys are fetched anew for a key id that is not known, at most every ten seconds, so that
//! tokens with made-up key ids do not become calls.

use std::{sync::Arc, time::Duration};

use openidconnect::{
    AdditionalProviderMetadata, DiscoveryError, IssuerUrl, ProviderMetadata,
    core::{
        CoreAuthDisplay, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreGrantType, CoreJsonWebKey,
        CoreJsonWebKeySet, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode,
        CoreResponseType, CoreSubjectIdentifierType,
    },
};
use serde::{Deserialize, Serialize};
use tokio::{sync::Mutex, time::Instant};
use url::Url;

use super::{Calls, IdentityFault};
use crate::{
    config::Issuer,
    outbound::{Outbound, OutboundFault},
};

pub(super) type Metadata = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

/// Metadata of other specifications than Discovery.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Extra {
    /// OpenID Connect RP-Initiated Logout 1.0.
    pub(super) end_session_endpoint: Option<Url>,
    /// RFC 9207.
    pub(super) authorization_response_iss_parameter_supported: Option<bool>,
}

impl AdditionalProviderMetadata for Extra {}

/// What is known of a provider.
pub(super) struct Known {
    pub(super) metadata: Metadata,
    pub(super) keys: CoreJsonWebKeySet,
}

/// Finds out and remembers.
pub(super) struct Directory {
    issuer: Issuer,
    outbound: Outbound,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    known: Option<Arc<Known>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
    keys_tried: Option<Instant>,
}

const FRESH: Duration = Duration::from_secs(60 * 60);
const RETRY: Duration = Duration::from_secs(30);
const RETRY_UNKNOWN: Duration = Duration::from_secs(2);
const KEYS_AGAIN: Duration = Duration::from_secs(10);

impl Directory {
    pub(super) fn new(issuer: Issuer, outbound: Outbound) -> Self {
        Self { issuer, outbound, memory: Mutex::default() }
    }

    /// What is known, no older than an hour unless the provider is down. One call at a time, whoever asks.
    pub(super) async fn known(&self) -> Result<Arc<Known>, IdentityFault> {
        let mut memory = self.memory.lock().await;
        let recent = |at: Option<Instant>, span| at.is_some_and(|at| at.elapsed() < span);
        if let Some(known) = &memory.known
            && (recent(memory.fetched, FRESH) || recent(memory.tried, RETRY))
        {
            return Ok(Arc::clone(known));
        }
        if memory.known.is_none() && recent(memory.tried, RETRY_UNKNOWN) {
            return Err(IdentityFault::Provider("it did not answer just now".to_owned()));
        }
        memory.tried = Some(Instant::now());
        match (self.discover().await, &memory.known) {
            (Ok(known), _) => {
                let known = Arc::new(known);
                memory.known = Some(Arc::clone(&known));
                memory.fetched = Some(Instant::now());
                Ok(known)
            }
            (Err(fault), Some(known)) => {
                tracing::warn!(issuer = %self.issuer, %fault, "the provider's metadata could not be refreshed");
                Ok(Arc::clone(known))
            }
            (Err(fault), None) => Err(fault),
        }
    }

    /// The same with keys fetched just now, or as they are if that was done a moment ago.
    pub(super) async fn known_with_newer_keys(&self) -> Result<Arc<Known>, IdentityFault> {
        let known = self.known().await?;
        let mut memory = self.memory.lock().await;
        if memory.keys_tried.is_some_and(|at| at.elapsed() < KEYS_AGAIN) {
            return Ok(memory.known.clone().unwrap_or(known));
        }
        memory.keys_tried = Some(Instant::now());
        let keys = self.keys(&known.metadata).await?;
        let known = Arc::new(Known { metadata: known.metadata.clone(), keys });
        memory.known = Some(Arc::clone(&known));
        Ok(known)
    }

    async fn discover(&self) -> Result<Known, IdentityFault> {
        let issuer = IssuerUrl::new(self.issuer.as_str().to_owned());
        let issuer = issuer.map_err(|_| IdentityFault::Provider("its issuer is not a URL".to_owned()))?;
        let http = Calls(&self.outbound);
        let metadata = Metadata::discover_async(issuer, &http).await.map_err(said_wrongly)?;
        self.check_endpoints(&metadata)?;
        let keys = metadata.jwks().clone();
        Ok(Known { metadata, keys })
    }

    async fn keys(&self, metadata: &Metadata) -> Result<CoreJsonWebKeySet, IdentityFault> {
        let http = Calls(&self.outbound);
        CoreJsonWebKeySet::fetch_async(metadata.jwks_uri(), &http).await.map_err(said_wrongly)
    }

    /// A provider behind TLS may not send us, or the browser, to a place without.
    fn check_endpoints(&self, metadata: &Metadata) -> Result<(), IdentityFault> {
        let secure = self.issuer.url().scheme() == "https";
        let extra = metadata.additional_metadata();
        let endpoints = [Some(metadata.authorization_endpoint().url()), metadata.token_endpoint().map(|at| at.url())]
            .into_iter()
            .chain([Some(metadata.jwks_uri().url()), extra.end_session_endpoint.as_ref()])
            .flatten();
        for endpoint in endpoints {
            let allowed = endpoint.scheme() == "https" || (!secure && endpoint.scheme() == "http");
            if !allowed {
                return Err(IdentityFault::Provider("it names an endpoint without TLS".to_owned()));
            }
        }
        Ok(())
    }
}

/// Bodies are a stranger's: they are not repeated.
fn said_wrongly(fault: DiscoveryError<OutboundFault>) -> IdentityFault {
    IdentityFault::Provider(match fault {
        DiscoveryError::Request(fault) => fault.to_string(),
        DiscoveryError::Response(status, ..) => format!("it answered {status} where metadata or keys should be"),
        DiscoveryError::Validation(_) => "its metadata is another issuer's".to_owned(),
        _ => "its metadata or keys are malformed".to_owned(),
    })
}
