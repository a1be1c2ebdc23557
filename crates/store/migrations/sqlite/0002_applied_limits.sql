-- The limits last put in force, as a JSON object; null before the first time. They differ from `cpu`, `memory_gib` and
-- `disk_gib` while a sandbox is resized.

ALTER TABLE sandbox ADD COLUMN resources_applied TEXT;
