-- +goose Up
-- source: what a listing found, so that a restart hears of changes before the next listing has ended.
CREATE TABLE source(
  kind      TEXT    NOT NULL,
  container TEXT    NOT NULL,
  dept      INTEGER NOT NULL,
  private   INTEGER NOT NULL,            -- a 1:1 conversation
  via       BLOB    NOT NULL,            -- sealed: JSON of the members who can read it, first choice first
  PRIMARY KEY(kind, container)
);

-- +goose Down
DROP TABLE source;
