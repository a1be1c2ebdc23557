//! Phase 6: the exchange itself, streaming both ways, and the tunnel after an upgrade.

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, Uri};
use hop::header::upgrade;
use hop::tunnel::tunnel;
use hyper::body::Incoming;
use service::Tasks;
use tracing::debug;

use crate::activity::{Activity, LiveBody, during};
use crate::dial::{Connection, Pool};
use crate::error::ProxyError;
use crate::header::{self, Place};
use crate::locate::Location;
use crate::rest::RestTaken;
use crate::target::Target;

/// Sends the request to the daemon and returns its answer, whose body streams on.
pub(crate) async fn relay(
    pool: &Pool,
    tasks: &Tasks,
    location: &Location,
    target: &Target,
    mut request: Request<Body>,
    mut activity: Option<Activity>,
) -> Result<Response<Body>, ProxyError> {
    let asked = upgrade(request.headers());
    let client_side = asked.as_ref().map(|_| hyper::upgrade::on(&mut request));
    header::clean_request(request.headers_mut(), asked.as_ref());
    let place = Place { prefix: &target.prefix, port: target.port(), has_scripts: target.is_terminal() };
    if place.has_scripts {
        header::forget_missing_origin(request.headers_mut());
    }
    *request.uri_mut() = Uri::from(target.path.clone());
    *request.version_mut() = axum::http::Version::HTTP_11;
    let request = request.map(|body| RestTaken::wrap(body, tasks));

    let mut response = during(&mut activity, exchange(pool, location, request)).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        header::clean_response(response.headers_mut(), place, None);
        return Ok(response.map(|body| Body::new(LiveBody::new(body, activity))));
    }
    let client_side = client_side.ok_or(ProxyError::UnexpectedUpgrade)?;
    let chosen: Option<HeaderValue> = response.headers().get(axum::http::header::UPGRADE).cloned().or(asked);
    let sandbox_side = hyper::upgrade::on(&mut response);
    header::clean_response(response.headers_mut(), place, chosen.as_ref());
    tasks.spawn_until_shutdown("sandbox tunnel", async move {
        if let Err(error) = during(&mut activity, tunnel(client_side, sandbox_side)).await {
            debug!(error = %error, "a tunnel was not opened");
        }
    });
    Ok(response.map(|_| Body::empty()))
}

/// Sends the request on a kept connection or a new one. A kept one may have been closed by the daemon meanwhile; then
/// hyper gives the untouched request back, and only then is it sent again.
async fn exchange(
    pool: &Pool,
    location: &Location,
    request: Request<Body>,
) -> Result<Response<Incoming>, ProxyError> {
    let mut request = request;
    while let Some(connection) = pool.reuse(location.sandbox_id) {
        match send(pool, location, connection, request).await {
            Ok(response) => return Ok(response),
            Err((_, Some(untouched))) => request = untouched,
            Err((error, None)) => return Err(error),
        }
    }
    let connection = pool.connect(location).await?;
    send(pool, location, connection, request).await.map_err(|(error, _)| error)
}

async fn send(
    pool: &Pool,
    location: &Location,
    mut connection: Connection,
    request: Request<Body>,
) -> Result<Response<Incoming>, (ProxyError, Option<Request<Body>>)> {
    match connection.try_send_request(request).await {
        Ok(response) => {
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                pool.keep(location.sandbox_id, connection);
            }
            Ok(response)
        }
        Err(mut failure) => {
            let untouched = failure.take_message();
            let source = failure.into_error();
            let error = if source.is_user() {
                ProxyError::ReadBody { source }
            } else {
                ProxyError::Exchange { source }
            };
            Err((error, untouched))
        }
    }
}
