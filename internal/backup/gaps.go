package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"farol/internal/db"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

// Gap is something DingTalk listed that the archive does not hold whole.
type Gap struct {
	Kind      record.Kind
	Container string
	Item      string // upstream id, with "#" and the attachment's key
	Reason    string // a reason of this file
	First     time.Time
	Retry     time.Time
	Tries     int
	Lost      bool // can no longer be had
}

// Reasons for a gap, message ids "gap.<reason>" in the catalogs.
const (
	ReasonOnline     = "online"     // online document, no file to download
	ReasonGone       = "gone"       // upstream deleted it before it could be fetched
	ReasonPermission = "permission" // the app may not
	ReasonConsent    = "consent"    // no member's consent works
	ReasonCold       = "cold"       // being brought back from cold storage
	ReasonTransfer   = "transfer"   // the transfer failed
	ReasonLength     = "length"     // other length than listed
	ReasonShape      = "shape"      // an answer of unknown shape
)

func reason(err error) (why string, lost bool) {
	switch {
	case errors.Is(err, dingtalk.ErrUnavailable):
		return ReasonOnline, true
	case errors.Is(err, dingtalk.ErrNotFound):
		return ReasonGone, true
	case errors.Is(err, dingtalk.ErrPermission):
		return ReasonPermission, false
	case errors.Is(err, dingtalk.ErrConsent), errors.Is(err, dingtalk.ErrNotEnabled):
		return ReasonConsent, false
	case errors.Is(err, dingtalk.ErrThawing):
		return ReasonCold, false
	case errors.Is(err, errShort):
		return ReasonLength, false
	case strings.Contains(err.Error(), "unknown shape"):
		return ReasonShape, false
	}
	return ReasonTransfer, false
}

// gap opens or renews a gap. Retries grow from ten minutes to a day.
func (e *Engine) gap(ctx context.Context, kind record.Kind, container, item string, cause error) error {
	why, lost := reason(cause)
	err := e.d.Control.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO gap(kind,container,item,reason,first,retry,lost) VALUES(?,?,?,?,?,?,?)
			ON CONFLICT(kind,container,item) DO UPDATE SET reason=excluded.reason, lost=excluded.lost, tries=tries+1,
			retry=? + min(86400000, 600000 * (1 << min(tries, 8)))`,
			string(kind), container, item, why, tx.Now.UnixMilli(), tx.Now.Add(10*time.Minute).UnixMilli(), lost, tx.Now.UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("note a gap: %w", err)
	}
	return nil
}

func (e *Engine) closeGap(ctx context.Context, kind record.Kind, container, item string) error {
	return e.d.Control.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM gap WHERE kind=? AND container=? AND item=?", string(kind), container, item)
		return err
	})
}

// Gaps lists open gaps, oldest first.
func (e *Engine) Gaps(ctx context.Context, limit int) ([]Gap, error) {
	return e.gaps(ctx, "SELECT kind,container,item,reason,first,retry,tries,lost FROM gap ORDER BY lost, first LIMIT ?", limit)
}

// longestRetry is further ahead than a try is ever put off: what lies beyond
// was put off under a wrong clock.
const longestRetry = 48 * time.Hour

func (e *Engine) dueGaps(ctx context.Context, limit int) ([]Gap, error) {
	return e.gaps(ctx, "SELECT kind,container,item,reason,first,retry,tries,lost FROM gap WHERE lost=0 AND (retry<=? OR retry>?) ORDER BY retry LIMIT ?", e.d.Now().UnixMilli(), e.d.Now().Add(longestRetry).UnixMilli(), limit)
}

func (e *Engine) gaps(ctx context.Context, q string, args ...any) ([]Gap, error) {
	var out []Gap
	err := e.d.Control.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, q, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var g Gap
			var first, retry int64
			if err := rows.Scan(&g.Kind, &g.Container, &g.Item, &g.Reason, &first, &retry, &g.Tries, &g.Lost); err != nil {
				return err
			}
			g.First, g.Retry = time.UnixMilli(first), time.UnixMilli(retry)
			out = append(out, g)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("list gaps: %w", err)
	}
	return out, nil
}
