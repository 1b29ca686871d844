-- +goose Up
-- What somebody wrote himself, newest first: the row id ends every entry.
CREATE INDEX rec_author ON rec(author);

-- +goose Down
DROP INDEX rec_author;
