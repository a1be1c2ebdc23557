-- Sandboxes that are made before they are asked for.

CREATE TABLE warm_pool (
  id              TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL REFERENCES organization (id),
  snapshot        TEXT NOT NULL,
  region          TEXT NOT NULL,
  size            INTEGER NOT NULL,
  resources       TEXT NOT NULL,
  error_reason    TEXT,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX warm_pool_of ON warm_pool (organization_id, snapshot, region);

-- Set while it waits in the pool.
ALTER TABLE sandbox ADD COLUMN warm_pool_id TEXT;

CREATE INDEX sandbox_warm ON sandbox (warm_pool_id, created_at) WHERE warm_pool_id IS NOT NULL;
