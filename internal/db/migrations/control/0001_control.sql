-- +goose Up
CREATE TABLE setting(name TEXT PRIMARY KEY, value BLOB NOT NULL, sealed INTEGER NOT NULL DEFAULT 0, at INTEGER NOT NULL);

CREATE TABLE account(
  id        INTEGER PRIMARY KEY,
  name      TEXT    NOT NULL UNIQUE COLLATE NOCASE,
  shown     TEXT    NOT NULL,
  role      TEXT    NOT NULL,
  password  TEXT    NOT NULL,          -- argon2id
  totp      BLOB    NOT NULL,          -- sealed
  step      INTEGER NOT NULL DEFAULT 0,-- last used TOTP step
  lang      TEXT    NOT NULL DEFAULT '',
  theme     TEXT    NOT NULL DEFAULT '',
  disabled  INTEGER NOT NULL DEFAULT 0,
  created   INTEGER NOT NULL
);
CREATE TABLE recovery_code(account INTEGER NOT NULL REFERENCES account(id), hash TEXT NOT NULL, used INTEGER NOT NULL DEFAULT 0);
CREATE TABLE session(
  hash     BLOB    PRIMARY KEY,
  account  INTEGER NOT NULL REFERENCES account(id),
  source   TEXT    NOT NULL,
  agent    TEXT    NOT NULL,
  created  INTEGER NOT NULL,
  seen     INTEGER NOT NULL,
  stepup   INTEGER NOT NULL DEFAULT 0, -- when a fresh code was last given
  purpose  TEXT    NOT NULL DEFAULT ''
);
CREATE TABLE attempt(key TEXT PRIMARY KEY, failures INTEGER NOT NULL, last INTEGER NOT NULL);

-- consent: a member's permission to read as him (route A). Tokens are sealed.
CREATE TABLE consent(
  person    TEXT    PRIMARY KEY,       -- userId
  union_id  TEXT    NOT NULL DEFAULT '',
  open_id   TEXT    NOT NULL DEFAULT '',
  tokens    BLOB    NOT NULL,
  state     TEXT    NOT NULL,          -- active, lapsed, revoked
  given     INTEGER NOT NULL,
  renewed   INTEGER NOT NULL
);

CREATE TABLE scope_dept(dept INTEGER NOT NULL, kind TEXT NOT NULL, included INTEGER NOT NULL, PRIMARY KEY(dept, kind));

CREATE TABLE run(
  id       INTEGER PRIMARY KEY,
  what     TEXT    NOT NULL,           -- full, incremental, event, verify, restore, export, fold
  state    TEXT    NOT NULL,           -- running, done, partial, failed, cancelled, interrupted
  started  INTEGER NOT NULL,
  ended    INTEGER NOT NULL DEFAULT 0,
  by       TEXT    NOT NULL,
  detail   BLOB    NOT NULL            -- JSON of counts per kind
);
CREATE TABLE gap(
  id        INTEGER PRIMARY KEY,
  kind      TEXT    NOT NULL,
  container TEXT    NOT NULL,
  item      TEXT    NOT NULL,
  reason    TEXT    NOT NULL,
  first     INTEGER NOT NULL,
  retry     INTEGER NOT NULL,
  tries     INTEGER NOT NULL DEFAULT 1,
  lost      INTEGER NOT NULL DEFAULT 0, -- can no longer be had
  UNIQUE(kind, container, item)
);
CREATE TABLE completeness(
  kind      TEXT    NOT NULL,
  container TEXT    NOT NULL,
  dept      INTEGER NOT NULL,
  listed    INTEGER NOT NULL,
  archived  INTEGER NOT NULL,
  at        INTEGER NOT NULL,
  PRIMARY KEY(kind, container)
);
CREATE TABLE day(day TEXT NOT NULL, kind TEXT NOT NULL, items INTEGER NOT NULL, bytes INTEGER NOT NULL, gaps INTEGER NOT NULL, failed INTEGER NOT NULL, PRIMARY KEY(day, kind));
CREATE TABLE quota(month TEXT PRIMARY KEY, used INTEGER NOT NULL);

-- +goose Down
DROP TABLE quota; DROP TABLE day; DROP TABLE completeness; DROP TABLE gap; DROP TABLE run; DROP TABLE scope_dept;
DROP TABLE consent; DROP TABLE attempt; DROP TABLE session; DROP TABLE recovery_code; DROP TABLE account; DROP TABLE setting;
