-- Snapshots of images that are pulled or built, what brings those to the host, and the registries that they come from.

CREATE TABLE snapshot_new (
  id                TEXT PRIMARY KEY,
  -- Null is everybody's.
  organization_id   TEXT REFERENCES organization (id),
  name              TEXT NOT NULL,
  image             TEXT NOT NULL,
  state             TEXT NOT NULL,
  error_reason      TEXT,
  source_sandbox_id TEXT,
  image_name        TEXT,
  build_id          TEXT,
  reference         TEXT,
  -- A JSON list of texts.
  entrypoint        TEXT,
  resources         TEXT NOT NULL,
  size_bytes        INTEGER NOT NULL,
  created_at        INTEGER NOT NULL,
  updated_at        INTEGER NOT NULL,
  last_used_at      INTEGER,
  deactivated_at    INTEGER,
  generation        INTEGER NOT NULL
) STRICT;

INSERT INTO snapshot_new (id, organization_id, name, image, state, error_reason, source_sandbox_id, resources, size_bytes,
  created_at, updated_at, last_used_at, generation)
SELECT id, organization_id, name, image, state, error_reason, source_sandbox_id, resources, size_bytes,
  created_at, updated_at, last_used_at, 1
FROM snapshot;

DROP TABLE snapshot;
ALTER TABLE snapshot_new RENAME TO snapshot;

CREATE UNIQUE INDEX snapshot_name ON snapshot (name, coalesce(organization_id, '')) WHERE state <> 'removing';
CREATE INDEX snapshot_organization ON snapshot (organization_id);
CREATE INDEX snapshot_waiting ON snapshot (build_id) WHERE state IN ('pending', 'pulling', 'building');
CREATE INDEX snapshot_build ON snapshot (build_id) WHERE build_id IS NOT NULL;

CREATE TABLE build (
  id              TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL REFERENCES organization (id),
  -- Two of an organisation with the same key are one.
  key             TEXT NOT NULL,
  -- One of the two is null.
  image_name      TEXT,
  dockerfile      TEXT,
  -- JSON lists of texts.
  contexts        TEXT NOT NULL,
  state           TEXT NOT NULL,
  error_reason    TEXT,
  digest          TEXT,
  size_bytes      INTEGER NOT NULL,
  entrypoint      TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  last_used_at    INTEGER NOT NULL,
  generation      INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX build_key ON build (organization_id, key);
CREATE INDEX build_moving ON build (id) WHERE state IN ('pending', 'running');

-- What makes the image of a sandbox, and how far that was when the engine last looked.
ALTER TABLE sandbox ADD COLUMN build_id TEXT;
ALTER TABLE sandbox ADD COLUMN build_state TEXT;

-- Who starts from what was pulled or built. Others, which are most, cost nothing.
CREATE INDEX sandbox_image ON sandbox (image) WHERE image >= 'built/' AND image < 'built0';

CREATE TABLE registry (
  id              TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL REFERENCES organization (id),
  name            TEXT NOT NULL,
  url             TEXT NOT NULL,
  username        TEXT NOT NULL,
  -- Sealed with the key of the file beside this database.
  password        BLOB NOT NULL,
  project         TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL
) STRICT;

CREATE INDEX registry_organization ON registry (organization_id, created_at);

-- Keys that could do everything there was go on to do everything there is.
UPDATE api_key SET permissions = permissions || ' write:snapshots write:registries delete:registries'
WHERE permissions = 'write:sandboxes delete:sandboxes delete:snapshots';
