//! Rows of builds: what brings images to the host, and who needs that.

use sqlx::sqlite::SqliteRow;
use types::build::{Build, BuildState, Made, Recipe};
use types::{BuildId, Timestamp};

use crate::column;
use crate::db::Store;
use crate::error::StoreError;

/// An identical one that is there is asked for again: what failed or was let go is made anew.
const WANT: &str = "INSERT INTO build (id, organization_id, key, image_name, dockerfile, contexts, state, error_reason, \
    digest, size_bytes, entrypoint, created_at, updated_at, last_used_at, generation) \
    VALUES ($1, $2, $3, $4, $5, $6, 'pending', NULL, NULL, 0, '[]', $7, $7, $7, 1) \
    ON CONFLICT (organization_id, key) DO UPDATE SET \
    state = CASE WHEN state IN ('idle', 'failed') THEN 'pending' ELSE state END, \
    error_reason = CASE WHEN state = 'failed' THEN NULL ELSE error_reason END, \
    last_used_at = max(last_used_at, excluded.last_used_at), generation = generation + 1 RETURNING *";
const RENEW: &str = "UPDATE build SET state = CASE WHEN state IN ('idle', 'failed') THEN 'pending' ELSE state END, \
    last_used_at = max(last_used_at, $2), generation = generation + 1 WHERE id = $1";
const UPDATE: &str = "UPDATE build SET state = $3, error_reason = $4, digest = $5, size_bytes = $6, entrypoint = $7, \
    updated_at = $8, generation = generation + 1 WHERE id = $1 AND generation = $2";
const GET: &str = "SELECT * FROM build WHERE id = $1";
const LIST_OF: &str = "SELECT * FROM build WHERE id IN (SELECT value FROM json_each($1))";
const LIST_MOVING: &str = "SELECT id FROM build WHERE state IN ('pending', 'running') \
    UNION SELECT build_id FROM snapshot WHERE state IN ('pending', 'pulling', 'building') AND build_id IS NOT NULL";
const LIST_IN: &str = "SELECT id FROM build WHERE state = $1";
/// Its image has to be on the host: for a snapshot that is in use or is to be, or for a sandbox. What is said of images
/// beside their names is what the index of them says.
const IS_NEEDED: &str = "SELECT EXISTS (SELECT 1 FROM snapshot WHERE build_id = $1 \
     AND state IN ('pending', 'pulling', 'building', 'active')) \
    OR EXISTS (SELECT 1 FROM sandbox WHERE image = 'built/' || $1 AND image >= 'built/' AND image < 'built0' \
     AND observed <> 'destroyed')";
/// How it is made has to be known, even while its image is not needed.
const DELETE: &str = "DELETE FROM build WHERE id = $1 AND generation = $2 AND state IN ('idle', 'failed') \
    AND last_used_at < $3 AND NOT EXISTS (SELECT 1 FROM snapshot WHERE build_id = $1) \
    AND NOT EXISTS (SELECT 1 FROM sandbox WHERE image = 'built/' || $1 AND image >= 'built/' AND image < 'built0' \
     AND observed <> 'destroyed')";
/// What was made and is needed by nobody.
const LIST_UNNEEDED: &str = "SELECT id FROM build WHERE last_used_at < $1 AND NOT EXISTS (SELECT 1 FROM snapshot \
     WHERE build_id = build.id AND (build.state IN ('idle', 'failed') \
      OR snapshot.state IN ('pending', 'pulling', 'building', 'active'))) \
    AND NOT EXISTS (SELECT 1 FROM sandbox WHERE image = 'built/' || build.id AND image >= 'built/' \
     AND image < 'built0' AND observed <> 'destroyed')";
/// Images that somebody may start from, or comes back to.
const PINS: &str = "SELECT image FROM snapshot WHERE state IN ('pending', 'pulling', 'building', 'active', 'snapshotting') \
    UNION SELECT image FROM sandbox WHERE observed <> 'destroyed' \
    UNION SELECT 'built/' || id FROM build WHERE state IN ('pending', 'running', 'done')";

impl Store {
    /// Asks for an image: returns the build of the organisation that makes it, which may be an older one.
    pub async fn build_want(&self, build: &Build) -> Result<Build, StoreError> {
        let (image_name, dockerfile, contexts) = recipe_columns(&build.recipe);
        let row = sqlx::query(WANT)
            .bind(build.id.to_string())
            .bind(build.organization_id.to_string())
            .bind(&build.key)
            .bind(image_name)
            .bind(dockerfile)
            .bind(column::texts_text(contexts))
            .bind(build.created_at.as_millisecond())
            .fetch_one(&self.writer)
            .await
            .map_err(StoreError::query("ask for a build"))?;
        read(&row)
    }

    /// Asks for an image again, whose build is known.
    pub async fn build_renew(&self, id: BuildId, now: Timestamp) -> Result<(), StoreError> {
        let query = sqlx::query(RENEW).bind(id.to_string()).bind(now.as_millisecond());
        query.execute(&self.writer).await.map_err(StoreError::query("ask for a build again"))?;
        Ok(())
    }

    /// Writes what became of a build, if the row is still the one that `build` was read from. Returns the new row, or
    /// `None` when someone else wrote first.
    pub async fn build_update(&self, build: Build) -> Result<Option<Build>, StoreError> {
        let entrypoint = build.made.as_ref().map(|made| made.entrypoint.clone()).unwrap_or_default();
        let size_bytes = build.made.as_ref().map_or(0, |made| made.size_bytes);
        let done = sqlx::query(UPDATE)
            .bind(build.id.to_string())
            .bind(build.generation)
            .bind(build.state.as_str())
            .bind(&build.error_reason)
            .bind(build.made.as_ref().map(|made| made.digest.clone()))
            .bind(i64::try_from(size_bytes).unwrap_or(i64::MAX))
            .bind(column::texts_text(&entrypoint))
            .bind(build.updated_at.as_millisecond())
            .execute(&self.writer)
            .await
            .map_err(StoreError::query("update a build"))?;
        let written = done.rows_affected() == 1;
        Ok(written.then(|| Build { generation: build.generation + 1, ..build }))
    }

    /// Finds a build.
    pub async fn build_get(&self, id: BuildId) -> Result<Option<Build>, StoreError> {
        let query = sqlx::query(GET).bind(id.to_string()).fetch_optional(&self.reader);
        query.await.map_err(StoreError::query("get a build"))?.as_ref().map(read).transpose()
    }

    /// Finds those of `ids` that are there.
    pub async fn build_list(&self, ids: &[BuildId]) -> Result<Vec<Build>, StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let rows = sqlx::query(LIST_OF).bind(column::texts_text(&ids)).fetch_all(&self.reader).await;
        rows.map_err(StoreError::query("list builds"))?.iter().map(read).collect()
    }

    /// Lists the builds that are asked for and not ended, and those that a snapshot waits for.
    pub async fn build_list_moving(&self) -> Result<Vec<BuildId>, StoreError> {
        ids(sqlx::query(LIST_MOVING).fetch_all(&self.reader).await, "list the builds that go on")
    }

    /// Lists the builds in one state.
    pub async fn build_list_in(&self, state: BuildState) -> Result<Vec<BuildId>, StoreError> {
        let query = sqlx::query(LIST_IN).bind(state.as_str());
        ids(query.fetch_all(&self.reader).await, "list builds by state")
    }

    /// Lists the builds that nobody needs and nobody asked for since `before`.
    pub async fn build_list_unneeded(&self, before: Timestamp) -> Result<Vec<BuildId>, StoreError> {
        let query = sqlx::query(LIST_UNNEEDED).bind(before.as_millisecond());
        ids(query.fetch_all(&self.reader).await, "list the builds that nobody needs")
    }

    /// Tells whether somebody needs the image of a build on the host.
    pub async fn build_is_needed(&self, id: BuildId) -> Result<bool, StoreError> {
        // Asked of the connection that writes: what a request wrote just now counts.
        let query = sqlx::query_scalar(IS_NEEDED).bind(id.to_string()).fetch_one(&self.writer);
        query.await.map_err(StoreError::query("find who needs a build"))
    }

    /// Forgets a build that has ended, to which nothing refers and for which nobody asked since `before`; tells whether it
    /// did.
    pub async fn build_delete(&self, build: &Build, before: Timestamp) -> Result<bool, StoreError> {
        let query = sqlx::query(DELETE).bind(build.id.to_string()).bind(build.generation);
        let done = query.bind(before.as_millisecond()).execute(&self.writer).await;
        Ok(done.map_err(StoreError::query("delete a build"))?.rows_affected() == 1)
    }

    /// Lists the references of images that must stay on the host: those that snapshots or sandboxes start from or come
    /// back to, and those that are kept because the same may be asked for again.
    pub async fn image_pins(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query(PINS).fetch_all(&self.reader).await;
        let rows = rows.map_err(StoreError::query("list the images that are needed"))?;
        rows.iter().map(|row| column::plain(row, "image")).collect()
    }
}

fn recipe_columns(recipe: &Recipe) -> (Option<&str>, Option<&str>, &[String]) {
    match recipe {
        Recipe::Pull { reference } => (Some(reference), None, &[]),
        Recipe::Dockerfile { text, contexts } => (None, Some(text), contexts),
    }
}

fn ids(rows: Result<Vec<SqliteRow>, sqlx::Error>, action: &'static str) -> Result<Vec<BuildId>, StoreError> {
    rows.map_err(StoreError::query(action))?.iter().map(|row| column::id(row, "id")).collect()
}

fn read(row: &SqliteRow) -> Result<Build, StoreError> {
    let contexts = column::word(row, "contexts", column::texts)?;
    let image_name: Option<String> = column::plain(row, "image_name")?;
    let recipe = if let Some(reference) = image_name {
        Recipe::Pull { reference }
    } else {
        let text: Option<String> = column::plain(row, "dockerfile")?;
        Recipe::Dockerfile { text: text.ok_or_else(|| column::corrupt("dockerfile", "nothing"))?, contexts }
    };
    let digest: Option<String> = column::plain(row, "digest")?;
    let (size_bytes, entrypoint) =
        (column::integer(row, "size_bytes")?, column::word(row, "entrypoint", column::texts)?);
    Ok(Build {
        id: column::id(row, "id")?,
        organization_id: column::id(row, "organization_id")?,
        key: column::plain(row, "key")?,
        recipe,
        state: column::word(row, "state", BuildState::parse)?,
        error_reason: column::plain(row, "error_reason")?,
        made: digest.map(|digest| Made { digest, size_bytes, entrypoint }),
        created_at: column::moment(row, "created_at")?,
        updated_at: column::moment(row, "updated_at")?,
        last_used_at: column::moment(row, "last_used_at")?,
        generation: column::plain(row, "generation")?,
    })
}
