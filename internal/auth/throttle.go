package auth

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"farol/internal/db"
)

// rule is how fast a lane of tries may go.
//
// # Design
//
// The throttle slows guesses down and keeps nobody out. Every try is counted before
// anything is compared, so that tries made at once do not slip past the count;
// a right answer takes its count back. A try runs in lanes:
//
//   - (account, source): five are free, then the waits double up to a quarter
//     of an hour.
//   - account over all sources: fifty are free, then one a minute. Guessers
//     with a thousand addresses get no further than that.
//   - source over all accounts: a hundred are free, then one in ten seconds, so
//     that made-up names fill neither the table nor the audit log.
//   - a browser in which the account signed in before has a lane of its own
//     instead of these two: whoever guesses from elsewhere does not hold its
//     owner up.
//   - step-up, and whatever else asks for the password or a code inside a
//     session: as (account, source), per account.
//
// Together a million tries take more than a year, see
// TestAMillionCodesTakeMoreThanAYear.
type rule struct {
	free        int           // tries before the waits begin
	first, most time.Duration // the first wait, and the longest
	drain       time.Duration // one try is forgotten after so long, 0 = never
}

var (
	alone   = rule{free: 5, first: 2 * time.Second, most: 15 * time.Minute}
	overall = rule{free: 50, first: time.Minute, most: time.Minute, drain: time.Minute}
	from    = rule{free: 100, first: 10 * time.Second, most: 10 * time.Second, drain: 10 * time.Second}
	linked  = rule{free: 20, first: 10 * time.Second, most: 10 * time.Second, drain: 10 * time.Second} // invitation links, per source
)

// tries is what is kept of a lane.
type tries struct {
	n    int
	last time.Time
	told bool
}

// count is how many tries still count.
func (r rule) count(t tries, now time.Time) int {
	gone := now.Sub(t.last)
	if r.drain == 0 || gone <= 0 {
		return t.n
	}
	return max(0, t.n-int(min(gone/r.drain, 1<<30)))
}

// left is how long the next try has to wait.
func (r rule) left(t tries, now time.Time) time.Duration {
	n := r.count(t, now)
	if n < r.free {
		return 0
	}
	wait := min(r.first<<min(n-r.free, 20), r.most)
	if left := wait - now.Sub(t.last); left > 0 && left <= 2*wait { // beyond: it was written under a wrong clock
		return left
	}
	return 0
}

// lane is a rule with the key under which its tries are kept.
type lane struct {
	rule
	key string
}

// nameKey stands for an account name in a key. What was typed as a name may be
// a password, so it is not kept.
func nameKey(name string) string {
	h := sha256.Sum256([]byte("farol attempt " + strings.ToLower(name)))
	return hex.EncodeToString(h[:12])
}

// A lane that nobody used for so long starts anew: few tries are forgotten
// sooner, so that made-up names do not fill the table.
const (
	keptTries = 30 * 24 * time.Hour
	keptFew   = 24 * time.Hour
)

// charge counts a try in every lane, or returns [*Slow] and counts nothing.
// began reports that the waits begin with this try.
func (a *Accounts) charge(ctx context.Context, lanes ...lane) (began bool, err error) {
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		now := a.now()
		if _, err := tx.ExecContext(ctx, "DELETE FROM attempt WHERE last<? OR last<? AND failures<?", now.Add(-keptTries).UnixMilli(), now.Add(-keptFew).UnixMilli(), alone.free); err != nil {
			return err
		}
		kept := make([]tries, len(lanes))
		var wait time.Duration
		for i, l := range lanes {
			var last int64
			err := tx.QueryRowContext(ctx, "SELECT failures, last, told FROM attempt WHERE key=?", l.key).Scan(&kept[i].n, &last, &kept[i].told)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			kept[i].last = time.UnixMilli(last)
			wait = max(wait, l.left(kept[i], now))
		}
		if wait > 0 {
			return &Slow{wait}
		}
		for i, l := range lanes {
			n := l.count(kept[i], now)
			told := kept[i].told && n > 0
			if n+1 >= l.free && !told {
				began, told = true, true
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO attempt(key,failures,last,told) VALUES(?,?,?,?)
				ON CONFLICT(key) DO UPDATE SET failures=excluded.failures, last=excluded.last, told=excluded.told`, l.key, n+1, now.UnixMilli(), told); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("count a try: %w", err)
	}
	return began, nil
}

// refund takes back the count of a try that was right. A lane of one source
// starts anew; the one of all sources does not, for the others go on guessing.
func refund(ctx context.Context, tx *db.Tx, lanes []lane) error {
	for _, l := range lanes {
		q := "DELETE FROM attempt WHERE key=?"
		if l.drain > 0 {
			q = "UPDATE attempt SET failures=max(0,failures-1) WHERE key=?"
		}
		if _, err := tx.ExecContext(ctx, q, l.key); err != nil {
			return fmt.Errorf("take a count back: %w", err)
		}
	}
	return nil
}

// uncharge takes back the count of a try that was not looked at.
func (a *Accounts) uncharge(ctx context.Context, lanes []lane) error {
	return a.db.Update(ctx, func(tx *db.Tx) error {
		for _, l := range lanes {
			if _, err := tx.ExecContext(ctx, "UPDATE attempt SET failures=max(0,failures-1) WHERE key=?", l.key); err != nil {
				return fmt.Errorf("take a count back: %w", err)
			}
		}
		return nil
	})
}

// insideLane is for the password and the codes that a session asks for.
func insideLane(name string) lane { return lane{alone, "inside:" + nameKey(name) + ":"} }

// lanesOf are the lanes of a login.
func (a *Accounts) lanesOf(ctx context.Context, name string, t Try) ([]lane, error) {
	who := nameKey(name)
	known := 0
	if t.Device != "" {
		err := a.db.View(ctx, func(tx *db.Tx) error {
			return tx.QueryRowContext(ctx, "SELECT count(*) FROM device d JOIN account a ON a.id=d.account WHERE d.hash=? AND a.name=?", tokenHash(t.Device), name).Scan(&known)
		})
		if err != nil {
			return nil, fmt.Errorf("look for the browser: %w", err)
		}
	}
	if known > 0 {
		return []lane{{alone, "device:" + who + ":" + hex.EncodeToString(tokenHash(t.Device))}}, nil
	}
	return []lane{{alone, "source:" + who + ":" + t.Source}, {overall, "overall:" + who + ":"}, {from, "from:" + t.Source}}, nil
}

// Unlock forgets the tries of an account, or of everybody for "". entry is
// written with it or nothing is done.
func (a *Accounts) Unlock(ctx context.Context, name string, entry func() error) (int64, error) {
	var n int64
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		q, args := "DELETE FROM attempt", []any{}
		if name != "" {
			var one int
			if err := tx.QueryRowContext(ctx, "SELECT 1 FROM account WHERE name=?", name).Scan(&one); errors.Is(err, sql.ErrNoRows) {
				return ErrUnknown
			} else if err != nil {
				return err
			}
			q, args = q+" WHERE key LIKE ?", []any{"%:" + nameKey(name) + ":%"}
		}
		res, err := tx.ExecContext(ctx, q, args...)
		if err != nil {
			return err
		}
		if n, err = res.RowsAffected(); err != nil {
			return err
		}
		return entry()
	})
	if err != nil {
		return 0, fmt.Errorf("forget tries: %w", err)
	}
	return n, nil
}
