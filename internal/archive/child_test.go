package archive

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"farol/internal/record"
)

// child is the process that gets killed: it commits as fast as it can, with
// small and large blobs, folds now and then, is asked for its points, and says each number only after
// Commit returned it.
func child(dir string) {
	ctx := context.Background()
	a, err := Open(ctx, dir, testRoot, Options{KeepJournal: time.Nanosecond})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	a.SetRelocate(func(context.Context, Moves) error { return nil })
	go func() {
		for {
			if _, err := a.Fold(ctx); err != nil {
				fmt.Println("error", err)
			}
			if err := a.Maintain(ctx, rand.IntN(4) == 0); err != nil {
				fmt.Println("error", err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	go func() { // as the console does, whenever somebody looks
		for {
			if _, err := a.Points(ctx); err != nil {
				fmt.Println("error", err)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	for {
		seq := a.LastSeq() + 1
		recs := killed(int(seq))
		for i := range recs {
			for _, size := range []int{500, 100_000}[:int(seq)%3] {
				b, err := a.PutBlob(ctx, "f", -1, bytes.NewReader(filler(int(seq), size)))
				if err != nil {
					fmt.Println("error", err)
					return
				}
				recs[i].Blobs = append(recs[i].Blobs, b)
			}
		}
		c, err := a.Commit(ctx, Batch{Records: recs})
		if err != nil {
			fmt.Println("error", err)
			return
		}
		fmt.Println("ack", c.Seq)
	}
}

// killed are the records of commit seq.
func killed(seq int) []record.Record { return messages(fmt.Sprint("c", seq%3), seq*10, 1+seq%7) }

func filler(seed, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(n)})
	_, _ = r.Read(b)
	return b
}

// TestKill kills a writing process at random moments and compares every
// acknowledged commit after each: while it commits, puts blobs, folds and keeps
// the repository in order, and every fifth time while it opens and repairs what
// the kill before left. Two archives are killed side by side.
// FAROL_KILLS=1000 asks for as many kills.
func TestKill(t *testing.T) {
	kills := 50
	if s := os.Getenv("FAROL_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil || kills < 1 {
			t.Fatalf("FAROL_KILLS=%s is no number of kills", s)
		}
	}
	for lane := range 2 {
		t.Run(fmt.Sprint("archive ", lane+1), func(t *testing.T) {
			t.Parallel()
			for left := (kills + 1 - lane) / 2; left > 0; left -= 50 { // then a new one: reading it back grows with it
				killOften(t, min(left, 50))
			}
		})
	}
}

func killOften(t *testing.T, kills int) {
	a, dir := newArchive(t, Options{})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	last, early := 0, 0
	for n := range kills {
		acked, opening := killOne(t, dir, n)
		last = max(last, acked)
		if opening {
			early++
		}
		compareKilled(t, dir, n, last, n%10 == 9 || n == kills-1)
	}
	t.Logf("%d kills, %d of them before the first commit, %d acknowledged commits", kills, early, last)
	if bin := os.Getenv("FAROL_KOPIA"); bin != "" {
		a := open(t, dir, Options{})
		fold(t, a)
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		kopia := stockKopia(t, bin, dir)
		t.Log(kopia("snapshot", "verify", "--verify-files-percent=100"))
		kopia("content", "verify", "--full")
	}
}

// killOne runs a child and kills it; it returns the last commit it acknowledged
// and whether it was killed before its first.
func killOne(t *testing.T, dir string, n int) (last int, opening bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FAROL_ARCHIVE_CHILD="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { _ = cmd.Process.Kill() }
	if n%5 == 4 {
		time.AfterFunc(time.Duration(rand.IntN(200))*time.Millisecond, kill)
	}
	after := time.Duration(rand.IntN(250)) * time.Millisecond
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if s, ok := strings.CutPrefix(sc.Text(), "ack "); ok {
			if last == 0 {
				time.AfterFunc(after, kill)
			}
			last, _ = strconv.Atoi(s)
			continue
		}
		t.Errorf("kill %d: the child says %s", n, sc.Text())
		kill()
	}
	_ = cmd.Wait()
	return last, last == 0
}

// compareKilled reads everything that was acknowledged; with full it reads
// every file of the archive against its hash as well.
func compareKilled(t *testing.T, dir string, n, last int, full bool) {
	t.Helper()
	a := open(t, dir, Options{})
	defer a.Close()
	if got := a.LastSeq(); got < uint64(last) || got > uint64(last)+2 {
		t.Fatalf("kill %d: %d commits are there, %d were acknowledged", n, got, last)
	}
	got := map[string]int{}
	err := a.Walk(context.Background(), func(r record.Record, _ record.Loc, seq uint64, _ int) error {
		got[r.Ref.String()+"@"+fmt.Sprint(seq)]++
		return nil
	})
	if err != nil {
		t.Fatalf("kill %d: %v", n, err)
	}
	for seq := 1; seq <= last; seq++ {
		for _, r := range killed(seq) {
			if c := got[r.Ref.String()+"@"+fmt.Sprint(seq)]; c != 1 {
				t.Fatalf("kill %d: a record of commit %d is there %d times", n, seq, c)
			}
		}
		if _, _, err := a.Commitment(context.Background(), uint64(seq)); seq > last-20 && err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
	}
	for _, d := range a.Damage() {
		if d.What != "torn journal tail cut" {
			t.Errorf("kill %d: %v", n, d)
		}
	}
	r, err := a.Check(context.Background(), full, nil)
	if err != nil || !r.OK() {
		t.Fatalf("kill %d: check %+v, %v", n, r, err)
	}
}
