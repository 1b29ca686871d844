package appliance

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"farol/internal/db"
	"farol/internal/keys"
	"farol/internal/replica"
	"farol/internal/settings"
)

// TestAnApplianceComesBackFromAStoragePlace loses the whole machine and rebuilds
// it from a folder and from an SFTP server, with two of three shares.
func TestAnApplianceComesBackFromAStoragePlace(t *testing.T) {
	t.Run("dir", func(t *testing.T) { comesBack(t, PlaceConfig{Kind: "dir", Path: t.TempDir()}) })
	t.Run("sftp", func(t *testing.T) { comesBack(t, sftpPlace(t)) })
}

// settingsOf is when each setting was written last.
func settingsOf(t *testing.T, d *db.DB) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := d.View(t.Context(), func(tx *db.Tx) error {
		rows, err := tx.QueryContext(t.Context(), "SELECT name, at FROM setting")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			var at int64
			if err := rows.Scan(&name, &at); err != nil {
				return err
			}
			out[name] = at
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func comesBack(t *testing.T, place PlaceConfig) {
	cfg := bench(t)
	a, stop := runs(t, cfg)
	defer stop()
	commitOne(t, a, "folded")
	if _, err := a.archive.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.settings.Set(t.Context(), map[string]string{settings.CorpID: "ding-test"}); err != nil {
		t.Fatal(err)
	}
	place.Name, place.Country = "the copy", "MO"
	if _, err := a.AddPlace(t.Context(), "test", place); err != nil {
		t.Fatal(err)
	}
	commitOne(t, a, "in the journal")
	if err := a.sealControl(t.Context()); err != nil {
		t.Fatal(err)
	}
	seq, entries, kept := a.archive.LastSeq(), a.audit.Size(), settingsOf(t, a.control)
	if err := a.places[0].Sync(t.Context(), a.archive, a.audit); err != nil {
		t.Fatal(err)
	}
	was, err := a.archive.Check(t.Context(), true, nil)
	if err != nil || !was.OK() {
		t.Fatalf("%+v %v", was, err)
	}
	shares := sharesOf(t, a.root)
	stop()
	if err := errors.Join(os.RemoveAll(cfg.StateDir), os.Remove(cfg.HostKey)); err != nil { // the disk is lost
		t.Fatal(err)
	}

	fresh := bench(t)
	log := Logger("error")
	other, err := keys.New()
	if err != nil {
		t.Fatal(err)
	}
	for what, rc := range map[string]Recovery{"one share": {Shares: shares[:1], Place: &place}, "another kit": {Shares: sharesOf(t, other)[:2], Place: &place}, "no such place": {Shares: shares[:2], Place: &PlaceConfig{Kind: "dir", Path: filepath.Join(t.TempDir(), "absent")}}} {
		if err := Recover(t.Context(), fresh, rc, log, nil); err == nil {
			t.Fatalf("recovered with %s", what)
		}
		if _, err := os.Stat(filepath.Join(fresh.StateDir, "control.db")); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("with %s something looks recovered: %v", what, err)
		}
	}
	var done, total int64
	if err := Recover(t.Context(), fresh, Recovery{Shares: shares[1:], Place: &place}, log, func(_ string, d, n int64) { done, total = d, n }); err != nil {
		t.Fatal(err)
	}
	if done == 0 || done > total {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	if err := Recover(t.Context(), fresh, Recovery{Shares: shares[1:], Place: &place}, log, nil); err == nil {
		t.Error("a recovered appliance was recovered over")
	}
	home, err := db.Open(t.Context(), filepath.Join(fresh.StateDir, "control.db"), db.Control, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := settingsOf(t, home); !maps.Equal(got, kept) {
		t.Errorf("not to the letter what was there: %v, was %v", got, kept)
	}
	if err := home.Close(); err != nil {
		t.Fatal(err)
	}
	b, stopB := runs(t, fresh)
	defer stopB()
	if got := b.archive.LastSeq(); got < seq {
		t.Errorf("the last commit is %d, it was %d", got, seq)
	}
	if corp, err := b.settings.Get(t.Context(), settings.CorpID); err != nil || corp != "ding-test" {
		t.Errorf("the settings: %q %v", corp, err)
	}
	if got := b.audit.Size(); got < entries {
		t.Errorf("the log has %d entries, it had %d", got, entries)
	}
	if rep, err := b.archive.Check(t.Context(), true, nil); err != nil || !rep.OK() || rep.Records != was.Records {
		t.Fatalf("%+v %v", rep, err)
	}
	counts, err := b.catalog.Counts(t.Context())
	if err != nil || len(counts) == 0 || counts[0].Items+counts[0].Bytes == 0 {
		t.Errorf("the catalog: %+v %v", counts, err)
	}
	// the place is this appliance's again and goes on
	commitOne(t, b, "after")
	eventually(t, "the copy goes on", func() bool { return copyNamed(t, b, "the copy").State == "current" })
	if rep, err := b.VerifyPlace(t.Context(), "test", copyNamed(t, b, "the copy").ID); err != nil || len(rep.Damaged) > 0 {
		t.Errorf("%+v %v", rep, err)
	}
}

func sharesOf(t testing.TB, root keys.Root) (out []string) {
	t.Helper()
	ss, err := keys.Split(root, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range ss {
		out = append(out, s.Text())
	}
	return out
}

// sftpPlace serves OpenSSH's sftp-server behind a small SSH server.
func sftpPlace(t *testing.T) replica.PlaceConfig {
	server := ""
	for _, path := range []string{"/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "/usr/lib/ssh/sftp-server", "/usr/libexec/openssh/sftp-server"} {
		if _, err := os.Stat(path); err == nil {
			server = path
		}
	}
	if server == "" {
		t.Skip("no sftp-server here: install Debian's openssh-sftp-server")
	}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	conf := &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, typed []byte) (*ssh.Permissions, error) {
		if string(typed) != "a password" {
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
	hp, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return replica.PlaceConfig{Kind: "sftp", Host: ln.Addr().String(), Path: t.TempDir(), User: "farol", Secret: "a password", HostKey: string(ssh.MarshalAuthorizedKey(hp))}
}

func serveSFTP(c net.Conn, conf *ssh.ServerConfig, server string) {
	_, chans, reqs, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return
	}
	defer c.Close()
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
				if ok {
					cmd := exec.Command(server)
					cmd.Stdin, cmd.Stdout = io.Reader(ch), ch
					_ = cmd.Run()
					_ = ch.Close()
				}
			}
		}()
	}
}
