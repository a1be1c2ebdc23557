//! Lets pages of any origin call sandboxes: their right to do so is the key they send, not a cookie.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap,
    HeaderValue, ORIGIN, VARY,
};
use axum::http::{Method, Request, Response, StatusCode};

use crate::header::{DISABLE_CORS, says_true};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS");

/// What a request says about the page that sent it.
#[derive(Debug)]
pub(crate) struct Cors {
    origin: Option<HeaderValue>,
    is_preflight: bool,
    /// The headers that a preflight asks for.
    asked: Option<HeaderValue>,
}

impl Cors {
    /// Reads a request's headers.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let origin = headers.get(ORIGIN).filter(|_| !says_true(headers, &DISABLE_CORS)).cloned();
        let is_preflight = request.method() == Method::OPTIONS
            && origin.is_some()
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        Self { origin, is_preflight, asked }
    }

    /// Returns the answer to a preflight, which needs no key because it does nothing.
    pub(crate) fn preflight(&self) -> Option<Response<Body>> {
        if !self.is_preflight {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        if let Some(asked) = &self.asked {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        Some(response)
    }

    /// Adds the headers that let the page read an answer.
    pub(crate) fn allow(&self, headers: &mut HeaderMap) {
        let Some(origin) = &self.origin else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}
