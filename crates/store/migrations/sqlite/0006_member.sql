-- Users come through a login provider too, and belong to organisations.

ALTER TABLE user_account ADD COLUMN email_verified INTEGER NOT NULL DEFAULT 0;

CREATE TABLE organization_member (
  organization_id TEXT NOT NULL REFERENCES organization (id),
  user_id         TEXT NOT NULL REFERENCES user_account (id),
  role            TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  PRIMARY KEY (organization_id, user_id)
) STRICT;

CREATE INDEX organization_member_user ON organization_member (user_id);

-- Who made an organisation owns it.
INSERT INTO organization_member (organization_id, user_id, role, created_at)
SELECT id, created_by, 'owner', created_at FROM organization;
