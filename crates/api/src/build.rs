//! What images are made of: checked, asked for once however often it is asked, and told of while it goes on.

use std::time::Duration;

use axum::body::{Body, Bytes};
use daytona_wire::api::build::CreateBuildInfo;
use futures_util::stream;
use types::build::{Build, Recipe};
use types::{BuildId, OrganizationId};

use crate::error::ApiError;
use crate::state::ApiState;

/// Far more than people write; it is kept with every build.
const DOCKERFILE_BYTES: usize = 256 << 10;
const CONTEXTS: usize = 1_000;
const CONTEXT_BYTES: usize = 128;
const REFERENCE_BYTES: usize = 512;
const DIGEST_DIGITS: usize = 64;
/// How often who follows a build that says nothing asks again.
const FOLLOW_PERIOD: Duration = Duration::from_millis(200);

/// Reads what is to be built.
pub(crate) fn dockerfile(asked: CreateBuildInfo) -> Result<Recipe, ApiError> {
    let text = asked.dockerfile_content.unwrap_or_default();
    if text.trim().is_empty() {
        return Err(ApiError::invalid("buildInfo.dockerfileContent must not be empty"));
    }
    if text.len() > DOCKERFILE_BYTES {
        return Err(ApiError::invalid(format!(
            "buildInfo.dockerfileContent must be at most {DOCKERFILE_BYTES} bytes long"
        )));
    }
    if text.contains('\0') {
        return Err(ApiError::invalid("buildInfo.dockerfileContent must not contain a NUL"));
    }
    let mut contexts = asked.context_hashes.unwrap_or_default();
    if contexts.len() > CONTEXTS || !contexts.iter().all(|hash| is_context(hash)) {
        return Err(ApiError::invalid(format!(
            "buildInfo.contextHashes must be at most {CONTEXTS} names of letters, digits, `_` and `-`, each at most \
             {CONTEXT_BYTES} long"
        )));
    }
    contexts.sort_unstable();
    contexts.dedup();
    Ok(Recipe::Dockerfile { text, contexts })
}

/// It is a part of a path in the object storage.
fn is_context(hash: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=CONTEXT_BYTES).contains(&hash.len()) && hash.bytes().all(allowed)
}

/// Checks the reference of an image that is to be pulled: what it means must not change under one's feet.
pub(crate) fn reference(name: &str) -> Result<(), ApiError> {
    let name = name.trim();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/@".contains(&byte);
    if name.is_empty() || name.len() > REFERENCE_BYTES || !name.bytes().all(allowed) {
        return Err(ApiError::invalid(format!(
            "Invalid image name: letters, digits, `.`, `_`, `-`, `:`, `/` and `@`, at most {REFERENCE_BYTES} of them"
        )));
    }
    if let Some((_, digest)) = name.split_once('@') {
        let digits = digest.strip_prefix("sha256:").unwrap_or_default();
        let is_digest = digits.len() == DIGEST_DIGITS
            && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let refused =
            || ApiError::invalid("Invalid digest format. Must be sha256: and 64 hexadecimal digits");
        return is_digest.then_some(()).ok_or_else(refused);
    }
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, "latest")) => Err(ApiError::invalid("Images with tag \":latest\" are not allowed")),
        Some((image, tag)) if !image.is_empty() && !tag.is_empty() && !tag.contains(':') => Ok(()),
        _ => Err(ApiError::invalid(
            "Image name must include a tag (such as debian:12) or digest (such as debian@sha256:…)",
        )),
    }
}

/// Asks for what a Dockerfile makes. Who asks for the same again gets the same; nobody gets what another organisation
/// made, because names of archives mean other archives there, and its registries let others in.
pub(crate) async fn want(
    state: &ApiState,
    organization_id: OrganizationId,
    recipe: Recipe,
) -> Result<Build, ApiError> {
    let id = BuildId::random(state.random.as_ref());
    let key = match &recipe {
        Recipe::Pull { .. } => id.to_string(),
        Recipe::Dockerfile { text, contexts } => {
            store::api_key::hash(&format!("{text}{}", contexts.concat()))
        }
    };
    let draft = Build::new(id, organization_id, key, recipe, state.clock.now());
    Ok(state.store.build_want(&draft).await?)
}

/// What a reader of a build's words has had.
struct Reader {
    state: ApiState,
    id: BuildId,
    from: u64,
    /// Until the build has ended.
    follows: bool,
}

impl Reader {
    /// Returns what was said since, `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            // In this order: what is said last is said before the build has ended.
            let has_ended = !self.follows || self.has_ended().await?;
            let part = self.state.runner.build_log(self.id, self.from).await?;
            if !part.is_empty() {
                self.from = self.from.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
                return Ok(Some(part.into()));
            }
            if has_ended {
                return Ok(None);
            }
            tokio::time::sleep(FOLLOW_PERIOD).await;
        }
    }

    async fn has_ended(&self) -> Result<bool, ApiError> {
        let build = self.state.store.build_get(self.id).await?;
        Ok(build.is_none_or(|build| build.state.has_ended()))
    }
}

/// Streams what a build said; who follows hears it until the build has ended. Without a build there is nothing to hear.
pub(crate) fn log(state: &ApiState, id: Option<BuildId>, follows: bool) -> Body {
    let Some(id) = id else { return Body::empty() };
    let reader = Reader { state: state.clone(), id, from: 0, follows };
    let stream = stream::try_unfold(reader, async |mut reader| {
        let part = reader.next().await.inspect_err(|error| {
            tracing::warn!(id = %reader.id, error = error as &dyn std::error::Error, "cannot tell what a build said");
        })?;
        Ok::<_, ApiError>(part.map(|part| (part, reader)))
    });
    Body::from_stream(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(refused: Result<impl Sized, ApiError>) -> String {
        refused.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_reference_says_what_it_means() {
        let digest = "a".repeat(64);
        for fits in [
            "debian:12",
            "registry.example.com:5000/team/image:v1.2_3",
            &format!("debian@sha256:{digest}"),
            &format!("localhost:5000/a/b:1@sha256:{digest}"),
        ] {
            assert_eq!(rule(reference(fits)), "", "{fits}");
        }
        for (name, expected) in [
            ("debian:latest", "Images with tag \":latest\" are not allowed"),
            ("localhost:5000/debian:latest", "Images with tag \":latest\" are not allowed"),
            ("debian", "Image name must include a tag"),
            ("localhost:5000/debian", "Image name must include a tag"),
            ("debian:", "Image name must include a tag"),
            (":12", "Image name must include a tag"),
            ("debian:1:2", "Image name must include a tag"),
            ("debian@sha256:abc", "Invalid digest format"),
            (&format!("debian@md5:{digest}"), "Invalid digest format"),
            (&format!("debian@sha256:{}", "A".repeat(64)), "Invalid digest format"),
            ("", "Invalid image name"),
            ("a b:1", "Invalid image name"),
            ("a\n:1", "Invalid image name"),
            (&format!("{}:1", "a".repeat(600)), "Invalid image name"),
        ] {
            assert!(rule(reference(name)).starts_with(expected), "{name}: {}", rule(reference(name)));
        }
    }

    #[test]
    fn contexts_are_names_and_their_order_means_nothing() {
        let asked = |text: &str, hashes: &[&str]| CreateBuildInfo {
            dockerfile_content: Some(text.to_owned()),
            context_hashes: Some(hashes.iter().map(|&hash| hash.to_owned()).collect()),
        };
        let one = dockerfile(asked("FROM a:1\n", &["b", "a", "b"])).unwrap();
        assert_eq!(one, dockerfile(asked("FROM a:1\n", &["a", "b"])).unwrap());
        for (text, hashes, expected) in [
            ("", [].as_slice(), "dockerfileContent must not be empty"),
            (" \n", &[], "dockerfileContent must not be empty"),
            ("FROM a\0", &[], "must not contain a NUL"),
            ("FROM a", &[".."], "contextHashes must be"),
            ("FROM a", &["a/b"], "contextHashes must be"),
            ("FROM a", &[""], "contextHashes must be"),
            (&"x".repeat(DOCKERFILE_BYTES + 1), &[], "at most"),
        ] {
            assert!(rule(dockerfile(asked(text, hashes))).contains(expected), "{hashes:?}");
        }
        assert!(rule(dockerfile(CreateBuildInfo::default())).contains("must not be empty"));
    }
}
