package appliance

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/audit"
	"farol/internal/db"
)

// Checkpoints of the audit log are kept in the control database, away from the
// log's files, and go into the archive and off-site with it. The log must extend
// each of them, at every start and every hour: also without a node, a log that
// was deleted, cut or set back is noticed.

// headsKept is how many of the newest checkpoints stay; of those before, one a
// day.
const headsKept = 100

// logHeads are the checkpoints that the log must extend: those kept here, and the
// last one that each witness signed too.
func (a *Appliance) logHeads(ctx context.Context, v note.Verifier) (heads []tlog.Tree, err error) {
	err = a.control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT note FROM log_head WHERE origin=? ORDER BY size", v.Name())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var signed []byte
			if err := rows.Scan(&signed); err != nil {
				return err
			}
			if t, err := audit.OpenCheckpoint(signed, v); err == nil { // else not ours: it says nothing
				heads = append(heads, t)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read the kept checkpoints of the log: %w", err)
	}
	for _, w := range audit.Witnesses {
		t, err := audit.CosignedTree(a.logDir(), w, v)
		if err != nil {
			return nil, err
		}
		if t.N > 0 {
			heads = append(heads, t)
		}
	}
	return heads, nil
}

// signedFor is the witness whose newest checkpoint in dir a log that has only so
// many entries as were signed misses, "" when none signed that far: the one that
// remembers most of what differs. Of two that signed the same the node is named.
func signedFor(dir string, v note.Verifier, from int64) (by audit.Witness) {
	var most int64
	for _, w := range audit.Witnesses {
		if t, err := audit.CosignedTree(dir, w, v); err == nil && t.N > max(from, most) {
			by, most = w, t.N
		}
	}
	return by
}

// keepHead keeps the newest checkpoint when the log has grown since the last.
func (a *Appliance) keepHead(ctx context.Context) error {
	signed := a.audit.Checkpoint()
	if signed == nil {
		return nil
	}
	t, err := audit.OpenCheckpoint(signed, a.logVerify)
	if err != nil {
		return fmt.Errorf("keep a checkpoint of the log: %w", err)
	}
	if t.N == a.headSize {
		return nil
	}
	err = a.control.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO log_head(origin, size, note, day) VALUES(?,?,?,?) ON CONFLICT DO NOTHING", a.logVerify.Name(), t.N, signed, tx.Now.UTC().Format(time.DateOnly)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM log_head AS h WHERE origin=?1
			AND size < (SELECT size FROM log_head WHERE origin=?1 ORDER BY size DESC LIMIT 1 OFFSET ?2)
			AND EXISTS(SELECT 1 FROM log_head WHERE origin=?1 AND day=h.day AND size>h.size)`, a.logVerify.Name(), headsKept)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep a checkpoint of the log: %w", err)
	}
	a.headSize = t.N
	return nil
}

// dropHeads forgets what reaches beyond a log that came back from another place:
// the copy of the control database travels ahead of the log.
func (a *Appliance) dropHeads(ctx context.Context, beyond int64) error {
	err := a.control.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM log_head WHERE size>?", beyond)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget checkpoints: %w", err)
	}
	return nil
}
