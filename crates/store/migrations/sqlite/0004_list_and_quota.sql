-- Lists look through a roster in memory, which is filled from here; nothing else was ordered by activity.
DROP INDEX sandbox_last_activity;
CREATE INDEX sandbox_organization ON sandbox (organization_id, observed, desired) WHERE observed <> 'destroyed';

-- What claims to run is looked after every minute, beside any number of sandboxes that do not.
CREATE INDEX sandbox_claimed ON sandbox (observed) WHERE observed IN ('started', 'paused', 'unknown', 'error');
CREATE INDEX sandbox_destroyed ON sandbox (updated_at) WHERE observed = 'destroyed';

-- What each sandbox counts for, the same as `types::quota::Usage::by`. Those that count for nothing are left out.
CREATE VIEW sandbox_use AS
SELECT
  id,
  organization_id,
  CASE WHEN desired = 'started' OR observed = 'started' OR (observed IN ('unknown', 'absent') AND desired <> 'archived')
    THEN cpu ELSE 0 END AS cpu,
  CASE WHEN desired = 'started' OR observed = 'started' OR (observed IN ('unknown', 'absent') AND desired <> 'archived')
    THEN memory_gib ELSE 0 END AS memory_gib,
  disk_gib
FROM sandbox
WHERE observed <> 'destroyed'
  AND desired <> 'destroyed'
  AND (observed <> 'archived' OR desired IN ('started', 'stopped'))
  AND (observed <> 'error' OR recovering = 1);
