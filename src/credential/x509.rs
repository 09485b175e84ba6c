//! Client certificates: reads a signing request, keeps nothing of it but the key, and signs a leaf that says who.
//!
//! An attacker chooses every byte of a request. Names and extensions in it are ignored; only its key counts, and only
//! when the request proves that whoever sent it has that key. The certificate names a person by id, never by a text
//! that somebody could choose, so that nothing here is ever split (as commas in OpenSSH principals were, CVE-2026-35414).

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use x509_parser::{
    certification_request::X509CertificationRequest, pem::parse_x509_pem, prelude::FromDer as _, public_key::PublicKey,
    x509::SubjectPublicKeyInfo,
};

use super::{Authority, CredentialFault};
use crate::model::{PersonId, Timestamp};

/// A key for which a certificate is asked, proven to be the asker's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    spki: Vec<u8>,
}

/// What a leaf says.
pub(super) struct Leaf {
    pub(super) person: PersonId,
    pub(super) serial: [u8; 16],
    pub(super) now: Timestamp,
    pub(super) not_after: Timestamp,
}

const LONGEST_REQUEST: usize = 16 * 1024;
const SKEW: Duration = Duration::from_secs(30);

const RSA: &str = "1.2.840.113549.1.1.1";
const EC: &str = "1.2.840.10045.2.1";
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const ED25519: &str = "1.3.101.112";

impl CertificateRequest {
    /// Reads a PKCS#10 request in PEM (RFC 2986, RFC 7468). Its signature must verify; its key must be ECDSA on P-256 or
    /// P-384, Ed25519, or RSA of 2048 to 8192 bits.
    pub fn from_pem(pem: &str) -> Result<Self, CredentialFault> {
        let bad = CredentialFault::BadRequest;
        if pem.len() > LONGEST_REQUEST {
            return Err(bad("the request is too long"));
        }
        let (rest, block) = parse_x509_pem(pem.as_bytes()).map_err(|_| bad("not a signing request in PEM"))?;
        if block.label != "CERTIFICATE REQUEST" || !rest.trim_ascii().is_empty() {
            return Err(bad("not one signing request in PEM"));
        }
        let (rest, request) =
            X509CertificationRequest::from_der(&block.contents).map_err(|_| bad("not a PKCS#10 signing request"))?;
        if !rest.is_empty() {
            return Err(bad("there is something after the signing request"));
        }
        let key = &request.certification_request_info.subject_pki;
        if !is_strong(key) {
            return Err(bad("the key must be ECDSA P-256 or P-384, Ed25519, or RSA of at least 2048 bits"));
        }
        request.verify_signature().map_err(|_| bad("the request is not signed by its own key"))?;
        let canonical = rcgen::SubjectPublicKeyInfo::from_der(key.raw);
        canonical.map_err(|_| bad("the key is not in a form that can be signed"))?;
        Ok(Self { spki: key.raw.to_vec() })
    }

    /// SHA-256 of the key's SubjectPublicKeyInfo, in lower-case hex: what `IssueRequest::key` holds.
    pub fn key_hash(&self) -> String {
        hex::encode(hash(&self.spki))
    }

    pub(super) fn key_digest(&self) -> Vec<u8> {
        hash(&self.spki)
    }

    /// Signs a leaf for this key: `clientAuth` and nothing else.
    pub(super) fn sign(&self, leaf: &Leaf, authority: &Authority) -> Result<CertificateDer<'static>, CredentialFault> {
        let unusable = |_| CredentialFault::Key("authority");
        let key = rcgen::SubjectPublicKeyInfo::from_der(&self.spki).map_err(unusable)?;
        let certificate = leaf.parameters()?.signed_by(&key, authority.issuer()).map_err(unusable)?;
        let der = certificate.der().clone();
        // INVARIANT: the key in the certificate is the key that was permitted, bit for bit.
        let signed_as_asked = Facts::read(&der).is_some_and(|facts| facts.key_hash == self.key_digest());
        if signed_as_asked { Ok(der) } else { Err(CredentialFault::BadRequest("the key has an uncommon encoding")) }
    }
}

impl Leaf {
    fn parameters(&self) -> Result<CertificateParams, CredentialFault> {
        let person = self.person.to_string();
        let uri = format!("bailiwick://person/{person}");
        let uri = uri.as_str().try_into().map_err(|_| CredentialFault::Key("authority"))?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, person);
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from(self.serial.to_vec()));
        params.not_before = self.now.minus(SKEW).to_datetime();
        params.not_after = self.not_after.to_datetime();
        Ok(params)
    }
}

/// What the broker reads from a certificate that was presented. TLS has checked the signature before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The serial number without leading zeros.
    pub serial: Vec<u8>,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub key_hash: Vec<u8>,
    /// The issuer's name, DER.
    pub issuer: Vec<u8>,
    /// When it begins to be valid.
    pub not_before: Timestamp,
    /// The last second in which it is valid.
    pub not_after: Timestamp,
}

impl Facts {
    /// Reads a certificate. None: it is not one, or there is more than one in these bytes.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let second = |at: x509_parser::time::ASN1Time| Timestamp::from_micros(at.timestamp().saturating_mul(1_000_000));
        Some(Self {
            serial: serial_bytes(certificate.raw_serial()),
            key_hash: hash(certificate.public_key().raw),
            issuer: certificate.issuer().as_raw().to_vec(),
            not_before: second(certificate.validity().not_before),
            not_after: second(certificate.validity().not_after),
        })
    }

    /// The subject's name of a certificate, DER: what its leaves name as their issuer.
    pub fn subject_of(der: &[u8]) -> Option<Vec<u8>> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        Some(certificate.subject().as_raw().to_vec())
    }
}

/// A serial number as rows hold it: big-endian, without leading zeros.
pub fn serial_bytes(raw: &[u8]) -> Vec<u8> {
    raw.iter().copied().skip_while(|&byte| byte == 0).collect()
}

fn hash(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn is_strong(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let curve = || key.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok()).map(|oid| oid.to_id_string());
    match (key.algorithm.algorithm.to_id_string().as_str(), key.parsed()) {
        (RSA, Ok(PublicKey::RSA(rsa))) => (2048..=8192).contains(&rsa.key_size()),
        (EC, Ok(PublicKey::EC(point))) => match curve().as_deref() {
            Some(P256) => point.data().len() == 65,
            Some(P384) => point.data().len() == 97,
            _ => false,
        },
        (ED25519, _) => key.algorithm.parameters.is_none() && key.subject_public_key.data.len() == 32,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;

    use super::*;

    fn request(pair: &KeyPair) -> String {
        let mut params = CertificateParams::new(vec!["admin.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "system:masters,root\u{0}");
        params.serialize_request(pair).unwrap().pem().unwrap()
    }

    #[test]
    fn a_signed_request_with_a_good_key_is_taken_for_its_key_alone() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let read = CertificateRequest::from_pem(&request(&pair)).unwrap();
            assert_eq!(read.spki, rcgen::PublicKeyData::subject_public_key_info(&pair));
        }
    }

    #[test]
    fn requests_that_prove_nothing_or_have_a_weak_key_are_refused() {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
        assert!(CertificateRequest::from_pem(&request(&pair)).is_err(), "a curve that is not listed");

        let pair = KeyPair::generate().unwrap();
        let good = request(&pair);
        let (_, block) = parse_x509_pem(good.as_bytes()).unwrap();
        let mut bent = block.contents.clone();
        let last = bent.len() - 1;
        bent[last] ^= 1;
        let encode = |der: &[u8], label: &str| {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
        };
        let label = "CERTIFICATE REQUEST";
        assert!(CertificateRequest::from_pem(&encode(&block.contents, label)).is_ok());
        assert!(CertificateRequest::from_pem(&encode(&bent, label)).is_err(), "a bent signature");
        assert!(CertificateRequest::from_pem(&encode(&block.contents, "CERTIFICATE")).is_err());
        assert!(CertificateRequest::from_pem(&[good.as_str(), good.as_str()].concat()).is_err(), "two requests");
        let trailing = [block.contents.as_slice(), b"x"].concat();
        assert!(CertificateRequest::from_pem(&encode(&trailing, label)).is_err());
        assert!(CertificateRequest::from_pem("").is_err());
        assert!(CertificateRequest::from_pem(&"x".repeat(LONGEST_REQUEST + 1)).is_err());
    }

    /// Made with OpenSSL: what other programs send.
    #[test]
    fn requests_of_another_maker_are_read_too() {
        assert!(CertificateRequest::from_pem(include_str!("samples/rsa-2048.pem")).is_ok());
        assert!(CertificateRequest::from_pem(include_str!("samples/rsa-1024.pem")).is_err(), "too weak");
        assert!(CertificateRequest::from_pem(include_str!("samples/explicit-curve.pem")).is_err(), "a curve spelt out");
    }

    #[test]
    fn serial_numbers_are_compared_without_leading_zeros() {
        assert_eq!(serial_bytes(&[0, 0x80, 1]), [0x80, 1]);
        assert_eq!(serial_bytes(&[0x7f]), [0x7f]);
    }
}
