//! Connections that become streams: WebSocket (RFC 6455), and SPDY/3.1 as older kubectl speaks it.
//!
//! INVARIANT: not a byte of the caller's beyond the request reaches the upstream before its own 101, and a connection on
//! which an upgrade failed is closed on both sides (CVE-2018-1002105). Each stream has an upstream connection of its own.

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::{
    body::Incoming,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::{Duration, timeout};

use super::{
    body::Source,
    forward::{Failed, no_answer, relay, soon},
    headers::for_caller,
    place::Place,
    upstream::{NoAnswer, Outgoing, Upstream},
};
use crate::{
    access::{Meter, Pending},
    audit::ClosedBy,
    listener::{ResponseBody, empty},
    model::Upgrade,
};

type Side = TokioIo<Upgraded>;

/// What a request asks its connection to become (RFC 9110, section 7.8). None for anything that the broker does not speak,
/// which is then forwarded without it.
pub(super) fn asked(headers: &HeaderMap) -> Upgrade {
    let has = |name, token: &str| {
        let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
    };
    match headers.get(header::UPGRADE) {
        Some(to) if has(header::CONNECTION, "upgrade") && headers.get_all(header::UPGRADE).iter().count() == 1 => {
            match to.as_bytes().to_ascii_lowercase().as_slice() {
                b"websocket" => Upgrade::WebSocket,
                b"spdy/3.1" => Upgrade::Spdy,
                _ => Upgrade::None,
            }
        }
        _ => Upgrade::None,
    }
}

fn token(upgrade: Upgrade) -> HeaderValue {
    HeaderValue::from_static(if upgrade == Upgrade::Spdy { "SPDY/3.1" } else { "websocket" })
}

/// Asks the upstream for a stream, and joins the two sides when it agrees. Any other answer is an ordinary one.
pub(super) async fn open(
    upstream: &Upstream,
    upgrade: Upgrade,
    mut request: Request<Outgoing>,
    mut owed: Pending,
    mut place: Place,
    connection: Option<OnUpgrade>,
) -> Result<Response<ResponseBody>, Failed> {
    let Some(connection) = connection else {
        owed.not_forwarded("the connection cannot become a stream");
        return Err(Failed::Internal);
    };
    prepare(upstream, upgrade, &mut request);
    let mut sender = match upstream.connect().await {
        Ok(sender) => sender,
        Err(fault) => return Err(no_answer(&fault, owed)),
    };
    owed.sent();
    let answered = tokio::select! {
        answered = timeout(upstream.patience, sender.send_request(request)) => answered,
        by = &mut place => {
            owed.finish(by);
            return Err(Failed::Ended);
        }
    };
    let mut response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(fault)) => return Err(no_answer(&NoAnswer::Broken(fault.into()), owed)),
        Err(_) => {
            owed.finish(ClosedBy::Timeout);
            return Err(Failed::TimedOut);
        }
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        place.expect_no_stream();
        return relay(upstream, response, Source::Elsewhere, owed, place);
    }
    owed.meter().status(StatusCode::SWITCHING_PROTOCOLS.as_u16());
    if asked(response.headers()) != upgrade {
        owed.finish(ClosedBy::UpstreamFault);
        return Err(Failed::Broken);
    }
    if place.take_on_record().await.is_err() {
        owed.finish(ClosedBy::Broker);
        return Err(Failed::Unrecorded);
    }
    let headers = agreed(upstream, upgrade, &mut response);
    tokio::spawn(join(connection, response, owed, place));
    let mut answer = Response::new(empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = headers;
    Ok(answer)
}

fn prepare(upstream: &Upstream, upgrade: Upgrade, request: &mut Request<Outgoing>) {
    let headers = request.headers_mut();
    headers.insert(header::HOST, upstream.host());
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, token(upgrade));
}

fn agreed(upstream: &Upstream, upgrade: Upgrade, response: &mut Response<Incoming>) -> HeaderMap {
    let mut headers = for_caller(std::mem::take(response.headers_mut()), upstream.destination, true);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, token(upgrade));
    headers
}

/// Carries bytes both ways until one side, or what the stream hangs on, ends.
async fn join(caller: OnUpgrade, response: Response<Incoming>, owed: Pending, mut place: Place) {
    let sides = soon(async { tokio::join!(caller, hyper::upgrade::on(response)) });
    let (caller, upstream) = tokio::select! {
        sides = sides => match sides {
            Some((Ok(caller), Ok(upstream))) => (TokioIo::new(caller), TokioIo::new(upstream)),
            Some((_, Err(_))) => return owed.finish(ClosedBy::UpstreamFault),
            _ => return owed.finish(ClosedBy::Caller),
        },
        by = &mut place => return owed.finish(by),
    };
    let meter = owed.meter();
    let by = tokio::select! {
        by = &mut place => by,
        by = carry(caller, upstream, &meter) => by,
    };
    owed.finish(by);
}

async fn carry(caller: Side, upstream: Side, meter: &Meter) -> ClosedBy {
    let (from_caller, to_caller) = split(caller);
    let (from_upstream, to_upstream) = split(upstream);
    let mut down = Box::pin(pump(from_upstream, to_caller, |bytes| meter.sent(bytes)));
    tokio::select! {
        () = pump(from_caller, to_upstream, |bytes| meter.received(bytes)) => {
            // Let what is on its way arrive.
            let _ = timeout(Duration::from_secs(10), down).await;
            ClosedBy::Caller
        }
        () = &mut down => ClosedBy::Upstream,
    }
}

/// Carries bytes one way, each as soon as it comes, then closes that way.
async fn pump(mut from: ReadHalf<Side>, mut to: WriteHalf<Side>, count: impl Fn(u64)) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let Some(piece) = buffer.get(..n) else { break };
        if to.write_all(piece).await.is_err() || to.flush().await.is_err() {
            break;
        }
        count(n as u64);
    }
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(fields: &[(&'static str, &'static str)]) -> Upgrade {
        let field = |&(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value));
        asked(&fields.iter().map(field).collect())
    }

    #[test]
    fn only_two_protocols_are_spoken() {
        assert_eq!(asks(&[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]), Upgrade::WebSocket);
        assert_eq!(asks(&[("connection", "upgrade"), ("upgrade", "SPDY/3.1")]), Upgrade::Spdy);
        for other in ["h2c", "websocket, h2c", "TLS/1.0", "", "websocket2"] {
            assert_eq!(asks(&[("connection", "upgrade"), ("upgrade", other)]), Upgrade::None, "{other:?}");
        }
        assert_eq!(asks(&[("upgrade", "websocket")]), Upgrade::None);
        let twice = [("connection", "upgrade"), ("upgrade", "websocket"), ("upgrade", "h2c")];
        assert_eq!(asks(&twice), Upgrade::None);
    }
}
