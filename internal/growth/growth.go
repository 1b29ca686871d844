// Package growth keeps what the archive weighed each day and says when its
// disk is full at that pace.
//
// It promises never to say more than was measured: nothing before a week of
// days, no date further away than twenty times the days it looked at, and no
// date at all for an archive that does not grow.
//
// # Design
//
// The pace is the median of the slopes between every two days (Theil and Sen).
// A first backup, a fold or a compaction is one jump; it moves a mean and a
// least-squares line by years, the median hardly at all.
package growth

import (
	"context"
	"fmt"
	"slices"
	"time"

	"farol/internal/db"
	"farol/internal/record"
)

// Day is what the archive weighed at the end of a day in Macau.
type Day struct {
	Day   time.Time // midnight
	Bytes int64
}

// Window is how many days a pace is taken from at most.
const Window = 180

// Note keeps the weight of today.
func Note(ctx context.Context, d *db.DB, now time.Time, bytes int64) error {
	err := d.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO growth(day,bytes) VALUES(?,?) ON CONFLICT(day) DO UPDATE SET bytes=excluded.bytes", now.In(record.Macau).Format(time.DateOnly), bytes)
		return err
	})
	if err != nil {
		return fmt.Errorf("note the archive's weight: %w", err)
	}
	return nil
}

// Days lists the last days of the window, oldest first.
func Days(ctx context.Context, d *db.DB, now time.Time) ([]Day, error) {
	var out []Day
	err := d.View(ctx, func(tx *db.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT day, bytes FROM growth WHERE day>? AND day<=? ORDER BY day", now.In(record.Macau).AddDate(0, 0, -Window).Format(time.DateOnly), now.In(record.Macau).Format(time.DateOnly))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var day string
			var x Day
			if err := rows.Scan(&day, &x.Bytes); err != nil {
				return err
			}
			if x.Day, err = time.ParseInLocation(time.DateOnly, day, record.Macau); err != nil {
				return err
			}
			out = append(out, x)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("read the archive's weights: %w", err)
	}
	return out, nil
}

// What an outlook can say.
const (
	TooEarly = "early" // fewer than LeastDays
	Never    = "never" // it does not grow
	Full     = "full"  // the reserve is reached now
	Until    = "until" // in about Left
	Beyond   = "beyond"
)

// LeastDays is before which nothing is said.
const LeastDays = 7

// reach is how many times the days looked at an outlook may go ahead.
const reach = 20

// Outlook is when the disk is full.
type Outlook struct {
	State  string
	Left   time.Duration // Until: about; Beyond: not within
	PerDay int64         // bytes
	Days   int           // from the first measure to the last
}

const day = 24 * time.Hour

// After is how many bytes more there are after so long at the same pace. It
// reports false where the measures say nothing of a time so far away.
func (o Outlook) After(d time.Duration) (bytes int64, ok bool) {
	if o.PerDay <= 0 || d > time.Duration(reach*o.Days)*day {
		return 0, false
	}
	return int64(float64(o.PerDay) * (float64(d) / float64(day))), true
}

// Look says when room bytes are used up at the pace of days, oldest first.
// room is what is free without the reserve.
func Look(days []Day, room int64) Outlook {
	var o Outlook
	if len(days) > 0 {
		o.Days = int(days[len(days)-1].Day.Sub(days[0].Day)/day) + 1
	}
	switch {
	case room <= 0:
		o.State = Full
		return o
	case len(days) < LeastDays || o.Days < LeastDays:
		o.State = TooEarly
		return o
	}
	pace := median(days)
	o.PerDay = int64(pace)
	most := time.Duration(reach*o.Days) * day
	switch left := float64(room) / pace; {
	case o.PerDay <= 0:
		o.State = Never
	case left > float64(reach*o.Days):
		o.State, o.Left = Beyond, most
	default:
		o.State, o.Left = Until, time.Duration(left*float64(day))
	}
	return o
}

// median is the middle slope between every two days, in bytes a day.
func median(days []Day) float64 {
	var slopes []float64
	for i, a := range days {
		for _, b := range days[i+1:] {
			if d := b.Day.Sub(a.Day).Hours() / 24; d > 0 {
				slopes = append(slopes, float64(b.Bytes-a.Bytes)/d)
			}
		}
	}
	if len(slopes) == 0 {
		return 0
	}
	slices.Sort(slopes)
	n := len(slopes)
	return (slopes[(n-1)/2] + slopes[n/2]) / 2
}
