package replica

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/keys"
	"farol/internal/record"
)

// copied is an archive and a log with some life in them.
type copied struct {
	a    *archive.Archive
	log  *audit.Log
	root keys.Root
}

func newCopied(t *testing.T) *copied {
	t.Helper()
	root, err := keys.New()
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.Create(t.Context(), filepath.Join(t.TempDir(), "a"), root, archive.Options{KeepJournal: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	a.SetRelocate(func(context.Context, archive.Moves) error { return nil })
	log, _ := newLog(t, t.TempDir())
	return &copied{a, log, root}
}

func (c *copied) live(t *testing.T, from int) {
	t.Helper()
	commitSome(t, c.a, from, 20)
	if _, err := c.a.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.a.Maintain(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	commitSome(t, c.a, from+20, 10)
	if _, err := c.log.Append(t.Context(), audit.Event{Operation: "login", Outcome: "ok"}, audit.Event{Operation: "login", Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
}

// TestStoragePlaces lives the whole life of a place on each kind: added,
// filled, caught up, damaged and healed, brought home and adopted, retired.
func TestStoragePlaces(t *testing.T) {
	for _, kind := range []struct {
		name string
		make func(t *testing.T) (cfg PlaceConfig, dir string)
	}{{"folder", func(t *testing.T) (PlaceConfig, string) {
		dir := t.TempDir()
		return PlaceConfig{Kind: "dir", Path: dir}, dir
	}}, {"s3", startS3}, {"sftp", startSFTP}} {
		t.Run(kind.name, func(t *testing.T) {
			cfg, dir := kind.make(t)
			aPlace(t, cfg, dir)
		})
	}
}

func aPlace(t *testing.T, cfg PlaceConfig, dir string) {
	ctx := t.Context()
	c := newCopied(t)
	cfg, err := AddPlace(ctx, cfg, c.a.ID())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := AddPlace(ctx, cfg, c.a.ID()); err != nil || again.ID != cfg.ID {
		t.Fatalf("taken up again as %q, %v", again.ID, err)
	}
	if _, err := AddPlace(ctx, cfg, strings.Repeat("0", 32)); !errors.Is(err, ErrForeign) {
		t.Fatalf("another archive was let in: %v", err)
	}
	p := NewPlace(cfg, nil, nil)
	defer p.Close()
	for round := range 3 {
		c.live(t, round*30)
		if err := p.Sync(ctx, c.a, c.log); err != nil {
			t.Fatal(err)
		}
	}
	before := p.Status().Done
	if err := p.Sync(ctx, c.a, c.log); err != nil || p.Status().Done != before || p.Status().State != "current" {
		t.Fatalf("a sync of nothing copied %d bytes: %+v %v", p.Status().Done-before, p.Status(), err)
	}
	p.Close() // what it holds must come from the place, not from memory
	if err := p.Sync(ctx, c.a, c.log); err != nil || p.Status().Done != before {
		t.Fatalf("after a restart %d bytes in place of %d: %v", p.Status().Done, before, err)
	}
	if rep, err := p.Verify(ctx, c.a, nil); err != nil || len(rep.Damaged) > 0 || rep.Files < 5 {
		t.Fatalf("%+v %v", rep, err)
	}
	harm(t, dir)
	if rep, err := p.Verify(ctx, c.a, nil); err != nil || len(rep.Damaged) != 1 {
		t.Fatalf("%+v %v", rep, err)
	}
	if rep, err := p.Verify(ctx, c.a, nil); err != nil || len(rep.Damaged) > 0 {
		t.Fatalf("not healed: %+v %v", rep, err)
	}
	p.Close()
	home(t, c, cfg)
	if err := p.Retire(ctx, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Sync(ctx, c.a, c.log); !errors.Is(err, ErrRetired) || p.Status().State != "retired" {
		t.Fatalf("a retired place was written to: %v", err)
	}
	steps := int64(0)
	if err := p.Retire(ctx, true, func(done, _ int64) { steps = done }); err != nil || steps < 10 {
		t.Fatal(steps, err)
	}
	if err := p.Sync(ctx, c.a, c.log); !errors.Is(err, ErrGone) {
		t.Fatalf("an erased place was written to: %v", err)
	}
}

// harm changes one byte of one pack at the place.
func harm(t *testing.T, dir string) {
	t.Helper()
	done := errors.New("done")
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "/archive/p/") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b[len(b)/2] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
		return done
	})
	if err != done {
		t.Fatalf("no pack was found to harm: %v", err)
	}
}

// home fetches the copy, adopts it and compares.
func home(t *testing.T, c *copied, cfg PlaceConfig) {
	t.Helper()
	homeAt(t, c, cfg, time.Time{})
}

// homeAt does it as of a time.
func homeAt(t *testing.T, c *copied, cfg PlaceConfig, at time.Time) {
	t.Helper()
	dir, logDir := filepath.Join(t.TempDir(), "new"), filepath.Join(t.TempDir(), "log")
	var done, total int64
	for range 2 { // the second time most is there
		if _, err := FetchPlace(t.Context(), cfg, at, dir, logDir, func(d, n int64) { done, total = d, n }); err != nil {
			t.Fatal(err)
		}
	}
	if done == 0 || done > total {
		t.Errorf("progress %d of %d", done, total)
	}
	b, err := archive.Adopt(t.Context(), dir, c.root, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	want := map[string]record.Hash{}
	if err := c.a.Walk(t.Context(), func(r record.Record, _ record.Loc, _ uint64, _ int) error { want[r.ID] = r.Hash(); return nil }); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := b.Walk(t.Context(), func(r record.Record, _ record.Loc, _ uint64, _ int) error {
		if want[r.ID] != r.Hash() {
			return fmt.Errorf("record %s differs", r.ID)
		}
		n++
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n != len(want) || n != 90 || b.LastSeq() != c.a.LastSeq() {
		t.Fatalf("%d of %d records, commit %d of %d", n, len(want), b.LastSeq(), c.a.LastSeq())
	}
	if rep, err := b.Check(t.Context(), true, nil); err != nil || !rep.OK() {
		t.Fatalf("%+v %v", rep, err)
	}
	entries, err := os.ReadFile(filepath.Join(logDir, "entries.log"))
	if err != nil || len(entries) == 0 {
		t.Fatal(len(entries), err)
	}
	if cp, err := os.ReadFile(filepath.Join(logDir, "checkpoint")); err != nil || !strings.Contains(string(cp), fmt.Sprintf("\n%d\n", c.log.Size())) {
		t.Fatalf("checkpoint %q, %v", cp, err)
	}
}

// TestAVanishedMountIsNotAnEmptyDisk takes the folder away under a place, and
// puts an empty one, then another disk, where it was.
func TestAVanishedMountIsNotAnEmptyDisk(t *testing.T) {
	ctx := t.Context()
	c := newCopied(t)
	c.live(t, 0)
	dir := filepath.Join(t.TempDir(), "nas")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg, err := AddPlace(ctx, PlaceConfig{Kind: "dir", Path: dir}, c.a.ID())
	if err != nil {
		t.Fatal(err)
	}
	p := NewPlace(cfg, nil, nil)
	defer p.Close()
	if err := p.Sync(ctx, c.a, c.log); err != nil {
		t.Fatal(err)
	}
	away := dir + ".away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	if err := p.Sync(ctx, c.a, c.log); !errors.Is(err, ErrGone) {
		t.Fatalf("without its folder: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c.live(t, 30)
	for range 2 {
		if err := p.Sync(ctx, c.a, c.log); !errors.Is(err, ErrGone) {
			t.Fatalf("with an empty folder in its place: %v", err)
		}
	}
	if _, err := p.File(ctx, "kopia.repository.f"); !errors.Is(err, ErrGone) {
		t.Fatalf("healing from an empty folder: %v", err)
	}
	if des, err := os.ReadDir(dir); err != nil || len(des) > 0 {
		t.Fatalf("the empty folder was written to: %v %v", des, err)
	}
	other := cfg
	if other, err = AddPlace(ctx, PlaceConfig{Kind: "dir", Path: dir}, c.a.ID()); err != nil || other.ID == cfg.ID {
		t.Fatal(other, err)
	}
	if err := p.Sync(ctx, c.a, c.log); !errors.Is(err, ErrGone) {
		t.Fatalf("with another place's disk: %v", err)
	}
	if err := errors.Join(os.RemoveAll(dir), os.Rename(away, dir)); err != nil {
		t.Fatal(err)
	}
	if err := p.Sync(ctx, c.a, c.log); err != nil {
		t.Fatalf("with its own folder back: %v", err)
	}
	if rep, err := p.Verify(ctx, c.a, nil); err != nil || len(rep.Damaged) > 0 {
		t.Fatalf("%+v %v", rep, err)
	}
	if _, err := AddPlace(ctx, PlaceConfig{Kind: "dir", Path: filepath.Dir(dir)}, c.a.ID()); !errors.Is(err, ErrForeign) {
		t.Fatalf("a folder with something in it was taken: %v", err)
	}
	cfg.Mounted = true // as if it had been a disk of its own, which it is not now
	if err := NewPlace(cfg, nil, nil).Sync(ctx, c.a, c.log); !errors.Is(err, ErrGone) {
		t.Fatalf("a mount that is none any more: %v", err)
	}
}

// program builds a server out of the module proxy, once a machine.
func program(t *testing.T, name, module, version, pkg string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("no %s: %v", name, err)
	}
	bin := filepath.Join(cache, "farol-test", name+"-"+version)
	if _, err := os.Stat(bin); err == nil {
		return bin
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "install", "-trimpath", module+pkg+"@"+version)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "GOBIN="+filepath.Join(cache, "farol-test"), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("no %s here, it cannot be built: %v: %.300s", name, err, out)
	}
	if err := os.Rename(filepath.Join(cache, "farol-test", name), bin); err != nil {
		t.Skipf("no %s here: %v", name, err)
	}
	return bin
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// startS3 runs a real S3 server, the Versity gateway over a folder.
func startS3(t *testing.T) (PlaceConfig, string) {
	bin := program(t, "versitygw", "github.com/versity/versitygw", "v1.8.0", "/cmd/versitygw")
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "data"), 0o700), os.Mkdir(filepath.Join(dir, "data", "farol"), 0o700), os.Mkdir(filepath.Join(dir, "meta"), 0o700), os.Mkdir(filepath.Join(dir, "versions"), 0o700)); err != nil {
		t.Fatal(err)
	}
	addr := freePort(t)
	cmd := exec.Command(bin, "--port", addr, "--access", "test", "--secret", "testsecret", "--region", "us-east-1", "posix", "--versioning-dir", filepath.Join(dir, "versions"), "--sidecar", filepath.Join(dir, "meta"), filepath.Join(dir, "data"))
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Skipf("no S3 server: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the S3 server said: %.3000s", said.String())
		}
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if resp, err := http.Get("http://" + addr + "/"); err == nil {
			resp.Body.Close()
			break
		} else if time.Now().After(end) {
			t.Fatalf("the S3 server does not answer: %v", err)
		}
	}
	return PlaceConfig{Kind: "s3", Host: addr, Bucket: "farol", Path: "macau/hq", Region: "us-east-1", User: "test", Secret: "testsecret", Plain: true}, filepath.Join(dir, "data", "farol", "macau", "hq")
}

// startSFTP serves OpenSSH's sftp-server behind a small SSH server.
func startSFTP(t *testing.T) (PlaceConfig, string) {
	server := ""
	for _, path := range []string{"/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "/usr/lib/ssh/sftp-server", "/usr/libexec/openssh/sftp-server"} {
		if _, err := os.Stat(path); err == nil {
			server = path
		}
	}
	if server == "" {
		t.Skip("no sftp-server here: install Debian's openssh-sftp-server")
	}
	hostPub, hostKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	userPub, userKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(hostKey)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := ssh.NewPublicKey(userPub)
	if err != nil {
		t.Fatal(err)
	}
	conf := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(mine.Marshal()) {
			return nil, errors.New("a stranger")
		}
		return &ssh.Permissions{}, nil
	}}
	conf.AddHostKey(signer)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go serveSFTP(c, conf, server)
		}
	}()
	block, err := ssh.MarshalPrivateKey(userKey, "")
	if err != nil {
		t.Fatal(err)
	}
	hp, err := ssh.NewPublicKey(hostPub)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return PlaceConfig{Kind: "sftp", Host: ln.Addr().String(), Path: dir, User: "farol", Secret: string(pem.EncodeToMemory(block)), HostKey: string(ssh.MarshalAuthorizedKey(hp))}, dir
}

func serveSFTP(c net.Conn, conf *ssh.ServerConfig, server string) {
	conn, chans, reqs, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(reqs)
	for nc := range chans {
		ch, rs, err := nc.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range rs {
				ok := r.Type == "subsystem" && strings.HasSuffix(string(r.Payload), "sftp")
				_ = r.Reply(ok, nil)
				if !ok {
					continue
				}
				cmd := exec.Command(server)
				cmd.Stdin, cmd.Stdout = ch, ch
				_ = cmd.Run()
				_ = ch.Close()
			}
		}()
	}
}

// TestAnotherHostKeyIsRefused holds the pin of the SFTP server's key.
func TestAnotherHostKeyIsRefused(t *testing.T) {
	cfg, _ := startSFTP(t)
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	cfg.HostKey = string(ssh.MarshalAuthorizedKey(other))
	if _, err := AddPlace(t.Context(), cfg, strings.Repeat("a", 32)); err == nil {
		t.Fatal("a server with another host key was accepted")
	}
}
