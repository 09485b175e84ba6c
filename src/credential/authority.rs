//! The internal certificate authority: ECDSA P-256, its key wrapped at rest, unwrapped in memory while the broker runs.
//! Signs what `x509` prepares and nothing else. Its certificate has no path below it (RFC 5280, section 4.2.1.9), so a
//! leaf can sign nothing.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use secrecy::ExposeSecret as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{CredentialFault, Wrapping};
use crate::{
    model::{Entropy, Timestamp},
    store::key::{self, KeyPurpose, KeyRow},
};

/// The authority, ready to sign.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: rcgen::Issuer<'static, KeyPair>,
}

const YEARS_10: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 24 * 60 * 60);
const SKEW: std::time::Duration = std::time::Duration::from_secs(30);

impl Authority {
    /// Loads the active authority.
    pub async fn load(db: &mut PgConnection, wrapping: &Wrapping) -> Result<Self, CredentialFault> {
        let row = key::active(db, KeyPurpose::Authority).await?.ok_or(CredentialFault::NoKey("authority"))?;
        Self::open(&row, wrapping)
    }

    fn open(row: &KeyRow, wrapping: &Wrapping) -> Result<Self, CredentialFault> {
        let unusable = || CredentialFault::Key("authority");
        let pkcs8 = wrapping.unwrap(KeyPurpose::Authority.as_str(), row.id, &row.wrapped)?;
        let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8.expose_secret());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &rcgen::PKCS_ECDSA_P256_SHA256);
        let pair = pair.map_err(|_| unusable())?;
        if pair.subject_public_key_info() != row.public {
            return Err(unusable());
        }
        let certificate = CertificateDer::from(row.certificate.clone().ok_or_else(unusable)?);
        let issuer = rcgen::Issuer::from_ca_cert_der(&certificate, pair).map_err(|_| unusable())?;
        Ok(Self { certificate, issuer })
    }

    /// The authority's own certificate: what a listener trusts for client certificates.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub(super) fn issuer(&self) -> &rcgen::Issuer<'static, KeyPair> {
        &self.issuer
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// Makes a new authority's row: key, wrapped, and a certificate for ten years signed by itself.
pub(super) fn make(
    name: &str,
    wrapping: &Wrapping,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<KeyRow, CredentialFault> {
    let unusable = |_| CredentialFault::Key("authority");
    let id = uuid::Builder::from_random_bytes(entropy.bytes()).into_uuid();
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(unusable)?;
    let certificate = parameters(name, id, now, entropy).self_signed(&pair).map_err(unusable)?;
    Ok(KeyRow {
        id,
        public: pair.subject_public_key_info(),
        wrapped: wrapping.wrap(KeyPurpose::Authority.as_str(), id, pair.serialized_der(), entropy)?,
        certificate: Some(certificate.der().to_vec()),
        created_at: now,
    })
}

fn parameters(name: &str, id: Uuid, now: Timestamp, entropy: &dyn Entropy) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Bailiwick");
    // The id keeps two authorities of one name apart, also where only names are compared.
    subject.push(DnType::CommonName, format!("{name} authority {id}"));
    params.distinguished_name = subject;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from(entropy.bytes::<16>().to_vec()));
    params.not_before = now.minus(SKEW).to_datetime();
    params.not_after = now.plus(YEARS_10).to_datetime();
    params
}
