-- +goose Up
-- What an entry is about: its object, and department, person, record,
-- container and session beside it. The entries are taken in anew.
DELETE FROM entry;
DROP INDEX entry_object;
ALTER TABLE entry DROP COLUMN object;
ALTER TABLE entry ADD COLUMN purpose INTEGER NOT NULL DEFAULT 0; -- 0 = none
CREATE INDEX entry_purpose ON entry(purpose, seq) WHERE purpose<>0;
CREATE TABLE entry_ref(
  ref INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY(ref, seq)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE entry_ref; DROP INDEX entry_purpose;
ALTER TABLE entry DROP COLUMN purpose; ALTER TABLE entry ADD COLUMN object INTEGER NOT NULL DEFAULT 0;
CREATE INDEX entry_object ON entry(object, seq);
