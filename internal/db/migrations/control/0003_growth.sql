-- +goose Up
-- What the archive weighed, once a day: the last measure of the day stays.
CREATE TABLE growth(day TEXT PRIMARY KEY, bytes INTEGER NOT NULL);

-- +goose Down
DROP TABLE growth;
