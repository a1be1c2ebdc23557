//! What a request for a new snapshot may say: pure.

use daytona_wire::api::snapshot::CreateSnapshot;
use types::build::Recipe;
use types::resource::Resources;

use crate::error::ApiError;
use crate::settings::Settings;
use crate::{build, limits};

const ENTRYPOINT_WORDS: usize = 256;
const ENTRYPOINT_BYTES: usize = 64 << 10;

/// A request that may be met.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) name: String,
    pub(crate) recipe: Recipe,
    pub(crate) entrypoint: Option<Vec<String>>,
    pub(crate) resources: Resources,
}

/// Checks a request.
pub(crate) fn read(asked: CreateSnapshot, settings: &Settings) -> Result<Wanted, ApiError> {
    let name = asked.name.as_deref().unwrap_or_default();
    limits::new_snapshot(name)?;
    built(&asked)?;
    limits::region(asked.region_id.as_deref(), settings)?;
    if asked.sandbox_class.as_deref().is_some_and(|class| class != "container") {
        return Err(ApiError::invalid("No runner for this sandboxClass: this server has container only"));
    }
    let resources = limits::snapshot_resources([asked.cpu, asked.memory, asked.disk], settings)?;
    let image_name = asked.image_name.filter(|name| !name.trim().is_empty());
    let entrypoint = asked.entrypoint.filter(|words| !words.is_empty());
    let recipe = match (image_name, asked.build_info) {
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid("Cannot specify both an image name and a build info entry"));
        }
        (None, None) => {
            return Err(ApiError::invalid("Must specify either an image name or a build info entry"));
        }
        (None, Some(_)) if entrypoint.is_some() => {
            return Err(ApiError::invalid(
                "Cannot specify an entrypoint when using a build info entry: write ENTRYPOINT into the Dockerfile",
            ));
        }
        (None, Some(info)) => build::dockerfile(info)?,
        (Some(reference), None) => {
            build::reference(&reference)?;
            Recipe::Pull { reference: reference.trim().to_owned() }
        }
    };
    if entrypoint.as_ref().is_some_and(|words| !fits(words)) {
        return Err(ApiError::invalid(format!(
            "entrypoint must be at most {ENTRYPOINT_WORDS} words and {ENTRYPOINT_BYTES} bytes together, without a NUL"
        )));
    }
    Ok(Wanted { name: name.to_owned(), recipe, entrypoint, resources })
}

fn fits(words: &[String]) -> bool {
    words.len() <= ENTRYPOINT_WORDS
        && words.iter().map(String::len).sum::<usize>() <= ENTRYPOINT_BYTES
        && !words.iter().any(|word| word.contains('\0'))
}

/// Refuses what is asked for and not built.
fn built(asked: &CreateSnapshot) -> Result<(), ApiError> {
    if asked.gpu.is_some_and(|number| number > 0) {
        return Err(ApiError::FieldNotBuilt { field: "gpu" });
    }
    if asked.gpu_type.as_ref().is_some_and(|kinds| !kinds.is_empty()) {
        return Err(ApiError::FieldNotBuilt { field: "gpuType" });
    }
    Ok(())
}
