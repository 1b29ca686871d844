-- +goose Up
-- Which root key a kit's shares give: a word that says nothing about the key.
ALTER TABLE kit ADD COLUMN root TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE kit DROP COLUMN root;
