-- +goose Up
-- log_head: checkpoints of the audit log as they were signed, kept away from its
-- files: a log that is deleted, cut or rolled back no longer extends them.
CREATE TABLE log_head(
  origin TEXT    NOT NULL,
  size   INTEGER NOT NULL,
  note   BLOB    NOT NULL,               -- the signed checkpoint
  day    TEXT    NOT NULL,               -- UTC
  PRIMARY KEY(origin, size)
);

-- +goose Down
DROP TABLE log_head;
