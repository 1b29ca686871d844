package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// ErrNoHistory means that a place does not know what it held at a time.
var ErrNoHistory = errors.New("this place keeps no versions: only an S3 bucket with versions, such as one with object lock, and the off-site node know what they held at a time")

// s3At is a bucket as it was at a time by the server's clock, to be read: of each
// file the version that was the newest then, unless it was hidden by then. What
// somebody put over it or hid since is not seen.
type s3At struct {
	*s3Target
	at  time.Time
	all map[string]minio.ObjectInfo // name → its version of then, nil before it was asked
}

// openAt opens a place as it was at a time.
func openAt(ctx context.Context, cfg PlaceConfig, at time.Time) (*s3At, error) {
	if cfg.Kind != "s3" {
		return nil, ErrNoHistory
	}
	s, err := openS3(cfg)
	if err != nil {
		return nil, err
	}
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	v, err := s.c.GetBucketVersioning(ctx, s.bucket)
	if minio.ToErrorResponse(err).Code == "NotImplemented" || err == nil && !v.Enabled() {
		return nil, errors.Join(ErrNoHistory, err)
	} else if err != nil {
		return nil, fmt.Errorf("ask whether the bucket keeps versions: %w", s3Err(err))
	}
	return &s3At{s3Target: s, at: at}, nil
}

// look lists the versions of then, once.
func (s *s3At) look(ctx context.Context) error {
	if s.all != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	newest := map[string]minio.ObjectInfo{} // up to then, delete markers too
	for o := range s.c.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix, WithVersions: true, Recursive: true}) {
		if o.Err != nil {
			return s3Err(o.Err)
		}
		if o.LastModified.After(s.at) || strings.HasSuffix(o.Key, "/") {
			continue
		}
		name := strings.TrimPrefix(o.Key, s.prefix)
		// of two of the same second the one that the server names first is newer
		if had, ok := newest[name]; !ok || o.LastModified.After(had.LastModified) {
			newest[name] = o
		}
	}
	if err := ctx.Err(); err != nil {
		return err // the list may be short
	}
	maps.DeleteFunc(newest, func(_ string, o minio.ObjectInfo) bool { return o.IsDeleteMarker })
	s.all = newest
	return nil
}

func (s *s3At) list(ctx context.Context, prefix string, fn func(string, int64) error) error {
	if err := s.look(ctx); err != nil {
		return err
	}
	for name, o := range s.all {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := fn(name, o.Size); err != nil {
			return err
		}
	}
	return nil
}

func (s *s3At) get(ctx context.Context, name string) ([]byte, time.Time, error) {
	if err := s.look(ctx); err != nil {
		return nil, time.Time{}, err
	}
	v, ok := s.all[name]
	if !ok {
		return nil, time.Time{}, ErrUnknown
	}
	return s.version(ctx, name, v.VersionID)
}

func (s *s3At) put(context.Context, string, []byte, time.Time) error { return errors.ErrUnsupported }

func (s *s3At) remove(context.Context, string) error { return errors.ErrUnsupported }

// version reads one version of a file, "" for the newest.
func (s *s3Target) version(ctx context.Context, name, id string) ([]byte, time.Time, error) {
	o, err := s.c.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{VersionID: id})
	if err != nil {
		return nil, time.Time{}, s3Err(err)
	}
	defer o.Close()
	b, err := io.ReadAll(o)
	if err != nil {
		return nil, time.Time{}, s3Err(err)
	}
	info, err := o.Stat()
	if err != nil {
		return nil, time.Time{}, s3Err(err)
	}
	mtime, err := time.Parse(time.RFC3339Nano, info.UserMetadata[timeKey])
	if err != nil {
		mtime = info.LastModified
	}
	return b, mtime, nil
}
