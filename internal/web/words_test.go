package web

import (
	"mime"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"farol/internal/audit"
	"farol/internal/backup"
	"farol/internal/catalog"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/internal/verify"
	"farol/internal/watch"
	"farol/templates/ui"
)

// TestEveryValueHasItsWord: ids that end in a value of the program.
func TestEveryValueHasItsWord(t *testing.T) {
	var ids []string
	add := func(prefix string, values ...string) {
		for _, v := range values {
			ids = append(ids, prefix+v)
		}
	}
	for _, r := range policy.Roles {
		add("role.", r.Name)
	}
	for _, p := range policy.Purposes {
		add("purpose.", string(p), string(p)+".hint")
	}
	for _, k := range record.Kinds {
		add("kind.", string(k))
		add("count.", string(k))
		add("unit.items.", string(k))
		add("archive.empty.", string(k))
		add("restore.back.", string(k))
	}
	add("class.", "open", "internal", "confidential", "secret")
	for st := range runStates {
		add("run.", st)
	}
	for st := range jobStates {
		add("job.", st)
		add("job.title.", st)
		add("job.result.", st)
	}
	for o := range outcomes {
		add("outcome.", o)
	}
	for o := range auditStates {
		add("audit.outcome.", o)
	}
	for sev := range severities {
		add("audit.severity.", sev)
	}
	for _, a := range abouts {
		add("audit.about.", a)
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	redirect := regexp.MustCompile(`"/(?:[a-z/]+)\?done=([a-z.]+)`)
	for _, f := range sources {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range redirect.FindAllStringSubmatch(string(b), -1) {
			if !strings.HasPrefix(m[0], `"/login`) && !strings.HasPrefix(m[0], `"/me`) { // these say it themselves
				add("done.", m[1])
			}
		}
	}
	for _, st := range setupSteps {
		add("setup."+st.key, ".title", ".label", ".sub")
	}
	for _, r := range []string{backup.ReasonOnline, backup.ReasonGone, backup.ReasonPermission, backup.ReasonConsent, backup.ReasonCold, backup.ReasonTransfer, backup.ReasonLength, backup.ReasonShape} {
		add("gap.", r, r+".advice")
	}
	add("problem.", "permission", "credentials", "quota", "consent", "notenabled", "unreachable", "throttled", "token", "unbound", "storage", "other", "permission_named")
	add("mode.", "full", "incremental", "event", "verify", "restore", "export", "fold")
	add("coverage.is.", "captured", "partial", "unavailable", "consent")
	add("region.", "china", "international", "custom", "china.hint", "international.hint", "custom.hint")
	add("route.", "A", "oapi", "storage", "workflow")
	add("scope.state.", "true", "false", "mixed")
	add("theme.", "system", "light", "dark")
	add("by.", "system", "dingtalk", "unknown")
	for _, c := range watch.Causes {
		add("alarm.", "cause."+string(c), "do."+string(c))
		if causeIcons[c] == "" {
			t.Errorf("cause %s has no icon", c)
		}
	}
	add("verify.what.", verify.Sample, verify.All)
	for st := range verifyStates {
		add("verify.is.", st)
	}
	add("weekday.", "sun", "mon", "tue", "wed", "thu", "fri", "sat")
	add("retention.", "newest", "held", "future", "all", "daily", "weekly", "monthly", "thinned", "expired")
	for st := range copyStates {
		add("places.state.", st)
	}
	for k := range copyIcons {
		add("places.kind.", k)
	}
	for id := range addFields {
		add("", id)
	}
	for _, e := range []error{policy.ErrDenied, restore.ErrNotFound, restore.ErrEmpty, restore.ErrDamaged, audit.ErrTampered, backup.ErrBusy, backup.ErrIdle, backup.ErrPaused, backup.ErrUnbound, restore.ErrUnbound} {
		id := answerTo(e, i18n.EN).id
		if id == "error.500" {
			t.Errorf("%v has no words of its own", e)
		}
		add(id, "", ".text", ".then")
	}
	for _, id := range ids {
		if !i18n.Has(id) {
			t.Errorf("no message %s", id)
		}
	}
}

func TestMaskKeepsTheLengthSoThatHitsStay(t *testing.T) {
	for in, hidden := range map[string]bool{"身份證 1234567(8) 號": true, "id 440101199001011234": true, "電話 28123456": false, "PO-2026-0411": false, "5/123456/7": true} {
		got := mask(in)
		if (got != in) != hidden || len([]rune(got)) != len([]rune(in)) {
			t.Errorf("%q became %q", in, got)
		}
	}
}

func TestSnippetMarksEveryHitInside(t *testing.T) {
	text := "前文前文前文前文前文前文前文前文前文前文前文前文前文前文封條斷咗，再看封條"
	var spans []catalog.Span
	rs := []rune(text)
	for i := range rs {
		if i+1 < len(rs) && rs[i] == '封' {
			spans = append(spans, catalog.Span{Start: i, End: i + 2})
		}
	}
	hits, all := 0, ""
	for _, p := range snippet(text, spans) {
		if all += p.Text; p.Hit {
			hits++
			if p.Text != "封條" {
				t.Errorf("marked %q", p.Text)
			}
		}
	}
	if hits != 2 || all != text && all != "…"+string(rs[len(rs)-len([]rune(all))+1:]) {
		t.Errorf("%d hits in %q", hits, all)
	}
}

func TestChangedMarksWhatDiffers(t *testing.T) {
	got := changed("貨款 MOP 250,000.00 請付", "貨款 MOP 1,250,000.00 請付")
	want := []ui.Part{{Text: "貨款 MOP "}, {Text: "1,", Hit: true}, {Text: "250,000.00 請付"}}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v", got)
		}
	}
}

func TestTheBandSaysTheWorstThingFirst(t *testing.T) {
	now := time.Date(2026, 11, 23, 7, 42, 0, 0, time.UTC)
	w := words{i18n.EN, now}
	good := facts{at: now, bound: true, kit: aKit(now), last: now.Add(-3 * time.Minute), offsite: Offsite{Set: true, Connected: true}}
	for want, f := range map[string]func(*facts){
		"Your data is safe":                 func(*facts) {},
		"3 damage(s) in the archive":        func(f *facts) { f.health.Damage = 3; f.bound = false },
		"DingTalk is not connected":         func(f *facts) { f.bound = false },
		"No backup yet":                     func(f *facts) { f.last = time.Time{} },
		"No backup for 1 d 6 h":             func(f *facts) { f.last = now.Add(-30 * time.Hour) },
		"There is only the copy here":       func(f *facts) { f.offsite = Offsite{} },
		"The off-site node is 9 min behind": func(f *facts) { f.offsite.Lag = 9 * time.Minute },
		"The recovery kit is not proved":    func(f *facts) { f.kit = nil },
		"Backups are paused":                func(f *facts) { f.paused = true },
		"Another appliance has taken over; this one no longer backs up": func(f *facts) { f.offsite.Superseded, f.offsite.Connected = true, false },
		"12 files look encrypted": func(f *facts) {
			f.alarms = []watch.Alarm{{Cause: watch.Ransom, Kind: record.Files, Places: []watch.Place{{Dept: 1, Container: 1, Seen: 7}, {Dept: 1, Container: 2, Seen: 5}}}}
			f.health.Damage = 3
		},
	} {
		x := good
		f(&x)
		if got := x.say(w); got.Bold != want {
			t.Errorf("says %q, want %q", got.Bold, want)
		}
	}
}

// TestAFileNameCannotBreakItsHeader: names come from strangers.
func TestAFileNameCannotBreakItsHeader(t *testing.T) {
	for _, name := range []string{"報價單 2026.pdf", "a\r\nSet-Cookie: x=1", `a"; filename="evil.exe`, "../../etc/passwd", "a;b,c.txt", "\x00\x1f", strings.Repeat("長", 300), "%0d%0a.txt", "\u202egpj.exe"} {
		got := disposition(name)
		kind, params, err := mime.ParseMediaType(got)
		if err != nil || kind != "attachment" || len(params) != 1 || strings.ContainsAny(got, "\r\n\x00") {
			t.Errorf("%q becomes %q: %v", name, got, err)
		}
		if n := params["filename"]; n == "" || strings.ContainsAny(n, "/\\\"\r\n\x00") {
			t.Errorf("%q is saved as %q", name, n)
		}
	}
}

// TestOnlyPicturesAreShownInThePage: whatever a browser could run is taken away
// as a file, never opened here.
func TestOnlyPicturesAreShownInThePage(t *testing.T) {
	for name, want := range map[string]string{"a.png": "image/png", "A.JPG": "image/jpeg", "a.svg": "", "a.html": "", "a.xhtml": "", "a.pdf": "", "a.js": "", "a.png.html": "", "": "", "png": "", "a.svg\x00.png": "image/png"} {
		if got := showable(record.Blob{Name: name}); got != want {
			t.Errorf("%q is shown as %q, want %q", name, got, want)
		}
	}
}
