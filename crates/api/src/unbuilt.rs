//! Operations of the contract that are not built: they answer so, instead of looking like a wrong path.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter};
use daytona_wire::api::OPERATIONS;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;

use crate::error::ApiError;
use crate::state::ApiState;

/// Adds a route for every operation of the contract that `built` lacks.
pub(crate) fn routes(router: Router<ApiState>, built: &OpenApi) -> Router<ApiState> {
    let done = built_operations(built);
    // Paths that differ only in the names of their variables are one path to the router: the first spelling stands.
    let mut spellings: BTreeMap<String, &str> = BTreeMap::new();
    for path in built.paths.paths.keys() {
        spellings.insert(shape(path), path);
    }
    let mut missing: BTreeMap<&str, MethodRouter<ApiState>> = BTreeMap::new();
    for (method, path) in contract_operations().filter(|operation| !done.contains(operation)) {
        if let Ok(filter) = filter(method) {
            let spelling = *spellings.entry(shape(path)).or_insert(path);
            let answer = move || async move { ApiError::NotBuilt { operation: format!("{method} {path}") } };
            let others = missing.remove(spelling).unwrap_or_default();
            missing.insert(spelling, others.on(filter, answer));
        }
    }
    missing.into_iter().fold(router, |router, (path, routes)| router.route(path, routes))
}

/// Blanks the names of a path's variables.
fn shape(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "{}" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// Lists method and path of every operation of the contract.
fn contract_operations() -> impl Iterator<Item = (&'static str, &'static str)> {
    OPERATIONS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut columns = line.split('\t');
        Some((columns.next()?, columns.next()?))
    })
}

fn built_operations(openapi: &OpenApi) -> BTreeSet<(&str, &str)> {
    let items = openapi.paths.paths.iter();
    items.flat_map(|(path, item)| methods(item).map(move |method| (method, path.as_str()))).collect()
}

fn methods(item: &PathItem) -> impl Iterator<Item = &'static str> {
    let known = [
        ("GET", item.get.is_some()),
        ("POST", item.post.is_some()),
        ("PUT", item.put.is_some()),
        ("PATCH", item.patch.is_some()),
        ("DELETE", item.delete.is_some()),
    ];
    known.into_iter().filter(|(_, there)| *there).map(|(method, _)| method)
}

fn filter(method: &str) -> Result<MethodFilter, ()> {
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| ())?;
    MethodFilter::try_from(method).map_err(|_| ())
}
