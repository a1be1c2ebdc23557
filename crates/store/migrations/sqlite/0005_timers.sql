-- What changes by itself is found without a look at what does not: each index holds the moments of one timer.

CREATE INDEX sandbox_due_ttl ON sandbox (destroy_at) WHERE destroy_at IS NOT NULL AND desired <> 'destroyed';
CREATE INDEX sandbox_due_stop ON sandbox (last_activity_at + auto_stop * 60000)
  WHERE auto_stop > 0 AND observed = 'started' AND desired = 'started';
CREATE INDEX sandbox_due_pause ON sandbox (last_activity_at + auto_pause * 60000)
  WHERE auto_pause > 0 AND observed = 'started' AND desired = 'started';
CREATE INDEX sandbox_due_delete ON sandbox (last_activity_at + auto_delete * 60000)
  WHERE auto_delete >= 0 AND at_rest = 1 AND observed IN ('stopped', 'ended');
CREATE INDEX sandbox_due_archive ON sandbox (last_activity_at + iif(auto_archive = 0, 43200, auto_archive) * 60000)
  WHERE at_rest = 1 AND observed IN ('stopped', 'ended');
