package appliance

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farol/internal/audit"
	"farol/internal/record"
	"farol/internal/replica"
)

// TestAFirstCopyIsCarriedToTheNodeWithARecordOfCustody writes it onto a drive,
// takes it at the node and lets the line bring the rest.
func TestAFirstCopyIsCarriedToTheNodeWithARecordOfCustody(t *testing.T) {
	s := newSite(t)
	ctx, log := t.Context(), Logger("error")
	s.stopNode()
	keepOne(t, s.a, "one", "the first words of the house", make([]byte, 3<<20))
	if _, err := s.a.archive.Fold(ctx); err != nil {
		t.Fatal(err)
	}
	drive := t.TempDir()
	if _, err := s.a.Seed(ctx, "ana", filepath.Join(drive, "absent")); !saidAs(err, "seed.nodrive") {
		t.Fatalf("onto no drive: %v", err)
	}
	if _, err := s.a.Seed(ctx, "ana", s.cfg.StateDir); !saidAs(err, "place.add.inside") {
		t.Fatalf("into its own folder: %v", err)
	}
	if err := s.a.TransferOffsite(ctx, "ana", record.Transfer{Country: "HK"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.a.Seed(ctx, "ana", drive); !saidAs(err, "offsite.gate") {
		t.Fatalf("a drive for Hong Kong without papers: %v", err)
	}
	if err := s.a.TransferOffsite(ctx, "ana", record.Transfer{Country: "MO"}); err != nil {
		t.Fatal(err)
	}
	got, err := s.a.Seed(ctx, "ana", drive)
	if err != nil || got.Files == 0 {
		t.Fatalf("%+v %v", got, err)
	}
	form, err := os.ReadFile(got.Form)
	if err != nil || !strings.Contains(string(form), got.Sum.String()) || !strings.Contains(string(form), "封條") || strings.Contains(string(form), "first words") {
		t.Errorf("the form: %v\n%s", err, form)
	}
	es, _, err := s.a.audit.List(audit.Filter{Operation: "media.ship"}, 0, 5)
	if err != nil || len(es) != 1 || es[0].Actor != "ana" || es[0].Hash != got.Sum.String() {
		t.Errorf("%+v %v", es, err)
	}
	err = filepath.WalkDir(drive, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), "first words") {
			t.Errorf("%s can be read", d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	serving, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	in, out := net.Pipe() // what it prints says that it serves
	go func() {
		ended <- ServeNode(serving, s.nodeDir, "127.0.0.1:0", 0, time.Minute, Bounds{}, log, nil, out)
	}()
	if _, err := in.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	go func() { // the rest of what it prints
		b := make([]byte, 1024)
		for {
			if _, err := in.Read(b); err != nil {
				return
			}
		}
	}()
	var said strings.Builder
	if err := TakeSeed(ctx, s.nodeDir, drive, 0, log, &said); !saidAs(err, "node.serving") || !errors.Is(err, ErrInUse) {
		t.Errorf("beside a node that serves: %v", err)
	}
	cancel()
	if err := errors.Join(<-ended, in.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	if err := TakeSeed(ctx, t.TempDir(), drive, 0, log, &said); !saidAs(err, "seed.unenrolled") {
		t.Errorf("into a node that does not know the archive: %v", err)
	}
	if err := TakeSeed(ctx, s.nodeDir, drive, 0, log, &said); err != nil || !strings.Contains(said.String(), got.Sum.String()) {
		t.Fatalf("%v: %s", err, said.String())
	}
	if s.node, err = replica.OpenNode(s.nodeDir, nil, nil); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx2, stop := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() { defer close(over); s.node.Serve(ctx2, ln) }()
	s.stopNode = func() { stop(); <-over }
	s.ship(t)
}
