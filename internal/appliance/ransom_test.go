package appliance

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/backup"
	"farol/internal/dingtalk/simulator"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/settings"
	"farol/internal/watch"
	"farol/internal/web"
)

// attacked is an appliance with a day behind it and its node, in an attacker's
// hands: he is root on the appliance and nobody on the node.
type attacked struct {
	t       *testing.T
	cfg     Config
	a       *Appliance
	end     func() // of the appliance, whatever became of its disk
	nodeDir string
	node    *replica.Node
	stop    func() // of the node
	shares  []string
	before  map[string]string // every record and attachment that the node acknowledged
	entries int64             // of the audit log that it witnessed
	start   time.Time         // the first act

	stolen replica.Peer

	ahead   *atomic.Int64 // of the node's clock
	earlier bool          // a person took the newest lock for false
}

// TestRansomwareRehearsal has root on the appliance destroy it, set it back, flood
// and poison the node with the stolen certificate and keys. Each time an alarm is
// raised, and what the node had acknowledged comes back from it bit for bit.
func TestRansomwareRehearsal(t *testing.T) {
	base := dayBehind(t)
	for _, act := range []struct {
		name string
		do   func(*attacked)
	}{
		{"delete", func(x *attacked) {
			x.destroy(func(path string, _ int64) error { return os.Remove(path) })
		}},
		{"overwrite with noise", func(x *attacked) { x.destroy(noise) }},
		{"truncate", func(x *attacked) {
			x.destroy(func(path string, size int64) error { return os.Truncate(path, size/2) })
		}},
		{"roll back", (*attacked).rollBack},
		{"flood", (*attacked).flood},
		{"poison the node with the stolen certificate", (*attacked).poison},
		{"ship false commits with the stolen keys", (*attacked).forge},
	} {
		t.Run(act.name, func(t *testing.T) {
			t.Parallel()
			x := base.copy(t)
			act.do(x)
		})
	}
}

// dayBehind lives a day: what a simulated tenant has, as far as it was read by then
// (FAROL_RANSOM=full waits for all of it), acknowledged by the node; then both stop.
func dayBehind(t *testing.T) *attacked {
	h := newStart(t, simulator.Options{Seed: 3, People: 12, Messages: 100}, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})))
	ctx, a := t.Context(), h.a
	if err := a.Bind(ctx, web.Binding{Region: "custom", BaseURL: h.simURL, ClientID: h.sim.ClientID(), ClientSecret: h.sim.ClientSecret()}); err != nil {
		t.Fatal(err)
	}
	if err := a.Enrol(ctx, h.nodeAddr, h.node.NewCode()); err != nil {
		t.Fatal(err)
	}
	if _, err := a.engine.Start(ctx, backup.Full, "test"); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("FAROL_RANSOM") == "full" {
		waitRun(t, a)
	} else {
		eventually(t, "a day's worth of the tenant", func() bool { return a.archive.LastSeq() >= 25 })
	}
	if _, err := a.archive.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.sealControl(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.caughtUp(ctx); err != nil {
		t.Fatal(err)
	}
	// the tenant is silent from here on, so that a copy of this day stands still
	if err := a.settings.SetAll(ctx, map[string]string{settings.ClientID: ""}, nil); err != nil {
		t.Fatal(err)
	}
	x := &attacked{t: t, cfg: a.cfg, nodeDir: h.folders[0], shares: sharesOf(t, a.root)}
	h.stop()
	return x
}

// copy begins another morning from the same evening, on machines of its own.
func (x *attacked) copy(t *testing.T) *attacked {
	y := &attacked{t: t, cfg: bench(t), nodeDir: filepath.Join(t.TempDir(), "node"), shares: x.shares, ahead: &atomic.Int64{}}
	for from, to := range map[string]string{x.cfg.StateDir: y.cfg.StateDir, x.cfg.ArchiveDir: y.cfg.ArchiveDir, x.nodeDir: y.nodeDir} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(x.cfg.HostKey)
	if err == nil {
		err = os.WriteFile(y.cfg.HostKey, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if y.node, err = replica.OpenNode(y.nodeDir, nil, func() time.Time { return time.Now().Add(time.Duration(y.ahead.Load())) }); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); y.node.Serve(ctx, ln) }()
	y.stop = func() { cancel(); <-ended }
	t.Cleanup(func() { y.stop() })
	y.a, err = Open(t.Context(), y.cfg, Logger("error"))
	if err != nil {
		t.Fatal(err)
	}
	// the node moved to another address
	var p replica.Peer
	if _, err := y.a.settings.GetJSON(t.Context(), settings.OffsiteID, &p); err != nil {
		t.Fatal(err)
	}
	p.Address = "https://" + ln.Addr().String()
	b, err = json.Marshal(p)
	if err == nil {
		err = y.a.settings.SetAll(t.Context(), map[string]string{settings.OffsiteURL: p.Address}, map[string]string{settings.OffsiteID: string(b)})
	}
	if err = errors.Join(err, y.a.Close()); err != nil {
		t.Fatal(err)
	}
	y.run()
	y.work("this morning")
	y.before, y.entries = everything(t, y.a), y.witnessed()
	return y
}

// run starts the daemon.
func (x *attacked) run() {
	x.t.Helper()
	a, err := Open(x.t.Context(), x.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		x.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	select {
	case <-a.ready:
	case err := <-ended:
		x.t.Fatal(err)
	}
	done := false
	x.a, x.end = a, func() {
		if !done {
			done = true
			cancel()
			<-ended
			a.Close() // says what it likes: its disk is destroyed
		}
	}
	x.t.Cleanup(x.end)
}

// work commits a message with a large attachment and waits until the node holds
// it, its index and the log about it.
func (x *attacked) work(what string) {
	x.t.Helper()
	ctx := x.t.Context()
	file := make([]byte, 200<<10)
	_, _ = rand.Read(file)
	b, err := x.a.archive.PutBlob(ctx, what, int64(len(file)), bytes.NewReader(file))
	if err != nil {
		x.t.Fatal(err)
	}
	raw := fmt.Sprintf(`{"dept_id":1,"name":%q}`, what)
	if _, err := x.a.archive.Commit(ctx, archive.Batch{Records: []record.Record{{Ref: record.Ref{Kind: record.Contacts, Container: "org", ID: what}, Time: time.UnixMilli(1.7e12).UTC(), Raw: []byte(raw), Blobs: []record.Blob{b}}}}); err != nil {
		x.t.Fatal(err)
	}
	x.a.archive.Applied(x.a.archive.LastSeq())
	if _, err := x.a.audit.Append(ctx, audit.Event{Actor: "chan", Operation: "view", Object: "record/1", Outcome: "ok"}); err != nil {
		x.t.Fatal(err)
	}
	if err := x.a.sealControl(ctx); err != nil {
		x.t.Fatal(err)
	}
	if err := x.a.caughtUp(ctx); err != nil {
		x.t.Fatal(err)
	}
	eventually(x.t, "the log is witnessed", func() bool { return x.witnessed() >= x.a.audit.Size() })
}

func (x *attacked) witnessed() int64 { return x.held().Witnessed }

func (x *attacked) held() replica.Held {
	x.t.Helper()
	hs, err := replica.NodeStatus(x.nodeDir, 0, time.Now().Add(time.Duration(x.ahead.Load())))
	if err != nil || len(hs) != 1 {
		x.t.Fatalf("%+v %v", hs, err)
	}
	return hs[0]
}

// everything is each record and each of its attachments, by name, as hashes.
func everything(t *testing.T, a *Appliance) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := a.archive.Walk(t.Context(), func(r record.Record, _ record.Loc, commit uint64, leaf int) error {
		key := fmt.Sprintf("%d/%d %s", commit, leaf, r.Ref)
		whole, err := json.Marshal(r)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(append(whole, r.Raw...))
		out[key] = hex.EncodeToString(sum[:])
		for _, b := range r.Blobs {
			if b.Object == "" {
				continue
			}
			f, err := a.archive.OpenBlob(t.Context(), b)
			if err != nil {
				return err
			}
			h := sha256.New()
			_, err = io.Copy(h, f)
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
			if record.Hash(h.Sum(nil)) != b.SHA256 {
				return fmt.Errorf("attachment of %s differs from its hash", key)
			}
			out[key+" "+b.Object] = b.SHA256.String()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// comesBack recovers onto a new machine and compares.
func (x *attacked) comesBack(at time.Time) (aside []Foreign) {
	x.t.Helper()
	x.end()
	cfg, began := bench(x.t), time.Now()
	err := Recover(x.t.Context(), cfg, Recovery{Address: x.addr(), Code: x.node.NewCode(), Shares: x.shares[1:], Before: at, EarlierLock: x.earlier, Aside: func(f Foreign) { aside = append(aside, f) }}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		x.t.Fatalf("recover: %v", err)
	}
	b, stop := runs(x.t, cfg)
	defer stop()
	got := everything(x.t, b)
	for key, sum := range x.before {
		if got[key] != sum {
			x.t.Errorf("%s was acknowledged and is %q now", key, got[key])
		}
	}
	for key := range got {
		if _, ok := x.before[key]; !ok {
			x.t.Errorf("%s was never acknowledged before the attack", key)
		}
	}
	if e, err := b.audit.Entry(0); err != nil || e.Operation == "audit.tamper" {
		x.t.Errorf("the audit log did not come back: %+v %v", e, err)
	}
	if n, err := b.audit.Verify(); err != nil || n < x.entries {
		x.t.Errorf("the audit log has %d whole entries, %d were witnessed: %v", n, x.entries, err)
	}
	if rep, err := b.archive.Check(x.t.Context(), true, nil); err != nil || !rep.OK() {
		x.t.Errorf("the archive read back: %+v %v", rep, err)
	}
	x.goesOn(b)
	x.t.Logf("%d records and attachments came back as they were, %d files put aside, in %v", len(x.before), len(aside), time.Since(began).Round(time.Millisecond))
	return aside
}

// goesOn enrols the recovered appliance with the same node, which takes it up. From
// then on it is what comes home from there, and nothing of the attacker's.
func (x *attacked) goesOn(b *Appliance) {
	x.t.Helper()
	x.node.Bound(0, 0)
	if err := b.Enrol(x.t.Context(), x.addr(), x.node.NewCode()); err != nil {
		x.t.Fatalf("enrol again: %v", err)
	}
	commitOne(x.t, b, "after it all")
	ctx, cancel := context.WithTimeout(x.t.Context(), 20*time.Second)
	defer cancel()
	if err := b.caughtUp(ctx); err != nil {
		x.t.Fatalf("%v; %v", err, b.currentSender().Status().Err)
	}
	eventually(x.t, "the recovered appliance's log is witnessed", func() bool { return x.witnessed() >= b.audit.Size() })
	if h := x.held(); h.Conflicts > 0 || h.Refused > 0 {
		x.t.Errorf("the node is not at peace with the recovered appliance: %+v", h)
	}
	cfg := bench(x.t)
	if err := Recover(x.t.Context(), cfg, Recovery{Address: x.addr(), Code: x.node.NewCode(), Shares: x.shares[1:]}, slog.New(slog.DiscardHandler), nil); err != nil {
		x.t.Fatalf("recover once more: %v", err)
	}
	c, stop := runs(x.t, cfg)
	defer stop()
	if got, want := everything(x.t, c), everything(x.t, b); !maps.Equal(got, want) {
		x.t.Errorf("recovered once more there are %d records and attachments, %d were there", len(got), len(want))
	}
}

func (x *attacked) addr() string {
	x.t.Helper()
	return strings.TrimPrefix(x.peer().Address, "https://")
}

// peer is what the attacker finds: the certificate that the node knows.
func (x *attacked) peer() replica.Peer {
	x.t.Helper()
	if x.stolen.Address == "" {
		if _, err := x.a.settings.GetJSON(x.t.Context(), settings.OffsiteID, &x.stolen); err != nil {
			x.t.Fatal(err)
		}
	}
	return x.stolen
}

// noticed waits for an alarm on the appliance's console.
func (x *attacked) noticed(cause watch.Cause, bound string) {
	x.t.Helper()
	eventually(x.t, fmt.Sprintf("an alarm of %s", cause), func() bool {
		as, err := x.a.watch.Alarms(x.t.Context(), 20)
		return err == nil && slices.ContainsFunc(as, func(a watch.Alarm) bool { return a.Cause == cause && a.Closed.IsZero() })
	})
	x.t.Logf("alarm %q on the console %v after the first act; %s", cause, time.Since(x.start).Round(time.Millisecond), bound)
}

// told waits for the node's word to its operator.
func (x *attacked) told(what string, ok func(replica.Held) bool) {
	x.t.Helper()
	eventually(x.t, "the node says: "+what, func() bool { h := x.held(); return h.Alarm() && ok(h) })
	x.t.Logf("the node says %q %v after the first act, at once", what, time.Since(x.start).Round(time.Millisecond))
}

// silenced ends the daemon: the node's silence is the last alarm there is.
func (x *attacked) silenced() {
	x.t.Helper()
	x.end()
	x.ahead.Add(int64(replica.DefaultSilence + 2*time.Minute))
	if h := x.held(); !h.Silent || !h.Alarm() {
		x.t.Errorf("an appliance that is gone is no alarm: %+v", h)
	}
	x.t.Logf("the node says SILENT at most %v after the last word", replica.DefaultSilence+time.Minute)
}

// destroy does something to every file of the archive, then of the state.
func (x *attacked) destroy(do func(path string, size int64) error) {
	x.peer()
	held, err := x.a.stateFiles()
	if err != nil {
		x.t.Fatal(err)
	}
	if err := x.a.lookAtFiles(x.t.Context(), held); err != nil { // the last look before
		x.t.Fatal(err)
	}
	if open, err := x.a.watch.Open(x.t.Context()); err != nil || open {
		x.t.Fatalf("an alarm before anything happened: %v", err)
	}
	x.start = time.Now()
	x.each(x.cfg.ArchiveDir, do)
	if err := x.a.lookAtFiles(x.t.Context(), held); err != nil {
		x.t.Error(err)
	}
	x.noticed(watch.Damage, fmt.Sprintf("the next look is at most %v later", lookEvery))
	again := time.Now()
	x.each(x.cfg.StateDir, do)
	if err := x.a.lookAtFiles(x.t.Context(), held); !errors.Is(err, audit.ErrTampered) {
		x.t.Errorf("what became of the log is not noticed: %v", err)
	}
	x.t.Logf("log and databases: noticed %v after; the next look is at most %v later", time.Since(again).Round(time.Millisecond), lookEvery)
	if len(held) != 0 {
		x.t.Errorf("not noticed: what became of %v", slices.Collect(maps.Keys(held)))
	}
	x.silenced()
	x.comesBack(time.Time{})
}

func (x *attacked) each(dir string, do func(path string, size int64) error) {
	x.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info os.FileInfo
			if info, err = d.Info(); err == nil && info.Size() > 0 {
				err = do(path, info.Size())
			}
		}
		if errors.Is(err, os.ErrNotExist) { // the appliance lives on meanwhile: what was being written has its name now
			return nil
		}
		return err
	})
	if err != nil {
		x.t.Fatal(err)
	}
}

func noise(path string, size int64) error {
	b := make([]byte, size)
	_, _ = rand.Read(b)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// rollBack puts an older state of the whole machine back and lets it go on from
// there.
func (x *attacked) rollBack() {
	x.peer()
	x.end()
	older := x.t.TempDir()
	dirs := map[string]string{x.cfg.StateDir: filepath.Join(older, "state"), x.cfg.ArchiveDir: filepath.Join(older, "archive")}
	for dir, to := range dirs {
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
			x.t.Fatal(err)
		}
	}
	x.run()
	x.work("after the copy")
	x.before, x.entries = everything(x.t, x.a), x.witnessed()
	x.end()
	x.start = time.Now()
	for dir, from := range dirs {
		if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(from))); err != nil {
			x.t.Fatal(err)
		}
	}
	x.run()
	commitOne(x.t, x.a, "on the older copy")
	if err := x.a.sealControl(x.t.Context()); err != nil {
		x.t.Fatal(err)
	}
	x.noticed(watch.LogTamper, "as soon as the node answers")
	x.told("refused", func(h replica.Held) bool { return h.Refused > 0 })
	x.comesBack(time.Time{})
}

// thief speaks to the node with the stolen certificate.
type thief struct {
	t    *testing.T
	http *http.Client
	base string
}

func (x *attacked) thief() thief {
	x.t.Helper()
	p := x.peer()
	cert, err := p.Identity.TLS()
	if err != nil {
		x.t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}}
	x.t.Cleanup(tr.CloseIdleConnections)
	return thief{x.t, &http.Client{Transport: tr}, p.Address}
}

func (th thief) send(method, path string, body []byte) int {
	th.t.Helper()
	rq, err := http.NewRequestWithContext(th.t.Context(), method, th.base+path, bytes.NewReader(body))
	if err != nil {
		th.t.Fatal(err)
	}
	rq.Header.Set("Farol-Protocol", "2")
	rq.Header.Set("X-SHA256", record.HashOf(body).String())
	rq.Header.Set("Farol-Put-At", "4294967295/9223372036854775807")
	if strings.Contains(path, "@@") { // without a word of its place in the put log
		rq.Header.Del("Farol-Put-At")
		rq.URL.Path = strings.Replace(rq.URL.Path, "@@", "", 1)
	}
	resp, err := th.http.Do(rq)
	if err != nil {
		th.t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func (th thief) blob(name string, b []byte) int {
	return th.send(http.MethodPut, "/v1/blobs/@@"+name, b)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// flood fills the quota.
func (x *attacked) flood() {
	th := x.thief()
	x.node.Bound(x.held().Used+(3<<20), 0)
	x.start = time.Now()
	full := 0
	for i := range 16 {
		if th.blob(fmt.Sprintf("p~%03x~%028x.f", i, i), random(1<<20)) == http.StatusRequestEntityTooLarge {
			full++
		}
	}
	if full == 0 {
		x.t.Fatal("the flood was not refused")
	}
	x.told("full", func(h replica.Held) bool { return h.Full })
	if _, err := x.a.archive.Commit(x.t.Context(), archive.Batch{Records: []record.Record{{Ref: record.Ref{Kind: record.Contacts, Container: "org", ID: "no room"}, Time: time.Now().UTC(), Raw: fmt.Appendf(nil, `{"x":"%x"}`, random(2<<20))}}}); err != nil {
		x.t.Fatal(err)
	}
	x.noticed(watch.Refused, "as soon as something new finds no room")
	x.comesBack(time.Time{})
}

// poison puts what is none of the archive's beside what is.
func (x *attacked) poison() {
	th := x.thief()
	lock, err := os.ReadFile(filepath.Join(x.cfg.ArchiveDir, "archive", archive.LockName))
	if err != nil {
		x.t.Fatal(err)
	}
	x.start = time.Now()
	taken := func(what string, code int) {
		x.t.Helper()
		if code != http.StatusOK {
			x.t.Fatalf("the rehearsal is none: %s was answered with %d", what, code)
		}
	}
	if code := th.blob(archive.LockName, random(len(lock))); code != http.StatusConflict {
		x.t.Errorf("noise for the lock was answered with %d", code)
	}
	var v map[string]any
	if err := json.Unmarshal(lock, &v); err != nil {
		x.t.Fatal(err)
	}
	for key, val := range v { // the same id, and nothing that opens
		if s, ok := val.(string); ok && key != "uniqueID" && len(s) > 40 {
			v[key] = strings.Repeat("AAAA", len(s)/4)
		}
	}
	false_, err := json.Marshal(v)
	if err != nil {
		x.t.Fatal(err)
	}
	taken("a false lock", th.blob(archive.LockName, false_))
	x.told("conflict", func(h replica.Held) bool { return h.Conflicts > 0 })
	x.told("replaced", func(h replica.Held) bool { return h.Replaced })
	taken("a false schedule", th.blob("kopia.maintenance.f", random(300)))
	taken("false settings", th.blob("kopia.blobcfg.f", random(300)))
	taken("a false layout", th.blob(".shards", []byte(`{"default":[2,2,2],"maxNonShardedLength":1}`)))
	taken("a false index", th.blob("x~n0_~"+hex.EncodeToString(random(16))+"-s"+hex.EncodeToString(random(8))+"-c1.f", random(5000)))
	taken("a false compaction", th.blob("x~r0_~99_"+hex.EncodeToString(random(16))+"-s"+hex.EncodeToString(random(8))+"-c1.f", random(5000)))
	taken("an epoch far ahead", th.blob("xe99999999.f", []byte("epoch-marker")))
	taken("a pack", th.blob("p~abc~"+hex.EncodeToString(random(14))+".f", random(5000)))
	taken("a file where a folder belongs", th.blob("p", random(10)))
	taken("a file where a folder belongs", th.blob("x", random(10)))
	taken("a name of nobody", th.blob("evil.exe", random(10)))
	if code := th.send(http.MethodPut, "/v1/journal/4294967295-0000000001.fj?off=0", random(5000)); code != http.StatusConflict {
		x.t.Errorf("a journal of an epoch that nobody has was answered with %d", code)
	}
	taken("a journal", th.send(http.MethodPut, "/v1/journal/000001-0000077777.fj?off=0", random(5000)))
	head := append([]byte("FAROLJ1\n"), random(5000)...)
	taken("a journal with a head", th.send(http.MethodPut, "/v1/journal/000001-0000088888.fj?off=0", head))
	for _, f := range x.a.archive.JournalFiles() {
		th.send(http.MethodPut, fmt.Sprintf("/v1/journal/%s?off=%d", f.Name, f.Size), random(500))
	}
	entries, err := json.Marshal([][]byte{random(300), random(300)})
	if err != nil {
		x.t.Fatal(err)
	}
	taken("entries", th.send(http.MethodPut, fmt.Sprintf("/v1/log/%d", x.a.audit.Size()), entries))
	if code := th.send(http.MethodPut, "/v1/putpos/4294967295/1", nil); code == http.StatusOK && x.a.archive.Epoch() > 0 {
		x.t.Error("an epoch that nobody has was believed")
	}
	commitOne(x.t, x.a, "after it") // which the node cannot tell from a conflict
	x.noticed(watch.Refused, "as soon as something new is sent")
	x.end()
	rc := Recovery{Address: x.addr(), Code: x.node.NewCode(), Shares: x.shares[1:]}
	if err := Recover(x.t.Context(), bench(x.t), rc, slog.New(slog.DiscardHandler), nil); !saidAs(err, "recover.lock") {
		x.t.Fatalf("a false lock is told from the shares of a former key by a person alone: %v", err)
	}
	x.earlier = true
	aside := x.comesBack(time.Time{})
	for _, want := range []Foreign{{Name: archive.LockName, Why: archive.ForeignVersion}, {Name: "kopia.maintenance.f", Why: archive.ForeignVersion}, {Name: "evil.exe", Why: archive.ForeignName}, {Name: "p", Why: archive.ForeignName},
		{Name: "xe99999999.f", Why: archive.ForeignEpoch}, {Name: "journal/000001-0000077777.fj", Why: archive.ForeignJournal}, {Name: "journal/000001-0000088888.fj", Why: archive.ForeignJournal}} {
		if !slices.Contains(aside, want) {
			x.t.Errorf("%+v is not in the report", want)
		}
	}
	if n := len(slices.DeleteFunc(slices.Clone(aside), func(f Foreign) bool { return f.Why != archive.ForeignBytes })); n != 2 {
		x.t.Errorf("%d index files were put aside for their bytes", n)
	}
}

// forge commits what nobody said, sealed with the true keys: nothing tells it from
// the truth but when it came.
func (x *attacked) forge() {
	x.peer()
	x.ahead.Add(int64(time.Hour))
	at := time.Now().Add(time.Duration(x.ahead.Load()))
	x.ahead.Add(int64(time.Hour))
	x.start = time.Now()
	x.work("nobody ever said this")
	if _, err := x.a.archive.Fold(x.t.Context()); err != nil {
		x.t.Fatal(err)
	}
	x.work("nor this")
	if now := everything(x.t, x.a); len(now) <= len(x.before) {
		x.t.Fatal("nothing was forged")
	}
	x.t.Logf("no alarm tells what is sealed with the true keys; recovered as the node's history was at %s", at.UTC().Format(time.RFC3339))
	x.comesBack(at)
}
