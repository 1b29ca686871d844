-- +goose Up
-- Where to look in the audit log. Derived from it and made anew at will. Who
-- and what are keyed hashes: this file holds no name.
CREATE TABLE entry(
  seq     INTEGER PRIMARY KEY,
  ms      INTEGER NOT NULL,   -- never goes back as seq goes on
  actor   INTEGER NOT NULL,
  op      INTEGER NOT NULL,
  object  INTEGER NOT NULL,
  outcome INTEGER NOT NULL    -- 0 = ok
);
CREATE INDEX entry_object  ON entry(object, seq);
CREATE INDEX entry_actor   ON entry(actor, seq);
CREATE INDEX entry_op      ON entry(op, seq);
CREATE INDEX entry_both    ON entry(actor, op, seq);
CREATE INDEX entry_outcome ON entry(outcome, seq) WHERE outcome<>0;
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL);

-- +goose Down
DROP TABLE meta; DROP TABLE entry;
