-- +goose Up
-- An alarm about the log or about what is refused says whose word it is: 'node' is the off-site node, 'witness' the second
-- witness, '' is this appliance's own finding. Each has an alarm of its own.
ALTER TABLE alarm ADD COLUMN witness TEXT NOT NULL DEFAULT '';
DROP INDEX alarm_open;
CREATE UNIQUE INDEX alarm_open ON alarm(cause, kind, witness) WHERE closed=0;

-- +goose Down
DROP INDEX alarm_open;
UPDATE alarm SET closed=updated WHERE closed=0 AND witness<>'' AND EXISTS(SELECT 1 FROM alarm AS b WHERE b.cause=alarm.cause AND b.kind=alarm.kind AND b.closed=0 AND b.id<alarm.id);
CREATE UNIQUE INDEX alarm_open ON alarm(cause, kind) WHERE closed=0;
ALTER TABLE alarm DROP COLUMN witness;
