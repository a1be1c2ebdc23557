//! Every route on one screen, grouped by who calls it.

use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, header};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, Info, OpenApi, Server};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;
use crate::{finish, http, unbuilt};

/// The document is written once: it cannot change while the process lives.
static DOCUMENT: LazyLock<String> = LazyLock::new(openapi_json);

fn operations() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        // anyone
        .routes(routes!(http::config::get))
        .routes(routes!(http::health::live))
        .routes(routes!(http::health::ready))
        // SDKs, the command line client, the dashboard
        .routes(routes!(http::sandbox::list, http::sandbox::create))
        .routes(routes!(http::sandbox::list_paginated))
        .routes(routes!(http::sandbox::get, http::sandbox::delete))
        .routes(routes!(http::sandbox::lifecycle::start))
        .routes(routes!(http::sandbox::lifecycle::stop))
        .routes(routes!(http::sandbox::lifecycle::pause))
        .routes(routes!(http::sandbox::lifecycle::archive))
        .routes(routes!(http::sandbox::lifecycle::recover))
        .routes(routes!(http::sandbox::lifecycle::resize))
        .routes(routes!(http::sandbox::copy::backup))
        .routes(routes!(http::sandbox::copy::snapshot))
        .routes(routes!(http::sandbox::copy::fork))
        .routes(routes!(http::sandbox::copy::forks))
        .routes(routes!(http::sandbox::copy::parent))
        .routes(routes!(http::sandbox::copy::ancestors))
        .routes(routes!(http::sandbox::setting::labels))
        .routes(routes!(http::sandbox::setting::auto_stop))
        .routes(routes!(http::sandbox::setting::auto_pause))
        .routes(routes!(http::sandbox::setting::auto_archive))
        .routes(routes!(http::sandbox::setting::auto_delete))
        .routes(routes!(http::sandbox::setting::time_to_live))
        .routes(routes!(http::sandbox::setting::public))
        .routes(routes!(http::sandbox::setting::network))
        .routes(routes!(http::sandbox::setting::secrets))
        .routes(routes!(http::sandbox::egress))
        .routes(routes!(http::sandbox::telemetry::metrics))
        .routes(routes!(http::sandbox::telemetry::logs))
        .routes(routes!(http::sandbox::telemetry::traces))
        .routes(routes!(http::sandbox::telemetry::spans))
        .routes(routes!(http::sandbox::access::last_activity))
        .routes(routes!(http::sandbox::access::toolbox_proxy_url))
        .routes(routes!(http::sandbox::access::preview_url))
        .routes(routes!(http::sandbox::access::signed_preview_url))
        .routes(routes!(http::sandbox::access::expire_signed_preview_url))
        .routes(routes!(http::sandbox::access::signing_key))
        .routes(routes!(http::sandbox::access::rotate_signing_key))
        .routes(routes!(http::sandbox::owner::organization))
        .routes(routes!(http::sandbox::owner::region_quota))
        .routes(routes!(http::snapshot::list, http::snapshot::create))
        .routes(routes!(http::snapshot::get, http::snapshot::delete))
        .routes(routes!(http::snapshot::activate))
        .routes(routes!(http::snapshot::deactivate))
        .routes(routes!(http::build::snapshot_url))
        .routes(routes!(http::build::snapshot_logs))
        .routes(routes!(http::build::sandbox_url))
        .routes(routes!(http::build::sandbox_logs))
        .routes(routes!(http::object_storage::push_access))
        .routes(routes!(http::registry::list, http::registry::create))
        .routes(routes!(http::registry::push_access))
        .routes(routes!(http::registry::get, http::registry::update, http::registry::delete))
        .routes(routes!(http::volume::list, http::volume::create))
        .routes(routes!(http::volume::get, http::volume::delete))
        .routes(routes!(http::volume::get_by_name))
        .routes(routes!(http::volume::attach))
        .routes(routes!(http::warm_pool::list, http::warm_pool::create))
        .routes(routes!(http::warm_pool::update, http::warm_pool::delete))
        // people who logged in
        .routes(routes!(http::user::me))
        .routes(routes!(http::organization::list))
}

/// Serves the interface under `/api`.
pub fn router(state: ApiState) -> Router {
    let (built, document) = operations().split_for_parts();
    let api = unbuilt::routes(built, &document)
        .route("/openapi.json", get(serve_document))
        .fallback(finish::no_route)
        .method_not_allowed_fallback(finish::no_route);
    // Nesting leaves out the prefix with a slash and nothing behind it.
    let bare = Router::new().route("/api/", any(finish::no_route));
    let router = Router::new().nest("/api", layered(api, &state)).merge(layered(bare, &state));
    router.with_state(state)
}

/// Puts what holds for every response around a router.
fn layered(router: Router<ApiState>, state: &ApiState) -> Router<ApiState> {
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::PATCH,
        Method::POST,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .allow_methods(methods)
        .expose_headers([finish::VERSION])
        .max_age(Duration::from_hours(1));
    router.layer(cors).layer(axum::middleware::from_fn_with_state(state.clone(), finish::finish))
}

async fn serve_document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}

/// Returns the interface document of what is built.
pub fn openapi() -> OpenApi {
    let mut document = operations().into_openapi();
    document.info = Info::new("Daytona-compatible sandbox API", "1");
    document.servers = Some(vec![Server::new("/api")]);
    let components = document.components.get_or_insert_with(Components::new);
    components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    document.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    document
}

/// Returns the document as it is committed in `openapi/api.json`.
pub fn openapi_json() -> String {
    // A document that cannot be written would have no operations; the test that compares it with the file says so.
    let mut text = openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
