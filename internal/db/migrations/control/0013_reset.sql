-- +goose Up
-- A link that sets a new password and leaves the second factor as it is: that is asked.
ALTER TABLE invitation ADD COLUMN keep INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE invitation DROP COLUMN keep;
