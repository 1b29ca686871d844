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
// small and large blobs, folds now and then, and says each number only after
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
// acknowledged commit after each.
func TestKill(t *testing.T) {
	kills := 12
	if s := os.Getenv("FAROL_KILLS"); s != "" {
		kills, _ = strconv.Atoi(s)
	}
	a, dir := newArchive(t, Options{})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	last := 0
	for n := range kills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "FAROL_ARCHIVE_CHILD="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(rand.IntN(250)) * time.Millisecond
		sc := bufio.NewScanner(out)
		started := false
		for sc.Scan() {
			if s, ok := strings.CutPrefix(sc.Text(), "ack "); ok {
				last, _ = strconv.Atoi(s)
				if !started {
					started = true
					time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
				}
				continue
			}
			t.Errorf("kill %d: the child says %s", n, sc.Text())
			_ = cmd.Process.Kill()
		}
		_ = cmd.Wait()
		compareKilled(t, dir, n, last)
	}
	t.Logf("%d kills, %d acknowledged commits", kills, last)
}

func compareKilled(t *testing.T, dir string, n, last int) {
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
	r, err := a.Check(context.Background(), true, nil)
	if err != nil || !r.OK() {
		t.Fatalf("kill %d: check %+v, %v", n, r, err)
	}
}
