//! Events posted in batches, through the one client that calls strangers: https (or this machine), no redirects, limited
//! in size and time. 2xx means taken; a status that blames the content means that it will not take it, ever; anything
//! else means not now. What the peer controls: status, body and Retry-After, none of which it can do harm with.

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::{Shipped, SinkFault, SinkMistake, lines, shortened};
use crate::{
    config::{BatchFormat, HttpCollector},
    outbound::{Outbound, OutboundFault, Plain, Route},
};

/// An HTTP endpoint.
pub struct HttpSink {
    to: HttpCollector,
    outbound: Outbound,
    origin: String,
}

impl HttpSink {
    pub(super) fn new(to: HttpCollector, origin: &str) -> Result<Self, SinkMistake> {
        let route = Route { ca_file: to.ca_file.clone(), plain: Plain::Loopback, ..Route::default() };
        Ok(Self { to, outbound: Outbound::new(route)?, origin: origin.to_owned() })
    }

    pub(super) async fn send(&self, batch: &[Shipped]) -> Result<(), SinkFault> {
        let request = self.request(batch)?;
        match self.outbound.fetch(request).await {
            Ok(answer) => judge(&answer),
            // Too slow for this many, perhaps.
            Err(fault @ OutboundFault::TooSlow { .. }) => Err(SinkFault::TooMuch(fault.to_string())),
            Err(fault) => Err(SinkFault::away(fault)),
        }
    }

    fn request(&self, batch: &[Shipped]) -> Result<Request<Vec<u8>>, SinkFault> {
        let (kind, body) = match self.to.format {
            BatchFormat::Ndjson => ("application/x-ndjson", lines(batch)),
            BatchFormat::JsonArray => ("application/json", array(batch)),
            BatchFormat::Loki => ("application/json", loki(&self.origin, batch).to_string()),
        };
        let mut request = Request::post(self.to.url.as_str())
            .header(header::CONTENT_TYPE, kind)
            .header(header::USER_AGENT, concat!("bailiwick/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.to.headers {
            request = request.header(name, value);
        }
        let mut request = request.body(body.into_bytes()).map_err(SinkFault::away)?;
        if let Some(file) = &self.to.token_file {
            let token = file.read().map_err(SinkFault::away)?;
            let mut value = HeaderValue::from_str(&format!("{} {}", self.to.token_scheme, token.expose_secret()))
                .map_err(|_| SinkFault::away("the token has a character that no header may have"))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }
}

fn judge(answer: &Response<Vec<u8>>) -> Result<(), SinkFault> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let said = shortened(&String::from_utf8_lossy(answer.body()));
    let why = if said.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {said}") };
    match status {
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            Err(SinkFault::Rejected(why))
        }
        _ => Err(SinkFault::Away { why, after: retry_after(answer) }),
    }
}

/// In seconds (RFC 9110, section 10.2.3); a date is left alone, and nobody holds us up for long.
fn retry_after(answer: &Response<Vec<u8>>) -> Option<Duration> {
    const NAME: HeaderName = header::RETRY_AFTER;
    let seconds: u64 = answer.headers().get(NAME)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

fn array(batch: &[Shipped]) -> String {
    let events: Vec<&str> = batch.iter().map(|event| event.line.as_str()).collect();
    format!("[{}]", events.join(","))
}

/// Loki's push API: streams by label, in each the time in nanoseconds as text and the line. Few labels, as Loki wants it.
fn loki(origin: &str, batch: &[Shipped]) -> Value {
    let mut streams: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for event in batch {
        let at = i128::from(event.at.micros()) * 1_000;
        streams.entry(&event.kind).or_default().push(json!([at.to_string(), event.line]));
    }
    let stream = |(kind, values): (&str, Vec<Value>)| json!({ "stream": { "job": "bailiwick", "log": origin, "kind": kind }, "values": values });
    json!({ "streams": streams.into_iter().map(stream).collect::<Vec<_>>() })
}

const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn event(index: u64, kind: &str) -> Shipped {
        Shipped {
            index,
            kind: kind.to_owned(),
            at: Timestamp::from_micros(1_767_268_800_000_001),
            broker: String::new(),
            severity: 1,
            class: 6003,
            line: format!("{{\"n\":{index}}}"),
        }
    }

    #[test]
    fn batches_have_the_shape_that_each_collector_reads() {
        let batch = [event(1, "decision"), event(2, "outcome"), event(3, "decision")];
        assert_eq!(lines(&batch), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
        assert_eq!(array(&batch), "[{\"n\":1},{\"n\":2},{\"n\":3}]");
        let at = "1767268800000001000";
        assert_eq!(
            loki("log", &batch),
            json!({ "streams": [
                { "stream": { "job": "bailiwick", "log": "log", "kind": "decision" },
                  "values": [[at, "{\"n\":1}"], [at, "{\"n\":3}"]] },
                { "stream": { "job": "bailiwick", "log": "log", "kind": "outcome" }, "values": [[at, "{\"n\":2}"]] },
            ] })
        );
    }

    #[test]
    fn only_a_status_that_blames_the_content_rejects_it() {
        let answer =
            |status: u16| Response::builder().status(status).header("retry-after", "7").body(b"no\r\n\x1b[2J".to_vec());
        assert_eq!(judge(&answer(204).unwrap()), Ok(()));
        assert_eq!(
            judge(&answer(400).unwrap()),
            Err(SinkFault::Rejected("HTTP 400 Bad Request: no\u{fffd}\u{fffd}\u{fffd}[2J".into()))
        );
        for status in [301, 302, 401, 403, 404, 429, 500, 503] {
            let after = Some(Duration::from_secs(7));
            assert!(
                matches!(judge(&answer(status).unwrap()), Err(SinkFault::Away { after: found, .. }) if found == after)
            );
        }
    }
}
