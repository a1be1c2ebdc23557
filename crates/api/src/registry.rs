//! What requests do to registries.

use daytona_wire::api::registry::{CreateDockerRegistry, UpdateDockerRegistry};
use store::StoreError;
use types::RegistryId;
use types::registry::{self, Password, Registry};

use crate::callers::Caller;
use crate::error::ApiError;
use crate::settings::PushRegistry;
use crate::state::ApiState;

const NAME_CHARACTERS: usize = 255;
const URL_BYTES: usize = 1_024;
const USERNAME_BYTES: usize = 1_024;
/// Some registries take tokens of several kilobytes.
const PASSWORD_BYTES: usize = 16 << 10;
const PROJECT_BYTES: usize = 255;

/// Adds a registry.
pub(crate) async fn create(
    state: &ApiState,
    caller: &Caller,
    asked: CreateDockerRegistry,
) -> Result<Registry, ApiError> {
    let now = state.clock.now();
    let fields =
        Fields { name: asked.name, url: asked.url, username: asked.username, project: asked.project };
    let (name, url, username, project) = fields.read()?;
    let password = password(asked.password.as_deref().unwrap_or_default())?;
    let (id, organization_id) = (RegistryId::random(state.random.as_ref()), caller.organization_id);
    let registry =
        Registry { id, organization_id, name, url, username, project, created_at: now, updated_at: now };
    match state.store.registry_insert(&registry, &password, state.random.as_ref()).await {
        Ok(()) => Ok(registry),
        Err(StoreError::TooMany { .. }) => Err(ApiError::TooManyRegistries),
        Err(error) => Err(error.into()),
    }
}

/// Changes a registry. Without a password the old one stays, but only for the host that it was given for: whoever could
/// point it elsewhere would be told it.
pub(crate) async fn update(
    state: &ApiState,
    caller: &Caller,
    reference: &str,
    asked: UpdateDockerRegistry,
) -> Result<Registry, ApiError> {
    let known = find(state, caller, reference).await?;
    let fields =
        Fields { name: asked.name, url: asked.url, username: asked.username, project: asked.project };
    let (name, url, username, project) = fields.read()?;
    let password = asked.password.filter(|text| !text.is_empty()).as_deref().map(password).transpose()?;
    if password.is_none() && registry::host(&url) != registry::host(&known.url) {
        return Err(ApiError::invalid("password must be given when url names another host"));
    }
    let registry = Registry { name, url, username, project, updated_at: state.clock.now(), ..known };
    let random = state.random.as_ref();
    let written = state.store.registry_update(&registry, password.as_ref(), random).await?;
    written.then_some(registry).ok_or_else(|| not_found(reference))
}

/// Finds a registry of the caller's organisation.
pub(crate) async fn find(state: &ApiState, caller: &Caller, reference: &str) -> Result<Registry, ApiError> {
    let id = reference.parse().map_err(|_| not_found(reference))?;
    let found = state.store.registry_get(caller.organization_id, id).await?;
    found.ok_or_else(|| not_found(reference))
}

/// Removes a registry.
pub(crate) async fn delete(state: &ApiState, caller: &Caller, reference: &str) -> Result<(), ApiError> {
    let id = reference.parse().map_err(|_| not_found(reference))?;
    let was_there = state.store.registry_delete(caller.organization_id, id).await?;
    was_there.then_some(()).ok_or_else(|| not_found(reference))
}

/// Returns where clients may push images. Plain registries have no passwords that hold for a while or for a part, so the
/// operator says one for all.
pub(crate) fn push_registry<'settings>(
    state: &'settings ApiState,
    region: Option<&str>,
) -> Result<&'settings PushRegistry, ApiError> {
    crate::limits::region(region, &state.settings)?;
    state.settings.push_registry.as_ref().ok_or(ApiError::NoPushRegistry)
}

fn not_found(reference: &str) -> ApiError {
    ApiError::RegistryNotFound { reference: reference.chars().take(64).collect() }
}

fn password(text: &str) -> Result<Password, ApiError> {
    if text.is_empty() || text.len() > PASSWORD_BYTES || text.chars().any(char::is_control) {
        return Err(ApiError::invalid(format!(
            "password must be 1 to {PASSWORD_BYTES} bytes without control characters"
        )));
    }
    Ok(Password::new(text.to_owned()))
}

/// What both requests say.
struct Fields {
    name: Option<String>,
    url: Option<String>,
    username: Option<String>,
    project: Option<String>,
}

impl Fields {
    /// Returns name, URL, user and project.
    fn read(self) -> Result<(String, String, String, String), ApiError> {
        let name = self.name.unwrap_or_default();
        let is_unsafe = |character: char| character.is_control() || "<>".contains(character);
        if name.trim().is_empty() || name.chars().count() > NAME_CHARACTERS || name.chars().any(is_unsafe) {
            return Err(ApiError::invalid(format!(
                "name must be 1 to {NAME_CHARACTERS} characters without control characters or HTML"
            )));
        }
        let url = url(&self.url.unwrap_or_default())?;
        let username = self.username.unwrap_or_default();
        if username.len() > USERNAME_BYTES || username.contains(':') || username.chars().any(char::is_control)
        {
            return Err(ApiError::invalid(format!(
                "username must be at most {USERNAME_BYTES} bytes without colons or control characters"
            )));
        }
        let project = self.project.unwrap_or_default();
        if project.len() > PROJECT_BYTES || project.chars().any(char::is_control) {
            return Err(ApiError::invalid(format!(
                "project must be at most {PROJECT_BYTES} bytes without control characters"
            )));
        }
        Ok((name, url, username, project))
    }
}

/// Reads a URL: a host, perhaps with a scheme, a port and a path, and nobody's password.
fn url(text: &str) -> Result<String, ApiError> {
    let url = registry::normalised(text);
    let host = registry::host(&url);
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let is_plain = !host.is_empty()
        && !host.ends_with(':')
        && host.bytes().all(allowed)
        && !url.contains(['@', '?', '#']);
    let is_known = scheme.is_none_or(|scheme| scheme == "http" || scheme == "https");
    if url.len() > URL_BYTES || !is_plain || !is_known || url.chars().any(char::is_control) {
        return Err(ApiError::invalid(
            "url must be a registry such as registry.example.com:5000 or https://registry.example.com",
        ));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_host_and_no_secret() {
        for (text, expected) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("registry.example.com:5000/", "registry.example.com:5000"),
            ("http://localhost:5000", "http://localhost:5000"),
        ] {
            assert_eq!(url(text).unwrap(), expected);
        }
        let long = format!("a.example/{}", "a".repeat(URL_BYTES));
        for text in
            ["", "https://", "ftp://a.example", "https://me:hush@a.example", "a b", "a.example?x=1", &long]
        {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
