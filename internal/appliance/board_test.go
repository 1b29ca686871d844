package appliance

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"gopkg.in/yaml.v3"

	"farol/internal/watch"
)

// forDigging are figures that neither the board nor a rule asks for.
var forDigging = []string{
	"farol_archive_damaged", "farol_backup_running", "farol_journal_bytes", "farol_journal_unfolded_commits", "farol_audit_checkpoint_timestamp_seconds",
	"farol_completeness_oldest_walk_timestamp_seconds", "farol_offsite_enrolled", "farol_offsite_last_complete_timestamp_seconds", "farol_place_held_bytes", "farol_place_last_verified_timestamp_seconds",
	"farol_records_counted_timestamp_seconds", "farol_second_witness_connected", "farol_second_witness_enrolled", "farol_verify_last_duration_seconds", "farol_verify_last_records",
}

// notYet are figures that an appliance of one day cannot have.
var notYet = []string{"farol_disk_full_in_seconds", "farol_place_last_verified_timestamp_seconds"}

var (
	figureName  = regexp.MustCompile(`\b(farol|go|process)_[a-z0-9_]+`)
	causeList   = regexp.MustCompile(`cause=~"([a-z|]+)"`)
	describedAs = regexp.MustCompile(`fqName: "([a-z0-9_]+)"`)
)

// boardAndRules compares the Grafana board and the alert rules of the packages
// with the figures of an appliance that has a day behind it.
func boardAndRules(t *testing.T, fs map[string]*dto.MetricFamily) {
	var board struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	read(t, "grafana/farol.json", func(b []byte) error { return json.Unmarshal(b, &board) })
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				Labels, Annotations map[string]string
			}
		}
	}
	read(t, "prometheus/farol-rules.yml", func(b []byte) error { return yaml.Unmarshal(b, &rules) })

	asked := map[string]string{} // expression → where
	for _, p := range board.Panels {
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("the panel %s shows nothing", p.Title)
		}
		for _, x := range p.Targets {
			asked[x.Expr] = "panel " + p.Title
		}
	}
	var answered []string // causes that a rule is about
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			asked[r.Expr] = "rule " + r.Alert
			if s := r.Labels["severity"]; s != "page" && s != "ticket" || r.Annotations["summary"] == "" || r.Annotations["do"] == "" {
				t.Errorf("rule %s does not say how grave it is, what happened and what to do", r.Alert)
			}
			if m := causeList.FindStringSubmatch(r.Expr); m != nil {
				answered = append(answered, strings.Split(m[1], "|")...)
			}
		}
	}
	if len(asked) < 40 {
		t.Fatalf("%d expressions were read: this test no longer sees them", len(asked))
	}
	var causes []string
	for _, c := range watch.Causes {
		causes = append(causes, string(c))
	}
	slices.Sort(causes)
	slices.Sort(answered)
	if !slices.Equal(causes, answered) {
		t.Errorf("alarms are raised for %v, rules are about %v", causes, answered)
	}

	has := map[string]bool{}
	for name := range fs {
		has[name] = true
	}
	for _, name := range notYet {
		if has[name] {
			t.Errorf("%s is there after all", name)
		}
		has[name] = true
	}
	used := map[string]bool{}
	for expr, where := range asked {
		names := figureName.FindAllString(expr, -1)
		if len(names) == 0 && !strings.HasPrefix(expr, "up{") {
			t.Errorf("%s asks for no figure: %s", where, expr)
		}
		for _, name := range names {
			if base := strings.TrimSuffix(name, "_bucket"); !has[name] && has[base] {
				name = base
			}
			if used[name] = true; !has[name] {
				t.Errorf("%s asks for %s, which the appliance does not tell", where, name)
			}
		}
		if open, shut := strings.Count(expr, "(")+strings.Count(expr, "{"), strings.Count(expr, ")")+strings.Count(expr, "}"); open != shut {
			t.Errorf("%s has a bracket too many: %s", where, expr)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if strings.HasPrefix(name, "farol_") && !used[name] && !slices.Contains(forDigging, name) {
			t.Errorf("nobody looks at %s: use it, or list it as for digging", name)
		}
	}
	for _, name := range forDigging {
		if used[name] || !has[name] {
			t.Errorf("%s is listed as for digging, and is used, or is no figure", name)
		}
	}
	for _, f := range figures { // what is described is told, or is known not to be
		m := describedAs.FindStringSubmatch(f.Desc.String())
		if m == nil || !has[m[1]] {
			t.Errorf("%s is described and never told", f.Desc)
		}
	}
}

func read(t *testing.T, name string, into func([]byte) error) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "packaging", filepath.FromSlash(name)))
	if err == nil {
		err = into(b)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
