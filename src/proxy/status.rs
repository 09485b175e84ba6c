//! What the broker says to a Kubernetes client in its own name: a `metav1.Status`, which kubectl prints.

use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::{
    listener::{ResponseBody, full},
    model::RequestId,
};

/// The reasons that clients know (k8s.io/apimachinery, pkg/apis/meta/v1/types.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    BadRequest,
    Unauthorized,
    Forbidden,
    MethodNotAllowed,
    BadGateway,
    ServiceUnavailable,
    Timeout,
    InternalError,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'m> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    status: &'static str,
    message: &'m str,
    reason: &'static str,
    code: u16,
}

#[derive(Serialize)]
struct Empty {}

impl Reason {
    const fn parts(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::BadGateway => (StatusCode::BAD_GATEWAY, "InternalError"),
            Self::ServiceUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            Self::Timeout => (StatusCode::GATEWAY_TIMEOUT, "Timeout"),
            Self::InternalError => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        }
    }
}

/// A refusal or failure in the words of the API.
pub(super) fn status(reason: Reason, message: &str, request: Option<RequestId>) -> Response<ResponseBody> {
    let (code, word) = reason.parts();
    let status = Status {
        kind: "Status",
        api_version: "v1",
        metadata: Empty {},
        status: "Failure",
        message,
        reason: word,
        code: code.as_u16(),
    };
    let mut response = Response::new(full(serde_json::to_vec(&status).unwrap_or_default()));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(id) = request.and_then(|id| HeaderValue::try_from(id.to_string()).ok()) {
        headers.insert("audit-id", id);
    }
    if reason == Reason::ServiceUnavailable {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn kubectl_reads_the_reason_out_of_a_status() {
        let response = status(Reason::Forbidden, "no rule allows this", None);
        assert_eq!(response.status(), 403);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&read["kind"], &read["apiVersion"]), (&"Status".into(), &"v1".into()));
        assert_eq!((&read["reason"], &read["code"]), (&"Forbidden".into(), &403.into()));
        assert_eq!(read["message"], "no rule allows this");
    }
}
