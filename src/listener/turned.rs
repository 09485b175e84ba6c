//! Telling of what was turned away before it became a request of a service: handshakes that prove nothing, bytes that
//! are no HTTP, heads that never end. Connections that merely end are no refusals and are not told of.

use std::{error::Error, io, net::IpAddr};

use rustls::Error as TlsError;

use super::{Turning, connection::Shared};
use crate::audit::{Refused, refusals::UNKNOWN_HOST};

/// Something that was turned away, and in a word by which check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Away {
    pub(super) check: &'static str,
    pub(super) why: &'static str,
}

impl Shared {
    /// Tells of `away`, which came from `address` for the host `host`, if that is one of ours.
    pub(super) fn tell(&self, away: Away, host: Option<&str>, address: IpAddr) {
        let target = host.filter(|host| self.table.at(host).is_some()).unwrap_or(UNKNOWN_HOST);
        let Away { check, why } = away;
        let turning: &Turning = &self.turning;
        turning(Refused { check, why, target, address, request: None });
    }
}

/// What a handshake that failed says about the peer; none when the peer merely left, or did not like us.
pub(super) fn of_handshake(fault: &io::Error) -> Option<Away> {
    if fault.kind() == io::ErrorKind::TimedOut {
        return Some(Away { check: "time", why: "the handshake took too long" });
    }
    match fault.get_ref()?.downcast_ref::<TlsError>()? {
        TlsError::AlertReceived(_) => None,
        TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented => {
            Some(Away { check: "certificate", why: "the client certificate is not one of ours, or no longer valid" })
        }
        _ => Some(Away { check: "tls", why: "the TLS handshake made no sense or offered nothing that is accepted" }),
    }
}

/// What the end of a connection says about the bytes that came over it; none when it merely broke.
pub(super) fn of_connection(fault: &(dyn Error + 'static)) -> Option<Away> {
    let mut fault = Some(fault);
    while let Some(one) = fault {
        if let Some(hyper) = one.downcast_ref::<hyper::Error>() {
            return if hyper.is_parse_too_large() {
                Some(Away { check: "size", why: "the request's head is too large" })
            } else if hyper.is_parse() {
                Some(Away { check: "framing", why: "what came was not HTTP" })
            } else if hyper.is_timeout() {
                Some(STALLED)
            } else {
                None
            };
        }
        fault = one.source();
    }
    None
}

/// A request that began and did not go on.
pub(super) const STALLED: Away = Away { check: "time", why: "the request's head did not come in time" };

/// A listed proxy that does not say for whom it speaks, or says it badly.
pub(super) const NO_PROXY_HEADER: Away = Away { check: "proxy", why: "a listed proxy sent no sound PROXY header" };

/// `X-Forwarded-For` from a listed proxy that is not a list of addresses.
pub(super) const GARBLED: Away = Away { check: "proxy", why: "the forwarded address is not one" };
