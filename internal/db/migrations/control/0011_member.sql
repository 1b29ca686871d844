-- +goose Up
-- member_session: a browser in which a member of the company reads what is his own. Who he is, is sealed.
CREATE TABLE member_session(
  hash    BLOB PRIMARY KEY,
  person  BLOB    NOT NULL,
  created INTEGER NOT NULL,
  seen    INTEGER NOT NULL
);
-- member_take: files that members got back in the last day, by how the log names them.
CREATE TABLE member_take(who TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX member_take_who ON member_take(who, at);
-- link: the person in DingTalk who may stand in for an account's password. Who he is, is sealed; person is a hash of his key.
CREATE TABLE link(
  account INTEGER PRIMARY KEY REFERENCES account(id),
  person  TEXT    NOT NULL UNIQUE,
  sealed  BLOB    NOT NULL,
  created INTEGER NOT NULL
);

-- +goose Down
DROP TABLE link; DROP TABLE member_take; DROP TABLE member_session;
