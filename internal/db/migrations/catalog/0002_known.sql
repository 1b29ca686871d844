-- +goose Up
-- What every listing asks (is this held, as it is?) is answered by the index
-- alone: one page of a large file in place of two.
DROP INDEX IF EXISTS rec_item;
CREATE INDEX rec_item ON rec(item, until, ver, state);

-- +goose Down
DROP INDEX rec_item;
CREATE INDEX rec_item ON rec(item);
