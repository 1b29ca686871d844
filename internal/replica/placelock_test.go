package replica

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"farol/internal/record"
)

// bucket is what a thief with the access key sees: another client of the same
// real server.
type bucket struct {
	t   *testing.T
	c   *minio.Client
	dir string // of the server
}

func lockedBucket(t *testing.T) (PlaceConfig, *bucket) {
	t.Helper()
	cfg, dir := startS3(t)
	c, err := minio.New(cfg.Host, &minio.Options{Creds: credentials.NewStaticV4(cfg.User, cfg.Secret, ""), Region: cfg.Region})
	if err == nil {
		err = c.MakeBucket(t.Context(), "locked", minio.MakeBucketOptions{Region: cfg.Region, ObjectLocking: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	return cfg, &bucket{t, c, filepath.Join(dir, "../../../..")}
}

// locks is every object's newest version with its mode and the end of its lock.
func (b *bucket) locks() (modes map[string]minio.RetentionMode, ends map[string]time.Time) {
	b.t.Helper()
	modes, ends = map[string]minio.RetentionMode{}, map[string]time.Time{}
	for o := range b.c.ListObjects(b.t.Context(), "locked", minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			b.t.Fatal(o.Err)
		}
		if strings.HasSuffix(o.Key, "/") {
			continue
		}
		head, err := b.c.StatObject(b.t.Context(), "locked", o.Key, minio.StatObjectOptions{})
		if err != nil {
			b.t.Fatalf("%s: %v", o.Key, err)
		}
		name := strings.TrimPrefix(o.Key, "macau/hq/")
		modes[name] = minio.RetentionMode(head.Metadata.Get("X-Amz-Object-Lock-Mode"))
		ends[name], _ = time.Parse(time.RFC3339, head.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date"))
	}
	return modes, ends
}

func (b *bucket) versions(prefix string) (out []minio.ObjectInfo) {
	b.t.Helper()
	for o := range b.c.ListObjects(b.t.Context(), "locked", minio.ListObjectsOptions{Prefix: "macau/hq/" + prefix, Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			b.t.Fatal(o.Err)
		}
		out = append(out, o)
	}
	return out
}

// hidden counts the versions of journal parts that were given up.
func (b *bucket) hidden() (n int) {
	for _, o := range b.versions("journal/") {
		if !o.IsLatest && !o.IsDeleteMarker {
			n++
		}
	}
	return n
}

const days = 24 * time.Hour

func near(got, want time.Time) bool { return got.Sub(want).Abs() < 10*time.Minute }

// TestALockedPlaceKeepsWhatIsNeededAndNothingElseForEver lives with a bucket
// with object lock on a real server: what is put cannot be deleted with the
// key, what is needed is locked again in time, and what is not goes once its
// lock has ended.
func TestALockedPlaceKeepsWhatIsNeededAndNothingElseForEver(t *testing.T) {
	ctx, start := t.Context(), time.Now()
	cfg, b := lockedBucket(t)
	c := newCopied(t)
	cfg.Lock = Lock{Days: 30}
	if _, err := AddPlace(ctx, cfg, c.a.ID()); !errors.Is(err, ErrNoLock) {
		t.Fatalf("a bucket without object lock was taken: %v", err)
	}
	if _, err := AddPlace(ctx, PlaceConfig{Kind: "dir", Path: t.TempDir(), Lock: Lock{Days: 30}}, c.a.ID()); !errors.Is(err, ErrNoLock) {
		t.Fatalf("a folder is to lock its files: %v", err)
	}
	cfg.Bucket = "locked"
	for _, n := range []int{-1, record.MostLockDays + 1} {
		long := cfg
		long.Lock.Days = n
		if _, err := AddPlace(ctx, long, c.a.ID()); !errors.Is(err, ErrNoLock) {
			t.Fatalf("a lock of %d days: %v", n, err)
		}
	}
	cfg, err := AddPlace(ctx, cfg, c.a.ID())
	if err != nil {
		t.Fatal(err)
	}
	clock := start
	p := NewPlace(cfg, nil, func() time.Time { return clock })
	defer p.Close()
	sync := func() {
		t.Helper()
		if err := p.Sync(ctx, c.a, c.log); err != nil || p.Status().State != "current" {
			t.Fatalf("%+v %v", p.Status(), err)
		}
	}
	for round := range 3 {
		c.live(t, round*30)
		sync()
	}
	modes, ends := b.locks()
	for name, until := range ends {
		if modes[name] != minio.Governance || !near(until, start.Add(30*days)) {
			t.Errorf("%s is locked as %q until %v", name, modes[name], until)
		}
	}
	if old := b.hidden(); len(ends) < 10 || old == 0 || ends[markName].IsZero() {
		t.Fatalf("%d objects, %d parts of folded journal", len(ends), old)
	}
	for _, o := range append(b.versions("archive/p/"), b.versions("journal/")...) { // the thief
		if o.IsDeleteMarker {
			continue
		} else if err := b.c.RemoveObject(ctx, "locked", o.Key, minio.RemoveObjectOptions{VersionID: o.VersionID}); err == nil {
			t.Fatalf("%s was deleted with the access key", o.Key)
		}
	}
	rep, err := p.Verify(ctx, c.a, nil)
	if l := rep.Lock; err != nil || l.Asked == 0 || l.Open > 0 || !near(l.First, start.Add(30*days)) || !near(l.Last, start.Add(30*days)) {
		t.Fatalf("%+v %v", rep, err)
	}
	home(t, c, cfg)

	clock = start.Add(14 * days)
	sync()
	if _, now := b.locks(); !near(now[markName], start.Add(30*days)) {
		t.Errorf("extended before half of the days were over: %v", now[markName])
	}
	clock = start.Add(16 * days)
	p.Close() // what a restart forgets is asked of the place
	sync()
	sync()
	modes, now := b.locks()
	for name, until := range now {
		if want := start.Add(46 * days); !near(until, want) || modes[name] != minio.Governance {
			t.Errorf("after 16 days %s is locked as %q until %v", name, modes[name], until)
		}
	}

	old := b.hidden()
	clock = start.Add(31 * days) // by our clock; the server's says no
	sync()
	if b.hidden() != old {
		t.Fatalf("%d of %d versions left before their lock ended", b.hidden(), old)
	}
	soon := time.Now().Add(2 * time.Second).UTC()
	mode := minio.Governance
	for _, o := range b.versions("journal/") {
		if !o.IsLatest && !o.IsDeleteMarker {
			if err := b.c.PutObjectRetention(ctx, "locked", o.Key, minio.PutObjectRetentionOptions{GovernanceBypass: true, Mode: &mode, RetainUntilDate: &soon, VersionID: o.VersionID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	time.Sleep(time.Until(soon) + time.Second) // the server's clock is real
	sync()
	if b.hidden() != old {
		t.Error("looked for what may go more than once a day")
	}
	clock = start.Add(33 * days)
	sync()
	for _, o := range b.versions("journal/") {
		if !o.IsLatest || o.IsDeleteMarker {
			t.Errorf("folded journal stays after its lock: %s %+v", o.Key, o.IsDeleteMarker)
		}
	}
	home(t, c, cfg)
	if err := p.Retire(ctx, true, nil); !errors.Is(err, ErrLocked) {
		t.Fatalf("a locked place was erased: %v", err)
	}
	sync()
}

// TestFilesWithoutALockAreSaidAndLocked gives a lock to a place that had none.
func TestFilesWithoutALockAreSaidAndLocked(t *testing.T) {
	ctx := t.Context()
	cfg, b := lockedBucket(t)
	cfg.Bucket = "locked"
	c := newCopied(t)
	cfg, err := AddPlace(ctx, cfg, c.a.ID()) // without a lock: then one is given
	if err != nil {
		t.Fatal(err)
	}
	plain := NewPlace(cfg, nil, nil)
	c.live(t, 0)
	if err := plain.Sync(ctx, c.a, c.log); err != nil {
		t.Fatal(err)
	}
	plain.Close()
	cfg.Lock = Lock{Days: 2, Strict: true}
	p := NewPlace(cfg, nil, nil)
	defer p.Close()
	if rep, err := p.Verify(ctx, c.a, nil); err != nil || rep.Lock.Open != rep.Lock.Asked || rep.Lock.Open == 0 {
		t.Fatalf("files without a lock: %+v %v", rep.Lock, err)
	}
	for range 2 {
		if err := p.Sync(ctx, c.a, c.log); err != nil {
			t.Fatal(err)
		}
	}
	modes, _ := b.locks()
	for name, mode := range modes {
		if mode != minio.Compliance {
			t.Errorf("%s is locked as %q", name, mode)
		}
	}
	rep, err := p.Verify(ctx, c.a, nil)
	if err != nil || rep.Lock.Open != 0 || rep.Lock.Asked != min(lockSample, len(modes)) || !near(rep.Lock.Last, time.Now().Add(2*days)) {
		t.Fatalf("%+v %v", rep.Lock, err)
	}
	if err := b.c.RemoveObject(ctx, "locked", "macau/hq/"+markName, minio.RemoveObjectOptions{}); err != nil { // hidden by a thief
		t.Fatal(err)
	}
	if err := p.Sync(ctx, c.a, c.log); !errors.Is(err, ErrGone) {
		t.Fatalf("without its marker: %v", err)
	}
}
