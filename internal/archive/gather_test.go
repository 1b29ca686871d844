package archive

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	kopiafs "github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/snapshot"
)

// TestAFlushedBlobIsInAnIndexWhileSnapshotsAreListed lists snapshots while
// blobs are flushed: kopia gathers the list into one content when it grew, and
// holds every index back meanwhile. A flush that returned then would let a
// commit name a blob that no index knows after a crash.
func TestAFlushedBlobIsInAnIndexWhileSnapshotsAreListed(t *testing.T) {
	a, _ := newArchive(t, Options{})
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { // many points, asked for again and again
		for n := 0; ctx.Err() == nil; n++ {
			// 64 more make kopia gather them (16 would do).
			for k := range 64 {
				now := kopiafs.UTCTimestampFromTime(time.Now())
				man := &snapshot.Manifest{
					Source: source, StartTime: now, EndTime: now, RootEntry: &snapshot.DirEntry{},
					Description: fmt.Sprint(n, "/", k), Tags: map[string]string{"pad": strings.Repeat("x", 400)},
				}
				if _, err := snapshot.SaveSnapshot(t.Context(), a.w, man); err != nil {
					t.Error(err)
					return
				}
				if err := a.flushPoints(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
			if _, err := a.Points(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	flushed, without := 0, 0
	for ; ctx.Err() == nil; flushed++ {
		data := make([]byte, maxInline+1)
		rand.Read(data)
		before := len(a.blobs.listIndex("x"))
		if _, err := a.PutBlob(t.Context(), "file.bin", int64(len(data)), bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		if err := a.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(a.blobs.listIndex("x")) == before {
			without++
		}
	}
	wg.Wait()
	if without > 0 {
		t.Errorf("%d of %d flushed blobs were in no index on disk", without, flushed)
	}
	t.Log(flushed, "blobs flushed")
}
