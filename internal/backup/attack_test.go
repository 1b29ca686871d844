package backup

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/record"
	"farol/internal/retention"
	"farol/internal/watch"
)

// ask posts to the simulator's control and reads what it answers.
func (b *bench) ask(t *testing.T, path, body string) (out map[string]any) {
	t.Helper()
	resp, err := http.Post(b.srv.URL+path, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answered %d: %v %v", path, resp.StatusCode, out, err)
	}
	return out
}

func (b *bench) waiting(t *testing.T) []watch.Alarm {
	t.Helper()
	if err := b.alarms.Judge(t.Context()); err != nil {
		t.Fatal(err)
	}
	as, err := b.alarms.Alarms(t.Context(), 50)
	if err != nil {
		t.Fatal(err)
	}
	var open []watch.Alarm
	for _, a := range as {
		if a.Closed.IsZero() {
			open = append(open, a)
		}
	}
	return open
}

// contents reads every file of a space as a point in time saw it.
func (b *bench) contents(t *testing.T, space string, seq uint64) map[string]record.Hash {
	t.Helper()
	out := map[string]record.Hash{}
	scope := everything
	scope.Kinds, scope.Containers = []record.Kind{record.Files}, []string{space}
	err := b.d.Catalog.Select(t.Context(), scope, seq, time.Time{}, time.Time{}, 500, func(hits []catalog.Hit) error {
		for _, h := range hits {
			rec, err := b.d.Archive.Read(t.Context(), h.Loc)
			if err != nil {
				return err
			}
			if len(rec.Blobs) == 0 || rec.Deleted {
				continue
			}
			r, err := b.d.Archive.OpenBlob(t.Context(), rec.Blobs[0])
			if err != nil {
				return err
			}
			sum, err := record.HashReader(io.Reader(r))
			if err := errors.Join(err, r.Close()); err != nil {
				return err
			}
			if sum != rec.Blobs[0].SHA256 {
				t.Errorf("file %s reads differently from what was captured", rec.ID)
			}
			out[rec.ID] = sum
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (b *bench) sweep() *retention.Sweep {
	return retention.New(retention.Deps{Archive: b.d.Archive, Audit: b.d.Audit, Alarm: b.alarms.Open,
		Rules: func(context.Context) (retention.Rules, error) {
			return retention.ParseRules(`{"from_hour":0,"to_hour":0}`)
		},
		Now: func() time.Time { return time.Now().AddDate(0, 0, 20) }}) // points are old by now, and no clock has jumped
}

func (b *bench) fold(t *testing.T) uint64 {
	t.Helper()
	p, err := b.d.Archive.Fold(t.Context())
	if err != nil || p == nil {
		t.Fatal(p, err)
	}
	return p.Seq
}

func TestAnAttackOpensAnAlarmThatNamesTheLastGoodPoint(t *testing.T) {
	b := newBench(t, small())
	b.run(t, Full)
	if as := b.waiting(t); len(as) > 0 {
		t.Fatalf("the first full backup rings: %+v", as)
	}
	good := b.fold(t)
	b.control(t, "/_sim/send", `{}`)
	b.run(t, Incremental)
	b.fold(t) // an older point that retention would thin
	b.idle(t)
	before := b.d.Archive.LastSeq()

	hit := b.ask(t, "/_sim/ransom", `{"count":12}`)
	space := hit["spaceId"].(string)
	was := b.contents(t, space, before)
	b.run(t, Incremental)

	as := b.waiting(t)
	if len(as) != 1 || as[0].Cause != watch.Ransom || as[0].Kind != record.Files {
		t.Fatalf("open alarms: %+v", as)
	}
	a := as[0]
	seen, _, held := a.Sums()
	if seen < 12 || seen > 13 || held < 12 {
		t.Errorf("%d files of %d seen, 12 and a note were struck", seen, held)
	}
	if containers, depts := a.Counts(); containers != 1 || depts != 1 {
		t.Errorf("%d containers of %d departments", containers, depts)
	}
	if a.GoodSeq < before || a.GoodSeq >= b.d.Archive.LastSeq() || a.BeganSeq != a.GoodSeq+1 {
		t.Errorf("last good commit %d, began with %d; %d were there before the attack", a.GoodSeq, a.BeganSeq, before)
	}
	if a.PointSeq < good || a.PointSeq > a.GoodSeq || a.Point == "" {
		t.Errorf("last good point %q at commit %d, folded at %d", a.Point, a.PointSeq, good)
	}
	now, then := b.contents(t, space, 0), b.contents(t, space, a.GoodSeq)
	if len(then) != len(was) || len(then) < 12 {
		t.Errorf("%d files are readable at the last good point, %d were there", len(then), len(was))
	}
	changed := 0
	for id, sum := range then {
		if sum != was[id] {
			t.Errorf("file %s reads otherwise at the last good point", id)
		}
		if now[id] != sum {
			changed++
		}
	}
	if changed != 12 {
		t.Errorf("%d files were struck, want 12", changed)
	}

	b.fold(t)
	if _, err := b.sweep().Apply(t.Context()); !errors.Is(err, retention.ErrAlarm) {
		t.Errorf("retention says %v while an alarm is open", err)
	}
	b.close(t)
	b.open(t) // an alarm outlives the process
	if as = b.waiting(t); len(as) != 1 || as[0].ID != a.ID {
		t.Fatalf("after a restart: %+v", as)
	}

	if err := b.alarms.Acknowledge(t.Context(), a.ID, audit.Event{Actor: "maria"}, "  "); !errors.Is(err, watch.ErrNote) {
		t.Errorf("without a note: %v", err)
	}
	if err := b.alarms.Acknowledge(t.Context(), a.ID, audit.Event{Actor: "maria"}, "隔離了電腦"); err != nil {
		t.Fatal(err)
	}
	if err := b.alarms.Acknowledge(t.Context(), a.ID, audit.Event{Actor: "maria"}, "again"); !errors.Is(err, watch.ErrGone) {
		t.Errorf("a second time: %v", err)
	}
	if n, err := b.sweep().Apply(t.Context()); err != nil || n == 0 {
		t.Errorf("retention forgot %d points after the acknowledgement: %v", n, err)
	}
	b.run(t, Incremental)
	if as := b.waiting(t); len(as) > 0 {
		t.Errorf("what a person has looked at rings again: %+v", as)
	}
	for op, want := range map[string]int{"alarm.open": 1, "alarm.acknowledge": 1} {
		es, _, err := b.d.Audit.List(audit.Filter{Operation: op}, 0, 10)
		if err != nil || len(es) != want {
			t.Errorf("%d entries %s, want %d: %v", len(es), op, want, err)
		}
		for _, e := range es {
			if strings.Contains(e.Detail["note"], "隔離") || e.LogClass != "incident" {
				t.Errorf("entry %+v", e)
			}
		}
	}
	closed, err := b.alarms.Alarm(t.Context(), a.ID)
	if err != nil || closed.Note != "隔離了電腦" || closed.By != "maria" {
		t.Errorf("kept %q by %q: %v", closed.Note, closed.By, err)
	}
	// A second attack on the same day is a new alarm about what came after.
	b.ask(t, "/_sim/ransom", `{"count":18}`)
	b.run(t, Incremental)
	as = b.waiting(t)
	if len(as) != 1 || as[0].ID == a.ID || as[0].GoodSeq <= a.BeganSeq {
		t.Fatalf("after a second attack: %+v", as)
	}
}

func TestAMassDeletionOpensOneAlarm(t *testing.T) {
	b := newBench(t, small())
	b.run(t, Full)
	var spaces []string
	for _, e := range b.truth(t, "files") {
		if e.Type == "file" {
			spaces = append(spaces, e.Container)
		}
	}
	b.idle(t)
	b.ask(t, "/_sim/mass-delete", `{"spaceId":"`+spaces[0]+`","count":10}`)
	b.run(t, Full)
	if as := b.waiting(t); len(as) > 0 {
		t.Fatalf("a clean-up of 10 files rings: %+v", as)
	}
	for range 45 { // files enough for a deletion to be a mass
		b.ask(t, "/_sim/upload", `{"spaceId":"`+spaces[0]+`","name":"`+time.Now().Format("150405.000000000")+`.txt","base64":"5paH5Lu2"}`)
	}
	b.run(t, Full)
	b.idle(t)
	before := b.d.Archive.LastSeq()
	hit := b.ask(t, "/_sim/mass-delete", `{"spaceId":"`+spaces[0]+`"}`)
	if hit["deleted"].(float64) < 30 {
		t.Fatalf("only %v files could be deleted", hit["deleted"])
	}
	b.run(t, Full)
	b.run(t, Full)
	as := b.waiting(t)
	if len(as) != 1 || as[0].Cause != watch.Deletion {
		t.Fatalf("open alarms: %+v", as)
	}
	if seen, _, _ := as[0].Sums(); seen < int64(hit["deleted"].(float64)) {
		t.Errorf("%d deletions seen of %v", seen, hit["deleted"])
	}
	if as[0].GoodSeq >= b.d.Archive.LastSeq() || as[0].BeganSeq > before+uint64(hit["deleted"].(float64)) {
		t.Errorf("began with commit %d, %d were there before", as[0].BeganSeq, before)
	}
}
