-- +goose Up
-- kit: one splitting of the root key; the newest counts. No share is kept, only what tells each apart.
CREATE TABLE kit(
  id     INTEGER PRIMARY KEY,
  n      INTEGER NOT NULL,
  k      INTEGER NOT NULL,
  made   INTEGER NOT NULL,             -- when enough shares were typed back from paper
  by     TEXT    NOT NULL,
  tried  INTEGER NOT NULL DEFAULT 0    -- last rehearsal
);
CREATE TABLE kit_share(
  kit    INTEGER NOT NULL REFERENCES kit(id),
  number INTEGER NOT NULL,
  mark   BLOB    NOT NULL,             -- its four words, sealed
  keeper BLOB    NOT NULL,             -- who keeps it and where, sealed
  seen   INTEGER NOT NULL,             -- when it was last shown to be there
  lost   INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(kit, number)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE kit_share;
DROP TABLE kit;
