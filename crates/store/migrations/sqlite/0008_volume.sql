-- Files that outlive sandboxes.

CREATE TABLE volume (
  id              TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL REFERENCES organization (id),
  name            TEXT NOT NULL,
  state           TEXT NOT NULL,
  error_reason    TEXT,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  last_used_at    INTEGER
) STRICT;

CREATE UNIQUE INDEX volume_name ON volume (organization_id, name) WHERE state NOT IN ('deleting', 'deleted');
CREATE INDEX volume_moving ON volume (state) WHERE state IN ('creating', 'deleting');

-- A JSON array of objects: `volume`, `path`, `subpath` or null, `readOnly`.
ALTER TABLE sandbox ADD COLUMN volumes TEXT NOT NULL DEFAULT '[]';

-- Keys that could do everything there was go on to do everything there is.
UPDATE api_key SET permissions = permissions || ' read:volumes write:volumes delete:volumes'
WHERE permissions LIKE '%write:sandboxes%' AND permissions LIKE '%delete:sandboxes%' AND permissions LIKE '%delete:snapshots%';
