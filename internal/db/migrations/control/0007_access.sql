-- +goose Up
-- access: what an account was given beyond its role. Rows are never removed: an ended one says until when it was so.
CREATE TABLE access(
  id          INTEGER PRIMARY KEY,
  account     INTEGER NOT NULL REFERENCES account(id),
  given       TEXT    NOT NULL,             -- JSON of policy.Grant
  by          TEXT    NOT NULL,
  approval    TEXT    NOT NULL DEFAULT '',  -- the request that others agreed to
  at          INTEGER NOT NULL,
  ended       INTEGER NOT NULL DEFAULT 0,
  ended_by    TEXT    NOT NULL DEFAULT '',
  reviewed    INTEGER NOT NULL DEFAULT 0,   -- when somebody last confirmed it
  reviewed_by TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX access_account ON access(account);

-- approval: what one person asked for and others have to decide. Reason, what is shown, payload and notes are sealed.
CREATE TABLE approval(
  id      TEXT    PRIMARY KEY,
  what    TEXT    NOT NULL,                 -- export, restore, grant, role
  by      TEXT    NOT NULL,                 -- account name
  purpose TEXT    NOT NULL DEFAULT '',
  need    INTEGER NOT NULL,                 -- how many others have to agree
  asked   INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  closed  TEXT    NOT NULL DEFAULT '',      -- refused, used, withdrawn
  at      INTEGER NOT NULL DEFAULT 0,       -- when it was closed
  reason  BLOB    NOT NULL,
  shown   BLOB    NOT NULL,                 -- what those who decide read of it
  payload BLOB    NOT NULL
);
CREATE TABLE approval_decision(
  approval TEXT    NOT NULL REFERENCES approval(id),
  by       TEXT    NOT NULL COLLATE NOCASE,
  yes      INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  note     BLOB    NOT NULL,
  PRIMARY KEY(approval, by)
);

-- +goose Down
DROP TABLE approval_decision; DROP TABLE approval; DROP TABLE access;
