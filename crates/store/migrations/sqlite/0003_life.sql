-- What a sandbox needs for its whole life: pause, archive, fork, links, snapshots of it, and its time to live.

ALTER TABLE sandbox ADD COLUMN auto_pause INTEGER NOT NULL DEFAULT 0;
-- A JSON object of `cause`, `evidence` and `remedy`.
ALTER TABLE sandbox ADD COLUMN failure TEXT;
ALTER TABLE sandbox ADD COLUMN recoverable INTEGER NOT NULL DEFAULT 0;
-- What ended by itself has its files.
UPDATE sandbox SET recoverable = 1 WHERE observed = 'ended';
ALTER TABLE sandbox ADD COLUMN recovering INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sandbox ADD COLUMN parent_id TEXT;
ALTER TABLE sandbox ADD COLUMN linked_id TEXT;
-- The snapshot that is to be taken.
ALTER TABLE sandbox ADD COLUMN capture TEXT;
-- A JSON object: `state`, `at` in milliseconds, `object`, `digest`, `bytes`; null when there is none.
ALTER TABLE sandbox ADD COLUMN backup TEXT;
ALTER TABLE sandbox ADD COLUMN destroy_at INTEGER;
ALTER TABLE sandbox ADD COLUMN queue_timeout INTEGER;
ALTER TABLE sandbox ADD COLUMN queue_timed_out_at INTEGER;
ALTER TABLE sandbox ADD COLUMN signing_key TEXT NOT NULL DEFAULT '';
UPDATE sandbox SET signing_key = lower(hex(randomblob(32)));

CREATE INDEX sandbox_parent ON sandbox (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX sandbox_linked ON sandbox (linked_id) WHERE linked_id IS NOT NULL;

CREATE TABLE snapshot (
  id                TEXT PRIMARY KEY,
  organization_id   TEXT NOT NULL REFERENCES organization (id),
  name              TEXT NOT NULL,
  image             TEXT NOT NULL,
  state             TEXT NOT NULL,
  error_reason      TEXT,
  source_sandbox_id TEXT NOT NULL,
  resources         TEXT NOT NULL,
  size_bytes        INTEGER NOT NULL,
  created_at        INTEGER NOT NULL,
  updated_at        INTEGER NOT NULL,
  last_used_at      INTEGER
) STRICT;

CREATE UNIQUE INDEX snapshot_name ON snapshot (organization_id, name) WHERE state <> 'removing';

CREATE TABLE signed_preview (
  token      TEXT PRIMARY KEY,
  sandbox_id TEXT NOT NULL,
  port       INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX signed_preview_expiry ON signed_preview (expires_at);

-- Keys that could do everything there was go on to do everything there is.
UPDATE api_key SET permissions = permissions || ' delete:snapshots' WHERE permissions = 'write:sandboxes delete:sandboxes';
