-- The first tables. Ids and JSON are text, times are integer milliseconds since 1970 UTC, truths are 0 or 1.

CREATE TABLE user_account (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  email      TEXT NOT NULL,
  created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE organization (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  personal   INTEGER NOT NULL,
  created_by TEXT NOT NULL REFERENCES user_account (id),
  created_at INTEGER NOT NULL
) STRICT;

-- A user has at most one personal organisation, however often the first start is repeated.
CREATE UNIQUE INDEX organization_personal ON organization (created_by) WHERE personal = 1;

CREATE TABLE api_key (
  id              TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL REFERENCES organization (id),
  user_id         TEXT NOT NULL REFERENCES user_account (id),
  name            TEXT NOT NULL,
  hash            TEXT NOT NULL UNIQUE,
  permissions     TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  expires_at      INTEGER
) STRICT;

CREATE UNIQUE INDEX api_key_name ON api_key (organization_id, user_id, name);

CREATE TABLE sandbox (
  id               TEXT PRIMARY KEY,
  organization_id  TEXT NOT NULL REFERENCES organization (id),
  name             TEXT NOT NULL,
  snapshot         TEXT NOT NULL,
  image            TEXT NOT NULL,
  region           TEXT NOT NULL,
  os_user          TEXT NOT NULL,
  env              TEXT NOT NULL,
  labels           TEXT NOT NULL,
  public           INTEGER NOT NULL,
  network          TEXT NOT NULL,
  network_applied  TEXT,
  cpu              INTEGER NOT NULL,
  gpu              INTEGER NOT NULL,
  memory_gib       INTEGER NOT NULL,
  disk_gib         INTEGER NOT NULL,
  auto_stop        INTEGER NOT NULL,
  auto_archive     INTEGER NOT NULL,
  auto_delete      INTEGER NOT NULL,
  desired          TEXT NOT NULL,
  stop_forced      INTEGER NOT NULL,
  observed         TEXT NOT NULL,
  -- `types::Sandbox::at_rest`, kept so that the engine's scan reads an index that is nearly always empty.
  at_rest          INTEGER NOT NULL,
  error_reason     TEXT,
  auth_token       TEXT NOT NULL,
  daemon_version   TEXT,
  created_at       INTEGER NOT NULL,
  updated_at       INTEGER NOT NULL,
  last_activity_at INTEGER NOT NULL,
  generation       INTEGER NOT NULL
) STRICT;

-- A name is free again as soon as its sandbox is asked to go, not only once it is gone.
CREATE UNIQUE INDEX sandbox_name ON sandbox (organization_id, name) WHERE desired <> 'destroyed';
CREATE INDEX sandbox_last_activity ON sandbox (organization_id, last_activity_at, id);
CREATE INDEX sandbox_moving ON sandbox (id) WHERE at_rest = 0;
