-- +goose Up
-- An alarm about the log or about what is refused says whose word it is: 'node' is the off-site node, 'witness' the second
-- witness, '' is this appliance's own finding. Each has an alarm of its own.
ALTER TABLE alarm ADD COLUMN witness TEXT NOT NULL DEFAULT '';
DROP INDEX alarm_open;
CREATE UNIQUE INDEX alarm_open ON alarm(cause, kind, witness) WHERE closed=0;

-- +goose Down
-- One open alarm of a cause and kind is left, the first; of the others the log has its entries.
DROP INDEX alarm_open;
CREATE TEMP TABLE later AS SELECT id FROM alarm AS a WHERE closed=0 AND EXISTS(SELECT 1 FROM alarm AS b WHERE b.cause=a.cause AND b.kind=a.kind AND b.closed=0 AND b.id<a.id);
DELETE FROM alarm_place WHERE alarm IN (SELECT id FROM later);
DELETE FROM alarm WHERE id IN (SELECT id FROM later);
DROP TABLE later;
CREATE UNIQUE INDEX alarm_open ON alarm(cause, kind) WHERE closed=0;
ALTER TABLE alarm DROP COLUMN witness;
