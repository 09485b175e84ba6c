//! Why a peer could not be talked to, in words that say what to do.
//!
//! hyper keeps the cause to itself behind "client error (Connect)", and rustls names what is wrong with a certificate by the
//! name of a variant. What a peer controls here: which of the sentences it is.

use std::{error::Error, io};

use rustls::{CertificateError, Error as TlsError};

/// The fault with its causes; where one of them is a certificate that is refused, that alone.
pub fn why(fault: &(dyn Error + 'static)) -> String {
    let causes: Vec<_> = std::iter::successors(Some(fault), |&fault| fault.source()).collect();
    let refused = causes.iter().find_map(|cause| refused_certificate(*cause));
    refused.unwrap_or_else(|| causes.iter().map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

fn refused_certificate(cause: &(dyn Error + 'static)) -> Option<String> {
    let tls = match cause.downcast_ref::<io::Error>() {
        Some(carrier) => carrier.get_ref()?.downcast_ref::<TlsError>()?,
        None => cause.downcast_ref::<TlsError>()?,
    };
    let TlsError::InvalidCertificate(fault) = tls else { return None };
    Some(match fault {
        CertificateError::UnknownIssuer => "its certificate is from no authority that is trusted here".to_owned(),
        CertificateError::BadSignature => {
            "its certificate is not its own, or not signed by an authority that is trusted here".to_owned()
        }
        CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity" => {
            "it shows an authority's certificate as its own; it needs one with CA:FALSE, from that authority".to_owned()
        }
        fault => format!("its certificate is refused: {fault}"),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;
    use rustls_pki_types::UnixTime;

    use super::*;

    /// As it comes out of a connector.
    fn carried(fault: CertificateError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, TlsError::InvalidCertificate(fault))
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Plainly(&'static str, #[source] io::Error);

    #[test]
    fn a_refused_certificate_is_all_that_is_said() {
        let fault = Plainly("client error (Connect)", carried(CertificateError::UnknownIssuer));
        assert_eq!(why(&fault), "its certificate is from no authority that is trusted here");
    }

    #[test]
    fn an_authority_that_shows_itself_is_told_so() {
        let other = Arc::new(Plainly("CaUsedAsEndEntity", io::Error::other("")));
        assert!(why(&carried(CertificateError::Other(OtherError(other)))).contains("CA:FALSE"));
    }

    #[test]
    fn whatever_else_is_wrong_with_it_is_said_by_the_library() {
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(10));
        let said = why(&carried(CertificateError::ExpiredContext { time: at, not_after: at }));
        assert!(said.starts_with("its certificate is refused: ") && said.contains("expired"), "{said}");
    }

    #[test]
    fn any_other_fault_has_its_causes() {
        let fault = Plainly("client error (Connect)", io::Error::new(io::ErrorKind::ConnectionRefused, "refused"));
        assert_eq!(why(&fault), "client error (Connect): refused");
    }
}
