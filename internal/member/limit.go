package member

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"time"

	"farol/internal/db"
)

// rate is how often something may be done in any stretch of a length.
type rate struct {
	n   int
	per time.Duration
}

// What a member may do, and what a network address may begin. The short ones
// are kept in memory and start anew with the appliance; the downloads of a day
// are kept in the database.
var (
	views     = rate{60, time.Minute}
	searches  = rate{30, time.Minute}
	signIns   = rate{60, 10 * time.Minute} // a whole office may share an address
	downloads = rate{200, 24 * time.Hour}
)

// Slow is [ErrSlow] with when to try again.
type Slow struct {
	Wait  time.Duration
	Until time.Time
	First bool // he was not told so yet in the length of the rate
}

func (e *Slow) Error() string { return fmt.Sprintf("%v: wait %s", ErrSlow, e.Wait) }

// Unwrap is [ErrSlow].
func (*Slow) Unwrap() error { return ErrSlow }

// View counts a page with content, or returns [*Slow].
func (m *Members) View(p *Person) error { return m.take("view:"+p.UserID, views) }

// Search counts a search, or returns [*Slow].
func (m *Members) Search(p *Person) error { return m.take("search:"+p.UserID, searches) }

// manyKeys is when keys that are no longer needed are dropped.
const manyKeys = 1000

func (m *Members) take(key string, r rate) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.d.Now()
	if len(m.recent) > manyKeys {
		for k, at := range m.recent {
			if now.Sub(at[len(at)-1]) > signIns.per {
				delete(m.recent, k)
			}
		}
		maps.DeleteFunc(m.told, func(_ string, until time.Time) bool { return now.After(until) })
	}
	at := m.recent[key]
	for len(at) > 0 && now.Sub(at[0]) >= r.per {
		at = at[1:]
	}
	if len(at) >= r.n {
		m.recent[key] = at
		return m.slow(key, at[0], now, r)
	}
	m.recent[key] = append(at, now)
	return nil
}

// slow is called under mu.
func (m *Members) slow(key string, oldest, now time.Time, r rate) *Slow {
	until := oldest.Add(r.per)
	s := &Slow{max(until.Sub(now), time.Second), until, !now.Before(m.told[key])}
	if s.First {
		m.told[key] = now.Add(r.per)
	}
	return s
}

// Download counts a file that a member gets back, or returns [*Slow].
func (m *Members) Download(ctx context.Context, p *Person) error {
	now, who := m.d.Now(), p.Ref()
	var first time.Time
	err := m.d.Control.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM member_take WHERE at<=?", now.Add(-downloads.per).UnixMilli()); err != nil {
			return err
		}
		var n int
		var oldest sql.NullInt64
		if err := tx.QueryRowContext(ctx, "SELECT count(*), min(at) FROM member_take WHERE who=?", who).Scan(&n, &oldest); err != nil {
			return err
		}
		if n >= downloads.n {
			first = time.UnixMilli(oldest.Int64)
			return errLate
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO member_take(who, at) VALUES(?,?)", who, now.UnixMilli())
		return err
	})
	if errors.Is(err, errLate) {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.slow("download:"+p.UserID, first, now, downloads)
	}
	if err != nil {
		return fmt.Errorf("count a download: %w", err)
	}
	return nil
}

var errLate = errors.New("the day's downloads are used up")
