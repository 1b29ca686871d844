package auth

import (
	"context"
	"fmt"
	"time"

	"farol/internal/db"
)

// Sessions lists the live sessions of an account, the newest use first.
func (a *Accounts) Sessions(ctx context.Context, account int64) ([]Session, error) {
	var out []Session
	now := a.now()
	err := a.db.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT lower(hex(substr(hash,1,4))),created,seen,source,agent FROM session WHERE account=? AND seen>? AND created>? ORDER BY seen DESC",
			account, now.Add(-Idle).UnixMilli(), now.Add(-Absolute).UnixMilli())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s Session
			var created, seen int64
			if err := rows.Scan(&s.ID, &created, &seen, &s.Source, &s.Agent); err != nil {
				return err
			}
			s.Created, s.Seen = time.UnixMilli(created), time.UnixMilli(seen)
			out = append(out, s)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return out, nil
}

// Live counts the sessions that are signed in now, of all accounts.
func (a *Accounts) Live(ctx context.Context) (n int64, err error) {
	now := a.now()
	err = a.db.View(ctx, func(tx *db.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM session WHERE seen>? AND created>?", now.Add(-Idle).UnixMilli(), now.Add(-Absolute).UnixMilli()).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count sessions: %w", err)
	}
	return n, nil
}

// End ends a session of an account by its short name.
func (a *Accounts) End(ctx context.Context, account int64, id string) error {
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM session WHERE account=? AND lower(hex(substr(hash,1,4)))=?", account, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// EndAll signs everybody out.
func (a *Accounts) EndAll(ctx context.Context) error {
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM session")
		return err
	})
	if err != nil {
		return fmt.Errorf("end every session: %w", err)
	}
	return nil
}
