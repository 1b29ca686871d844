package appliance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/retention"
	"farol/internal/web"
)

// Points lists the points in time that can be gone back to, newest first.
func (a *Appliance) Points(ctx context.Context) ([]web.Point, error) {
	ps, err := a.archive.Points(ctx)
	if err != nil {
		return nil, err
	}
	var out []web.Point
	for i := len(ps) - 1; i >= 0; i-- {
		out = append(out, pointRow(&ps[i]))
	}
	return out, nil
}

func pointRow(p *archive.Point) web.Point {
	return web.Point{ID: p.ID, Seq: p.Seq, Time: p.Time, Records: p.Records, Bytes: p.Bytes, Held: p.Held()}
}

// Retention tells the rules that hold and whether an alarm stops them.
func (a *Appliance) Retention(ctx context.Context) (web.Retention, error) {
	text, err := a.settings.Get(ctx, retentionRules)
	if err != nil {
		return web.Retention{}, err
	}
	r, err := retention.ParseRules(text)
	if err != nil {
		return web.Retention{}, err
	}
	stopped, err := a.sweep().Alarmed(ctx)
	return web.Retention{Rules: web.Rules(r), Stopped: stopped}, err
}

// PlanPoints says what rules would do now, newest first. Nothing is changed.
func (a *Appliance) PlanPoints(ctx context.Context, rules web.Rules) ([]web.Verdict, error) {
	r := retention.Rules(rules)
	if err := r.Validate(); err != nil {
		return nil, &i18n.Error{ID: "points.rules.bad"}
	}
	ps, err := a.archive.Points(ctx)
	if err != nil {
		return nil, err
	}
	keep, drop := retention.Plan(ps, r, time.Now())
	goes := make(map[string]retention.Verdict, len(drop))
	for _, v := range drop {
		goes[v.ID] = v
	}
	stays := make(map[string]retention.Verdict, len(keep))
	for _, v := range keep {
		stays[v.ID] = v
	}
	var out []web.Verdict
	for i := len(ps) - 1; i >= 0; i-- {
		v, drop := goes[ps[i].ID]
		if !drop {
			v = stays[ps[i].ID]
		}
		out = append(out, web.Verdict{Point: pointRow(&ps[i]), Why: string(v.Why), Goes: drop})
	}
	return out, nil
}

// KeepRules sets the rules; the next window works by them.
func (a *Appliance) KeepRules(ctx context.Context, by string, rules web.Rules) error {
	r := retention.Rules(rules)
	if err := r.Validate(); err != nil {
		return &i18n.Error{ID: "points.rules.bad"}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	was, err := a.settings.Get(ctx, retentionRules)
	if err != nil {
		return err
	}
	if _, err := a.audit.Append(ctx, audit.Event{Actor: by, Operation: "retention.policy.change", Object: "setting/" + retentionRules, Outcome: "ok", Detail: map[string]string{"before": was, "after": string(b)}}); err != nil {
		return err
	}
	return a.settings.Set(ctx, map[string]string{retentionRules: string(b)})
}

// HoldPoint pins a point for a reason. The reason itself stays inside the
// archive: it may name people, and the log takes its hash.
func (a *Appliance) HoldPoint(ctx context.Context, by, id, reason string) error {
	sum := sha256.Sum256([]byte(reason))
	return a.pin(ctx, by, id, "hold.place", map[string]string{"reason_sha256": hex.EncodeToString(sum[:])}, func(ctx context.Context) error {
		_, err := a.archive.Hold(ctx, id, reason)
		return err
	})
}

// UnholdPoint lets a point go the way of the rules again.
func (a *Appliance) UnholdPoint(ctx context.Context, by, id string) error {
	return a.pin(ctx, by, id, "hold.release", map[string]string{}, func(ctx context.Context) error {
		_, err := a.archive.Unhold(ctx, id)
		return err
	})
}

// pin writes the entry, acts, and writes another when the act failed.
func (a *Appliance) pin(ctx context.Context, by, id, op string, detail map[string]string, act func(context.Context) error) error {
	ps, err := a.archive.Points(ctx)
	if err != nil {
		return err
	}
	ev := audit.Event{Actor: by, Operation: op, Object: "point/" + id, Outcome: "ok", Detail: detail}
	known := false
	for _, p := range ps {
		if p.ID == id {
			known = true
			detail["seq"], detail["point_time"] = strconv.FormatUint(p.Seq, 10), p.Time.UTC().Format(time.RFC3339)
		}
	}
	if !known {
		return &i18n.Error{ID: "points.unknown"}
	}
	if _, err := a.audit.Append(ctx, ev); err != nil {
		return err
	}
	err = act(ctx)
	if err == nil {
		return nil
	}
	ev.Outcome = "failed"
	_, aerr := a.audit.Append(context.WithoutCancel(ctx), ev)
	if errors.Is(err, archive.ErrNotFound) { // forgotten or held meanwhile
		err = &i18n.Error{ID: "points.unknown", Err: err}
	}
	return errors.Join(err, aerr)
}
