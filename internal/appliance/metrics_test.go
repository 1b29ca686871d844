package appliance

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"farol/internal/backup"
	"farol/internal/dingtalk/simulator"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/settings"
	"farol/internal/watch"
	"farol/internal/web"
)

// dayOf is an appliance that has a backup, a fold, a node, a second witness, a
// storage place, a reading back and an alarm behind it.
func dayOf(t *testing.T) *started {
	t.Helper()
	h := newStart(t, simulator.Options{Seed: 5, People: 12, Messages: 200}, Logger("error"))
	ctx, a := t.Context(), h.a
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(a.Bind(ctx, web.Binding{Region: "custom", BaseURL: h.simURL, ClientID: h.sim.ClientID(), ClientSecret: h.sim.ClientSecret()}))
	agree(t, h)
	must(a.FinishSetup(ctx))
	must(a.Enrol(ctx, h.nodeAddr, h.node.NewCode()))
	newWitnessNode(t).add(t, a)
	_, err := a.AddPlace(ctx, "maria", replica.PlaceConfig{Kind: "dir", Name: "the second disk", Path: t.TempDir()})
	must(err)
	_, err = a.engine.Start(ctx, backup.Full, "maria")
	must(err)
	waitRun(t, a)
	_, err = a.archive.Fold(ctx)
	must(err)
	must(a.caughtUp(ctx))
	_, err = a.verify.Now(ctx, "maria")
	must(err)
	must(a.watch.Raise(ctx, watch.Finding{Cause: watch.Shrink, Kind: record.Chat, Seen: 1, Held: 2}))
	must(a.settings.Set(ctx, map[string]string{settings.BackupPaused: "yes"})) // a schedule may have begun another
	must(a.engine.Wait(ctx))
	must(a.metrics.countNow(ctx))
	eventually(t, "the storage place holds everything", func() bool { a.places[0].Wake(); return !a.Places()[0].LastOK.IsZero() })
	eventually(t, "the log is witnessed", func() bool { return a.Offsite(ctx).CheckpointSize > 0 })
	v := caller{t: t, base: h.base}
	v.get("/login")
	return h
}

// scrape reads the metrics as Prometheus does.
func scrape(t *testing.T, base string) (string, map[string]*dto.MetricFamily) {
	t.Helper()
	v := caller{t: t, base: base}
	text := v.get("/metrics")
	p := expfmt.NewTextParser(model.LegacyValidation)
	fs, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %.300s", err, text)
	}
	return text, fs
}

// value is a figure with these label values, -1 where it is absent.
func value(fs map[string]*dto.MetricFamily, name string, labels ...string) float64 {
next:
	for _, m := range fs[name].GetMetric() {
		for _, want := range labels {
			has := false
			for _, l := range m.GetLabel() {
				has = has || l.GetValue() == want
			}
			if !has {
				continue next
			}
		}
		switch {
		case m.Gauge != nil:
			return m.Gauge.GetValue()
		case m.Counter != nil:
			return m.Counter.GetValue()
		case m.Histogram != nil:
			return float64(m.Histogram.GetSampleCount())
		}
	}
	return -1
}

// TestTheMetricsAreWhatTheConsoleSays lives a day of an appliance and compares
// what a monitor reads with what the pages are made of.
func TestTheMetricsAreWhatTheConsoleSays(t *testing.T) {
	h := dayOf(t)
	ctx, a := t.Context(), h.a
	// The control database is copied into the journal and the log goes on by
	// themselves: such figures lie between a look before and one after.
	was, wasLog, wasOff, wasSecond := a.archive.Status(), a.audit.Size(), a.Offsite(ctx), a.Witness(ctx)
	text, fs := scrape(t, h.base)
	if problems, err := promlint.New(strings.NewReader(text)).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	counts, err := a.catalog.Counts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	held := map[record.Kind]int64{}
	for _, c := range counts {
		held[c.Kind] += c.Items
	}
	complete, err := a.engine.Completeness(ctx)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[record.Kind]int64{}
	for _, c := range complete {
		listed[c.Kind] += c.Listed
	}
	if held[record.Chat] == 0 || listed[record.Chat] == 0 {
		t.Fatal("nothing was captured: this test no longer sees anything")
	}
	good := a.engine.LastGood()
	for _, k := range record.Kinds {
		same(t, fs, float64(held[k]), "farol_records", string(k))
		if listed[k] > 0 {
			same(t, fs, float64(listed[k]), "farol_completeness_listed_records", string(k))
		}
		if !good[k].IsZero() {
			same(t, fs, float64(good[k].UnixMilli())/1000, "farol_backup_last_success_timestamp_seconds", string(k))
		}
	}
	health, err := a.Health(ctx)
	if err != nil {
		t.Fatal(err)
	}
	st, off := a.archive.Status(), a.Offsite(ctx)
	same(t, fs, 1, "farol_ready")
	same(t, fs, 1, "farol_build_info", Version)
	same(t, fs, float64(st.LastSeq), "farol_commits_total")
	same(t, fs, float64(st.LastCommit.UnixMilli())/1000, "farol_last_commit_timestamp_seconds")
	between(t, fs, was.JournalBytes, st.JournalBytes, "farol_journal_bytes")
	same(t, fs, float64(health.LastFold.UnixMilli())/1000, "farol_last_fold_timestamp_seconds")
	between(t, fs, was.Repository, st.Repository, "farol_archive_bytes")
	same(t, fs, float64(health.Places[0].Total), "farol_disk_size_bytes", "archive")
	runs, err := a.engine.Runs(ctx, 100)
	if err != nil || len(runs) == 0 {
		t.Fatal(runs, err)
	}
	ended := map[[2]string]float64{}
	for _, r := range runs {
		ended[[2]string{r.What, r.State}]++
	}
	for k, n := range ended {
		same(t, fs, n, "farol_backup_runs_total", k[0], k[1])
	}
	same(t, fs, 1, "farol_offsite_connected")
	between(t, fs, 0, 20, "farol_offsite_lag_seconds")
	between(t, fs, wasOff.CheckpointSize, off.CheckpointSize, "farol_offsite_witnessed_entries")
	same(t, fs, 1, "farol_second_witness_connected")
	between(t, fs, wasSecond.CheckpointSize, a.Witness(ctx).CheckpointSize, "farol_second_witness_entries")
	same(t, fs, float64(health.CheckedRecords), "farol_verify_last_records", "all")
	same(t, fs, 0, "farol_verify_last_differences", "all")
	same(t, fs, 1, "farol_alarms_open", "shrink", "chat")
	same(t, fs, 0, "farol_alarms_open", "ransom", "none")
	between(t, fs, wasLog, a.audit.Size(), "farol_audit_entries_total")
	same(t, fs, float64(a.Client().Counted()), "farol_dingtalk_quota_calls_total")
	same(t, fs, 0, "farol_sign_in_failures_total")
	same(t, fs, 0, "farol_sessions")
	same(t, fs, 0, "farol_metrics_unreadable")
	for _, unknown := range []string{"farol_disk_full_in_seconds", "farol_place_last_verified_timestamp_seconds"} {
		if fs[unknown] != nil {
			t.Errorf("%s is %v, and nothing has told it", unknown, fs[unknown])
		}
	}
	if value(fs, "farol_dingtalk_calls_total", "ok") <= 0 || value(fs, "farol_last_fold_duration_seconds") <= 0 || value(fs, "farol_place_last_complete_timestamp_seconds", "1") <= 0 {
		t.Error("calls, the fold's duration or the storage place are not told")
	}
	a.metrics.noted("login.failed")
	if _, fs = scrape(t, h.base); value(fs, "farol_sign_in_failures_total") != 1 || value(fs, "farol_console_requests_total", "2xx") < 1 {
		t.Error("answers or failures are not counted")
	}
	best := time.Hour
	for range 5 {
		began := time.Now()
		if _, err := a.metrics.reg.Gather(); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(began))
	}
	t.Logf("a look takes %v", best)
	if best > 50*time.Millisecond {
		t.Errorf("a look takes %v", best)
	}
	t.Run("board and rules", func(t *testing.T) { boardAndRules(t, fs) })
}

func same(t *testing.T, fs map[string]*dto.MetricFamily, want float64, name string, labels ...string) {
	t.Helper()
	if got := value(fs, name, labels...); got != want {
		t.Errorf("%s%v is %v, the console says %v", name, labels, strconv.FormatFloat(got, 'f', -1, 64), strconv.FormatFloat(want, 'f', -1, 64))
	}
}

func between(t *testing.T, fs map[string]*dto.MetricFamily, from, to int64, name string) {
	t.Helper()
	if got := value(fs, name); got < float64(from) || got > float64(to) {
		t.Errorf("%s is %v, it was %d before and %d after", name, got, from, to)
	}
}

// TestTheMetricsTokenComesFromItsFile: what is none does not open the metrics,
// and a start with it is refused in words.
func TestTheMetricsTokenComesFromItsFile(t *testing.T) {
	cfg := bench(t)
	cfg.Listen = freePort(t)
	cfg.Metrics = filepath.Join(t.TempDir(), "token")
	for _, bad := range []string{"", "short\n"} {
		if err := os.WriteFile(cfg.Metrics, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := Open(t.Context(), cfg, Logger("error"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err = a.Run(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), "at least 16") {
			t.Errorf("with %q it starts: %v", bad, err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(cfg.Metrics, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stop := runs(t, cfg)
	defer stop()
	for token, want := range map[string]int{"0123456789abcdef": 200, "0123456789abcdeg": 401} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+cfg.Listen+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := (&http.Client{Transport: insecureTransport()}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("with %s: %d, want %d", token, resp.StatusCode, want)
		}
	}
}
