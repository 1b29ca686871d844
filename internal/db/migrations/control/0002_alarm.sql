-- +goose Up
-- alarm: something unusual that a person has to look at. Places are counted, never named: container is the catalog's blind id.
CREATE TABLE alarm(
  id         INTEGER PRIMARY KEY,
  cause      TEXT    NOT NULL,           -- deletion, change, noise, silence, shrink, damage, missing
  kind       TEXT    NOT NULL,           -- '' when it is of no one kind
  opened     INTEGER NOT NULL,
  updated    INTEGER NOT NULL,
  began      INTEGER NOT NULL,           -- when what it tells of began, as far as is known
  began_seq  INTEGER NOT NULL,           -- first commit that belongs to it, 0 = none
  good_seq   INTEGER NOT NULL,           -- last commit before
  point      TEXT    NOT NULL DEFAULT '',-- latest restore point up to good_seq, '' = none was folded yet
  point_seq  INTEGER NOT NULL DEFAULT 0,
  point_time INTEGER NOT NULL DEFAULT 0,
  closed     INTEGER NOT NULL DEFAULT 0, -- when a person acknowledged it
  closed_by  TEXT    NOT NULL DEFAULT '',
  note       BLOB    NOT NULL DEFAULT x''-- sealed
);
CREATE UNIQUE INDEX alarm_open ON alarm(cause, kind) WHERE closed=0;
CREATE TABLE alarm_place(
  alarm     INTEGER NOT NULL REFERENCES alarm(id),
  dept      INTEGER NOT NULL,
  container INTEGER NOT NULL,            -- 0 = the department as a whole
  day       TEXT    NOT NULL,
  seen      INTEGER NOT NULL,
  usual     INTEGER NOT NULL,
  held      INTEGER NOT NULL,
  PRIMARY KEY(alarm, dept, container, day)
);

-- watch_day: what a day in Macau destroyed or changed in a container. ok_* were looked at by a person already.
CREATE TABLE watch_day(
  day         TEXT    NOT NULL,
  kind        TEXT    NOT NULL,
  container   INTEGER NOT NULL,
  dept        INTEGER NOT NULL,
  deleted     INTEGER NOT NULL DEFAULT 0,
  changed     INTEGER NOT NULL DEFAULT 0,
  noise       INTEGER NOT NULL DEFAULT 0,
  notes       INTEGER NOT NULL DEFAULT 0,
  ok_deleted  INTEGER NOT NULL DEFAULT 0,
  ok_changed  INTEGER NOT NULL DEFAULT 0,
  ok_noise    INTEGER NOT NULL DEFAULT 0,
  ok_notes    INTEGER NOT NULL DEFAULT 0,
  seq_deleted INTEGER NOT NULL DEFAULT 0, -- first commit of the day that nobody has looked at
  seq_changed INTEGER NOT NULL DEFAULT 0,
  seq_noise   INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY(day, kind, container)
);
-- watch_mark: what the last whole listing of a kind showed.
CREATE TABLE watch_mark(
  kind   TEXT    PRIMARY KEY,
  listed INTEGER NOT NULL,
  held   INTEGER NOT NULL,
  scope  TEXT    NOT NULL,               -- hash of the chosen scope: figures of another scope are not compared
  seq    INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  first  INTEGER NOT NULL                -- when the kind was first listed whole
);

-- verify_run: one reading-back of what is held. cursor is where an unfinished one goes on.
CREATE TABLE verify_run(
  id       INTEGER PRIMARY KEY,
  what     TEXT    NOT NULL,             -- sample, all
  state    TEXT    NOT NULL,             -- running, waiting, done, failed
  by       TEXT    NOT NULL,
  started  INTEGER NOT NULL,
  ended    INTEGER NOT NULL DEFAULT 0,
  took     INTEGER NOT NULL DEFAULT 0,   -- ms at work, over all nights
  records  INTEGER NOT NULL DEFAULT 0,
  files    INTEGER NOT NULL DEFAULT 0,
  bytes    INTEGER NOT NULL DEFAULT 0,
  bad      INTEGER NOT NULL DEFAULT 0,
  healed   INTEGER NOT NULL DEFAULT 0,
  listed   INTEGER NOT NULL DEFAULT 0,   -- items of a fresh listing that were compared
  missing  INTEGER NOT NULL DEFAULT 0,   -- of these, not held
  cursor   TEXT    NOT NULL DEFAULT ''
);
CREATE TABLE verify_part(
  run     INTEGER NOT NULL REFERENCES verify_run(id),
  kind    TEXT    NOT NULL,
  dept    INTEGER NOT NULL,
  records INTEGER NOT NULL,
  files   INTEGER NOT NULL,
  bytes   INTEGER NOT NULL,
  bad     INTEGER NOT NULL,
  root    TEXT    NOT NULL,              -- RFC 6962 root over the leaves of the records read
  PRIMARY KEY(run, kind, dept)
);

-- +goose Down
DROP TABLE verify_part; DROP TABLE verify_run; DROP TABLE watch_mark; DROP TABLE watch_day; DROP TABLE alarm_place; DROP TABLE alarm;
