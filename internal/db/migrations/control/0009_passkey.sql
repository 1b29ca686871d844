-- +goose Up
-- passkey: a key on a device, for the name under which the console was open.
CREATE TABLE passkey(
  id         INTEGER PRIMARY KEY,
  account    INTEGER NOT NULL REFERENCES account(id),
  host       TEXT    NOT NULL,
  credential BLOB    NOT NULL UNIQUE,     -- its id, as the device names it
  data       BLOB    NOT NULL,            -- sealed: the public key, flags and counter
  name       TEXT    NOT NULL,
  created    INTEGER NOT NULL,
  used       INTEGER NOT NULL DEFAULT 0
);

-- +goose Down
DROP TABLE passkey;
