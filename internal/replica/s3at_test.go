package replica

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

// TestALockedBucketComesHomeAsItWasBeforeAnAttack: whoever has the access key cannot
// delete what is locked, but he can put noise over it and hide it. As of the moment
// before, everything is there; as it is, nothing that could be believed.
func TestALockedBucketComesHomeAsItWasBeforeAnAttack(t *testing.T) {
	ctx := t.Context()
	cfg, b := lockedBucket(t)
	cfg.Bucket, cfg.Lock = "locked", Lock{Days: 30}
	c := newCopied(t)
	cfg, err := AddPlace(ctx, cfg, c.a.ID())
	if err != nil {
		t.Fatal(err)
	}
	p := NewPlace(cfg, nil, nil)
	defer p.Close()
	for round := range 3 {
		c.live(t, round*30)
		if err := p.Sync(ctx, c.a, c.log); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(1100 * time.Millisecond) // a server's times may be whole seconds
	moment := time.Now()
	time.Sleep(1100 * time.Millisecond)

	hurt := 0
	for o := range b.c.ListObjects(ctx, "locked", minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		switch name := strings.TrimPrefix(o.Key, "macau/hq/"); {
		case strings.HasSuffix(o.Key, "/"):
			continue
		case strings.HasPrefix(name, "archive/p/"), strings.HasPrefix(name, "archive/kopia"), strings.HasPrefix(name, "log/"):
			noise := bytes.Repeat([]byte{7}, int(o.Size))
			if _, err := b.c.PutObject(ctx, "locked", o.Key, bytes.NewReader(noise), o.Size, minio.PutObjectOptions{SendContentMd5: true}); err != nil {
				t.Fatal(err)
			}
		default:
			if err := b.c.RemoveObject(ctx, "locked", o.Key, minio.RemoveObjectOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		hurt++
	}
	if _, err := b.c.PutObject(ctx, "locked", "macau/hq/journal/000001-0000000099.fj/000000000000", strings.NewReader("noise"), 5, minio.PutObjectOptions{SendContentMd5: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := FetchPlace(ctx, cfg, time.Time{}, filepath.Join(t.TempDir(), "a"), t.TempDir(), nil); !errors.Is(err, ErrGone) || hurt < 10 {
		t.Fatalf("%d files were hurt, and as it is it comes home: %v", hurt, err)
	}
	b.datesOfPuts()
	homeAt(t, c, cfg, moment)
	if _, err := FetchPlace(ctx, cfg, moment.Add(-time.Hour), filepath.Join(t.TempDir(), "a"), t.TempDir(), nil); !errors.Is(err, ErrGone) {
		t.Errorf("as of a time when there was nothing: %v", err)
	}
	if _, err := FetchPlace(ctx, PlaceConfig{Kind: "dir", Path: t.TempDir()}, moment, t.TempDir(), t.TempDir(), nil); !errors.Is(err, ErrNoHistory) {
		t.Errorf("a folder knows no time: %v", err)
	}
	plain := cfg
	plain.Bucket = "farol" // without versions
	if _, err := FetchPlace(ctx, plain, moment, t.TempDir(), t.TempDir(), nil); !errors.Is(err, ErrNoHistory) {
		t.Errorf("a bucket without versions: %v", err)
	}
}

// datesOfPuts gives the versions and delete markers on the server's disk the dates
// that S3 tells, which are those of their puts: this server takes its files' dates,
// and a version's is new once another comes. The time stands in the version's id.
func (b *bucket) datesOfPuts() {
	b.t.Helper()
	n := 0
	put := func(path, id string) error {
		var ms int64 // of a ULID, in Crockford's base 32
		for _, r := range id[:10] {
			ms = ms<<5 + int64(strings.IndexRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", r))
		}
		n++
		return os.Chtimes(path, time.UnixMilli(ms), time.UnixMilli(ms))
	}
	for _, o := range b.versions("") {
		if !o.IsLatest {
			continue
		}
		if err := put(filepath.Join(b.dir, "data", "locked", o.Key), o.VersionID); err != nil {
			b.t.Fatal(err)
		}
	}
	err := filepath.WalkDir(filepath.Join(b.dir, "versions"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || len(filepath.Base(path)) != 26 {
			return err
		}
		return put(path, filepath.Base(path))
	})
	if err != nil || n < 20 {
		b.t.Fatalf("%d versions on the server's disk, %v", n, err)
	}
}
