-- +goose Up
-- One row a version. id is a time slot, so newest-first needs no sort.
CREATE TABLE rec(
  id        INTEGER PRIMARY KEY,
  container INTEGER NOT NULL,
  dept      INTEGER NOT NULL,
  kind      INTEGER NOT NULL,
  class     INTEGER NOT NULL,
  author    INTEGER NOT NULL,
  ms        INTEGER NOT NULL,
  item      INTEGER NOT NULL,          -- blind name of kind, container and upstream id
  ver       INTEGER NOT NULL,          -- first 8 bytes of SHA-256 of what was received
  state     INTEGER NOT NULL,          -- bit 0 tombstone, bit 1 an attachment is missing, bit 2 describes its container
  seq       INTEGER NOT NULL,          -- commit that brought it
  idx       INTEGER NOT NULL,          -- its leaf in that commit
  until     INTEGER NOT NULL DEFAULT 0,-- commit that replaced it, 0 = current
  bytes     INTEGER NOT NULL,          -- of what was received and its attachments
  seg       INTEGER NOT NULL,
  off       INTEGER NOT NULL,
  len       INTEGER NOT NULL
);
CREATE INDEX rec_container ON rec(container, id);
CREATE INDEX rec_item      ON rec(item);
CREATE INDEX rec_seg       ON rec(seg, off);
CREATE VIRTUAL TABLE fts USING fts5(x, content='', contentless_delete=1, detail=none, tokenize='ascii');

CREATE TABLE seg(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- Names are sealed: this file holds no plaintext.
CREATE TABLE container(
  id      INTEGER PRIMARY KEY,
  key     BLOB    NOT NULL UNIQUE,
  kind    INTEGER NOT NULL,
  dept    INTEGER NOT NULL DEFAULT 0,
  private INTEGER NOT NULL DEFAULT 0,
  gone    INTEGER NOT NULL DEFAULT 0,  -- upstream no longer lists it
  n       INTEGER NOT NULL DEFAULT 0,  -- current versions
  last    INTEGER NOT NULL DEFAULT 0,  -- newest item, ms
  sealed  BLOB    NOT NULL
);
CREATE TABLE person(id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL);
CREATE TABLE dept(id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, sealed BLOB NOT NULL);
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL);

-- +goose Down
DROP TABLE meta; DROP TABLE dept; DROP TABLE person; DROP TABLE container; DROP TABLE seg; DROP TABLE fts; DROP TABLE rec;
