package appliance

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"farol/internal/auth"
	"farol/internal/dingtalk/simulator"
	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/settings"
	"farol/internal/web"
	"farol/packaging/docs"
)

// block is a fenced block of the manual, with the section it stands in.
type block struct {
	kind string // sh, sh package, text
	text string
	part int // how many headings stand above it
	line int
}

var heading = regexp.MustCompile(`^(#+) `)

// blocks reads a page of the manual as it was written.
func blocks(t *testing.T, topic, lang string) (out []block, headings []string) {
	t.Helper()
	name := topic + "." + lang + ".md"
	b, err := docs.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var in *block
	for i, l := range strings.Split(string(b), "\n") {
		switch {
		case in != nil && l == "```":
			out, in = append(out, *in), nil
		case in != nil:
			in.text += l + "\n"
		case strings.HasPrefix(l, "```"):
			in = &block{kind: strings.TrimPrefix(l, "```"), part: len(headings), line: i + 1}
		case heading.MatchString(l):
			headings = append(headings, heading.FindStringSubmatch(l)[1])
		case strings.HasPrefix(l, "    ") || strings.HasPrefix(strings.TrimSpace(l), "```"):
			t.Errorf("%s:%d: an indented block: what is in it nobody runs", name, i+1)
		}
	}
	if in != nil {
		t.Errorf("%s:%d: the block does not end", name, in.line)
	}
	return out, headings
}

// TestTheManualSaysTheSameInBothLanguages: as many sections of the same depth,
// and the same commands and answers between them.
func TestTheManualSaysTheSameInBothLanguages(t *testing.T) {
	for _, topic := range docs.Topics {
		zh, zhHeads := blocks(t, topic, "zh-Hant")
		en, enHeads := blocks(t, topic, "en")
		if !slices.Equal(zhHeads, enHeads) {
			t.Errorf("%s: the sections differ: %v, %v", topic, zhHeads, enHeads)
		}
		if len(zh) != len(en) {
			t.Errorf("%s: %d blocks and %d", topic, len(zh), len(en))
			continue
		}
		for i := range zh {
			if zh[i].kind != en[i].kind || zh[i].text != en[i].text || zh[i].part != en[i].part {
				t.Errorf("%s: block at line %d differs from that at line %d of the English page", topic, zh[i].line, en[i].line)
			}
		}
	}
}

var saysFarol = regexp.MustCompile("`(?:sudo )?(?:-u farol )?(farol[^`]*)`")

// TestTheManualNamesNoCommandThatIsNot: also in its sentences, where nothing is
// run.
func TestTheManualNamesNoCommandThatIsNot(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "farol")
	buildManual(t, bin)
	texts := map[string]string{}
	files, err := filepath.Glob("../../packaging/docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(f)] = string(b)
	}
	helps := map[string]string{}
	for where, text := range texts {
		for _, m := range saysFarol.FindAllStringSubmatch(text, -1) {
			var verbs, flags []string
			for _, w := range strings.Fields(m[1])[1:] {
				if strings.HasPrefix(w, "-") {
					flags = append(flags, w)
				} else if len(flags) == 0 && regexp.MustCompile(`^[a-z-]+$`).MatchString(w) {
					verbs = append(verbs, w)
				}
			}
			key := strings.Join(verbs, " ")
			if helps[key] == "" {
				out, _ := exec.Command(bin, append(append([]string{}, verbs...), "--help")...).CombinedOutput() // looked at below
				helps[key] = string(out)
			}
			usage := "Usage:\n  farol " + key
			if len(verbs) > 1 && !strings.Contains(helps[key], usage) { // the last word may be an argument, where no verb can stand
				usage = "Usage:\n  farol " + strings.Join(verbs[:len(verbs)-1], " ") + " "
				if strings.Contains(helps[key], usage+"[command]") {
					usage = "Usage:\n  farol " + key
				}
			}
			if !strings.Contains(helps[key], usage) {
				t.Errorf("%s: there is no %q", where, m[1])
			}
			for _, f := range flags {
				if !strings.Contains(helps[key], f) {
					t.Errorf("%s: %q has no %s", where, m[1], f)
				}
			}
		}
	}
}

func buildManual(t *testing.T, to string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", to, "./cmd/farol")
	cmd.Dir = "../.."
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

// reader is somebody with the manual at a machine: a folder that stands for it,
// a simulated DingTalk and what he keeps in his safe.
type reader struct {
	t      *testing.T
	root   string
	node   string       // address
	second *witnessNode // somebody else's, once it is asked for
	cfg    Config
	units  *units
	sim    *simulator.Simulator
	simURL string
	secret auth.Secret
	shares []string
	held   int      // records that the last check read
	kopia  []string // what kopia is given to find: its password and settings
	shot   string   // the newest snapshot that kopia listed
}

// snapshotLine is one that kopia lists.
var snapshotLine = regexp.MustCompile(`(?m)^\s+\d{4}-\d\d-\d\d .* (k[0-9a-f]{32})`)

var readBack = regexp.MustCompile(`(?m)^read (\d+) records`)

func newReader(t *testing.T) *reader {
	r := &reader{t: t, root: t.TempDir(), node: freeAddress(t)}
	for _, d := range []string{"bin", "real", "log", "etc/farol", "mnt/usb/farol", "mnt/nas/farol", "var/lib"} {
		r.must(os.MkdirAll(filepath.Join(r.root, d), 0o700))
	}
	buildManual(t, filepath.Join(r.root, "real", "farol"))
	me, err := filepath.Abs(os.Args[0])
	r.must(err)
	if kopia := os.Getenv("FAROL_KOPIA"); kopia != "" {
		r.must(os.Symlink(kopia, filepath.Join(r.root, "bin", "kopia")))
	}
	for _, name := range []string{"farol", "sudo", "systemctl", "journalctl"} {
		r.must(os.Symlink(me, filepath.Join(r.root, "bin", name)))
	}
	r.cfg = Config{StateDir: filepath.Join(r.root, "var/lib/farol"), HostKey: filepath.Join(r.root, "etc/farol/host.key"), Listen: freeAddress(t), Reserve: 1 << 20, LogLevel: "error"}
	r.must(os.WriteFile(r.path("/etc/farol/farol.yaml"), fmt.Appendf(nil, "state_dir: %q\nhost_key: %q\nlisten: %s\nreserve_bytes: 1048576\nlog_level: error\n", r.cfg.StateDir, r.cfg.HostKey, r.cfg.Listen), 0o600))
	r.must(r.cfg.Validate())
	r.sim, err = simulator.New(simulator.Options{Seed: 3, People: 12, Messages: 40})
	r.must(err)
	srv := httptest.NewServer(r.sim)
	t.Cleanup(func() { srv.Close(); r.sim.Close() })
	r.simURL = srv.URL
	r.units = newUnits(t, r.root, map[string][]string{
		"farol":      {"serve", "--config", r.path("/etc/farol/farol.yaml")},
		"farol-node": {"node", "--dir", r.path("/var/lib/farol-node"), "--listen", r.node},
	})
	return r
}

func freeAddress(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func (r *reader) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *reader) path(p string) string { return filepath.Join(r.root, p) }

// code is a one-time code of the owner's authenticator.
func (r *reader) code() string {
	c, err := totp.GenerateCode(r.secret.Text, time.Now().Add(30*time.Second))
	r.must(err)
	return c
}

// inside does what the owner does in the browser, while the service stands still.
func (r *reader) inside(do func(ctx context.Context, a *Appliance)) {
	r.t.Helper()
	r.must(r.units.stop("farol"))
	ctx, cancel := context.WithCancel(r.t.Context())
	a, err := Open(ctx, r.cfg, slog.New(slog.NewTextHandler(r.t.Output(), &slog.HandlerOptions{Level: slog.LevelError})))
	r.must(err)
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	<-a.ready
	do(ctx, a)
	cancel()
	r.must(<-ended)
	r.must(a.Close())
	r.must(r.units.start("farol"))
}

// setUp is the wizard.
func (r *reader) setUp() {
	r.inside(func(ctx context.Context, a *Appliance) {
		var err error
		r.secret, err = auth.NewSecret("ana")
		r.must(err)
		code, err := totp.GenerateCode(r.secret.Text, time.Now())
		r.must(err)
		_, err = a.accounts.Create(ctx, auth.NewAccount{Name: "ana", Role: "owner", Password: "a lighthouse in fog 77", Secret: r.secret, Code: code})
		r.must(err)
		r.must(a.Bind(ctx, web.Binding{Region: "custom", BaseURL: r.simURL, ClientID: r.sim.ClientID(), ClientSecret: r.sim.ClientSecret()}))
		agree(r.t, &started{a: a, sim: r.sim, simURL: r.simURL})
		shares, err := a.Kit(ctx, "ana", 3, 2)
		r.must(err)
		for _, s := range shares {
			r.shares = append(r.shares, s.Text())
		}
		r.must(a.ConfirmKit(ctx, "ana", r.shares[:2]))
		// years of approvals at DingTalk's pace would take half a minute
		r.must(a.settings.Choose(ctx, []settings.Decision{{Dept: 1, Kind: record.Approvals}}))
		r.must(a.FinishSetup(ctx))
	})
}

// pair is the form in which the node's address and code are given.
func (r *reader) pair() {
	code := r.enrolment()
	r.inside(func(ctx context.Context, a *Appliance) { r.must(a.Enrol(ctx, r.node, code)) })
}

// pairAgain is what one does with the node after a recovery.
func (r *reader) pairAgain() {
	r.must(r.units.stop("farol-node"))
	r.must(r.units.start("farol-node"))
	r.pair()
	r.run("sudo farol offsite wait")
}

// witness is the node of somebody else's, on another machine.
func (r *reader) witness() *witnessNode {
	if r.second == nil {
		r.second = newWitnessNode(r.t)
	}
	return r.second
}

// enrolment is the newest code in the node's journal.
func (r *reader) enrolment() string {
	b, err := os.ReadFile(r.path("/log/farol-node"))
	r.must(err)
	_, code, ok := strings.Cut(string(b[bytes.LastIndex(b, []byte("enrolment code:")):]), ": ")
	if !ok {
		r.t.Fatal("the node shows no code")
	}
	code, _, _ = strings.Cut(code, "\n")
	return code
}

// lose takes the disk away, and gives a new machine on which the package was
// just installed.
func (r *reader) lose() {
	r.run("sudo farol offsite wait")
	r.must(r.units.stop("farol"))
	r.must(os.RemoveAll(r.cfg.StateDir))
	r.must(os.Remove(r.cfg.HostKey))
	r.must(r.units.start("farol"))
}

// loseKey takes the key away that opens the root key.
func (r *reader) loseKey() {
	r.must(r.units.stop("farol"))
	r.must(os.Remove(r.cfg.HostKey))
}

// placeID is the further copy's name in the list.
func (r *reader) placeID() string {
	id, _, _ := strings.Cut(r.run("sudo farol place list"), " ")
	return id
}

// capitals are what a reader fills in.
func (r *reader) fill(text string) string {
	for word, value := range map[string]func() string{
		"NODE_ADDRESS": func() string { return r.node }, "ENROLMENT_CODE": r.enrolment, "WITNESS_ADDRESS": func() string { return r.witness().addr }, "WITNESS_CODE": func() string { return r.witness().NewCode() }, "PLACE_ID": r.placeID, "ACCOUNT": func() string { return "ana" },
		"FIRST_DAY": today, "LAST_DAY": today, "SNAPSHOT": func() string { return r.shot },
	} {
		if strings.Contains(text, word) {
			text = strings.ReplaceAll(text, word, value())
		}
	}
	return elsewhere.ReplaceAllString(text, "$1"+r.root+"$2")
}

var elsewhere = regexp.MustCompile(`(^|[\s="'])(/(?:etc/farol|var/lib/farol|mnt)\b)`)

func today() string { return time.Now().In(i18n.Macau).Format(time.DateOnly) }

// run types a block. Who asks on the terminal is given shares, then a code.
func (r *reader) run(text string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "FAROL_MANUAL_ROOT="+r.root, "PATH="+filepath.Join(r.root, "bin")+":"+os.Getenv("PATH"), "TZ=Asia/Macau",
		"KOPIA_CACHE_DIRECTORY="+r.path("/kopia.cache")) // as a shell has it in which kopia was used: Farol must not mind
	if strings.HasPrefix(text, "kopia ") {
		cmd.Env = append(cmd.Env, r.kopia...)
	}
	if r.shares != nil {
		cmd.Stdin = strings.NewReader(strings.Join(r.shares[1:], "\n") + "\n\n" + r.code() + "\n")
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v:\n%s\nsaid:\n%s", err, text, out)
	}
	return string(out)
}

// read goes through a page from top to bottom.
func (r *reader) read(topic string, at map[string]func()) {
	page, _ := docs.Of(topic, "en")
	list, heads := blocks(r.t, topic, "zh-Hant")
	ids := partIDs(heads, page)
	said, done := "", 0
	for i, b := range list {
		for ; done < b.part; done++ {
			if do := at[ids[done]]; do != nil {
				do()
				delete(at, ids[done])
			}
		}
		switch b.kind {
		case "sh":
			if strings.HasPrefix(b.text, "kopia ") && os.Getenv("FAROL_KOPIA") == "" {
				r.t.Logf("%s:%d NOT RUN: FAROL_KOPIA does not name the stock kopia program", topic, b.line)
				continue
			}
			began := time.Now()
			said = r.run(r.fill(b.text))
			if m := readBack.FindStringSubmatch(said); m != nil { // what was held once is there ever after
				n, err := strconv.Atoi(m[1])
				if err != nil || n == 0 || n < r.held {
					r.t.Errorf("%s:%d: %d records are there, %d were", topic, b.line, n, r.held)
				}
				r.held = n
			}
			if strings.Contains(b.text, "archive password") {
				lines := strings.Fields(said)
				r.kopia = []string{"KOPIA_PASSWORD=" + lines[len(lines)-1], "KOPIA_CONFIG_PATH=" + r.path("/kopia.config"), "KOPIA_CACHE_DIRECTORY=" + r.path("/kopia.cache"), "KOPIA_LOG_DIR=" + r.path("/kopia.log"), "KOPIA_CHECK_FOR_UPDATES=false"}
			}
			if m := snapshotLine.FindAllStringSubmatch(said, -1); m != nil {
				r.shot = m[len(m)-1][1]
			}
			r.t.Logf("%s:%d took %s", topic, b.line, time.Since(began).Round(time.Millisecond))
		case "text":
			if i == 0 || list[i-1].kind == "sh package" {
				continue // packaging/test compares it
			}
			for _, l := range strings.Split(strings.TrimSpace(r.fill(b.text)), "\n") {
				if !regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(l)), "…", ".*")).MatchString(said) {
					r.t.Errorf("%s:%d: %q was not said:\n%s", topic, b.line, l, said)
				}
			}
		case "sh package": // packaging/test runs it
		default:
			r.t.Errorf("%s:%d: a block of the kind %q: nobody runs it", topic, b.line, b.kind)
		}
		if b.kind == "text" && commandLike.MatchString(b.text) {
			r.t.Errorf("%s:%d: a command in a block that nobody runs", topic, b.line)
		}
	}
	for id := range at {
		r.t.Errorf("%s has no section %q with a command below it", topic, id)
	}
}

var commandLike = regexp.MustCompile(`(?m)^\s*(\$|sudo |farol |systemctl |apt |kopia )`)

// partIDs are the sections' names, one a heading; "" for those below the second
// level.
func partIDs(heads []string, page docs.Page) []string {
	var out []string
	n := 0
	for _, h := range heads {
		if h != "##" {
			out = append(out, "")
			continue
		}
		out = append(out, page.Parts[n].ID)
		n++
	}
	return out
}

// TestEveryCommandOfTheManualWorks reads it in the order of a firm's life: set
// up, give back, go off-site, lose the machine.
func TestEveryCommandOfTheManualWorks(t *testing.T) {
	r := newReader(t)
	r.must(r.units.start("farol")) // as an installation leaves it
	r.read("install", nil)
	r.read("first-backup", map[string]func(){"run-the-first-backup": r.setUp})
	r.read("restore", nil)
	for _, topic := range []string{"security", "formats", "faq"} {
		r.read(topic, nil)
	}
	r.read("offsite", map[string]func(){"pair": r.pair})
	r.read("upgrade", nil)
	r.read("total-loss", map[string]func(){"recover-on-a-new-machine": r.lose, "take-over-on-the-nodes-machine": r.pairAgain, "only-the-key-is-lost": r.loseKey})
}
