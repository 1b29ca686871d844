-- +goose Up
-- matter: a registered reason for which content is opened. What it is called is sealed; rows are never removed.
CREATE TABLE matter(
  id        INTEGER PRIMARY KEY,
  number    TEXT    NOT NULL UNIQUE,     -- 2026-003, what the log names
  purpose   TEXT    NOT NULL,
  basis     TEXT    NOT NULL,            -- id of a law in operations.yaml
  title     BLOB    NOT NULL,
  by        TEXT    NOT NULL,
  opened    INTEGER NOT NULL,
  until     INTEGER NOT NULL,
  closed    INTEGER NOT NULL DEFAULT 0,
  closed_by TEXT    NOT NULL DEFAULT ''
);

-- +goose Down
DROP TABLE matter;
