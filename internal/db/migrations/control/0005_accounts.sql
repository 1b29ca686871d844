-- +goose Up
ALTER TABLE account ADD COLUMN breakglass INTEGER NOT NULL DEFAULT 0; -- lies in an envelope: a code from paper at each login, no authenticator
ALTER TABLE account ADD COLUMN enrol INTEGER NOT NULL DEFAULT 0;      -- its second factor was reset: nobody signs in until it is enrolled anew
ALTER TABLE account ADD COLUMN last INTEGER NOT NULL DEFAULT 0;       -- last login
ALTER TABLE account ADD COLUMN created_by TEXT NOT NULL DEFAULT '';   -- '' = with the set-up code

CREATE UNIQUE INDEX recovery_code_hash ON recovery_code(account, hash);

-- invitation: a link that is good once. It makes an account, or enrols the second factor of one anew.
CREATE TABLE invitation(
  id       INTEGER PRIMARY KEY,
  hash     BLOB    NOT NULL UNIQUE,       -- SHA-256 of the token
  account  INTEGER NOT NULL DEFAULT 0,    -- 0 = a new one
  password INTEGER NOT NULL DEFAULT 1,    -- a new password is chosen; else the old one is asked
  name     TEXT    NOT NULL COLLATE NOCASE,
  shown    TEXT    NOT NULL,
  role     TEXT    NOT NULL,
  secret   BLOB    NOT NULL,              -- sealed: of the authenticator, as the page shows it
  by       TEXT    NOT NULL,
  created  INTEGER NOT NULL,
  until    INTEGER NOT NULL
);

-- device: a browser in which somebody signed in before. Its tries are counted apart, so that guesses from elsewhere keep nobody out.
CREATE TABLE device(
  hash    BLOB    NOT NULL,               -- SHA-256 of the cookie
  account INTEGER NOT NULL REFERENCES account(id),
  seen    INTEGER NOT NULL,
  PRIMARY KEY(hash, account)
);

-- breakglass_use: why the account in the envelope was used.
CREATE TABLE breakglass_use(
  id      INTEGER PRIMARY KEY,
  account INTEGER NOT NULL REFERENCES account(id),
  at      INTEGER NOT NULL,
  source  TEXT    NOT NULL,
  reason  BLOB    NOT NULL                -- sealed
);

-- Keys of tries held names as they were typed; they hold hashes now.
DELETE FROM attempt;
ALTER TABLE attempt ADD COLUMN told INTEGER NOT NULL DEFAULT 0; -- the log says that the waits have begun

-- +goose Down
ALTER TABLE attempt DROP COLUMN told;
DROP TABLE breakglass_use; DROP TABLE device; DROP TABLE invitation;
DROP INDEX recovery_code_hash;
ALTER TABLE account DROP COLUMN created_by; ALTER TABLE account DROP COLUMN last; ALTER TABLE account DROP COLUMN enrol; ALTER TABLE account DROP COLUMN breakglass;
