package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"
)

func (l Lock) mode() minio.RetentionMode {
	if l.Strict {
		return minio.Compliance
	}
	return minio.Governance
}

func (s *s3Target) lockable(ctx context.Context) error {
	on, _, _, _, err := s.c.GetObjectLockConfig(ctx, s.bucket)
	if code := minio.ToErrorResponse(err).Code; code == "ObjectLockConfigurationNotFoundError" || code == "NotImplemented" || err == nil && on != "Enabled" {
		return errors.Join(ErrNoLock, err)
	}
	return s3Err(err)
}

// retention is the lock of a file's newest version, as its head tells: servers
// do not agree on how the answer of GetObjectRetention is called.
func (s *s3Target) retention(ctx context.Context, name string) (mode minio.RetentionMode, until time.Time, err error) {
	o, err := s.c.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{})
	if err != nil {
		return "", time.Time{}, s3Err(err)
	}
	mode = minio.RetentionMode(o.Metadata.Get("X-Amz-Object-Lock-Mode"))
	at := o.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date")
	if at == "" {
		return "", time.Time{}, nil
	}
	if until, err = time.Parse(time.RFC3339, at); err != nil {
		return "", time.Time{}, fmt.Errorf("read until when it is locked: %w", err)
	}
	return mode, until, nil
}

func (s *s3Target) locked(ctx context.Context, name string) (time.Time, error) {
	_, until, err := s.retention(ctx, name)
	return until, err
}

func (s *s3Target) extend(ctx context.Context, name string, until time.Time) error {
	mode, have, err := s.retention(ctx, name)
	if err != nil || !until.After(have) {
		return err
	}
	if !mode.IsValid() { // else it is not changed without a right of its own
		mode = s.lock.mode()
	}
	until = until.UTC()
	return s3Err(s.c.PutObjectRetention(ctx, s.bucket, s.prefix+name, minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until}))
}

// purge reads the whole list first: not every server tells a file's delete
// marker next to its versions, and a marker that goes alone brings them back.
func (s *s3Target) purge(ctx context.Context, prefix string, before time.Time, most int) (n int, err error) {
	versions, markers := map[string][]minio.ObjectInfo{}, map[string]string{}
	for o := range s.c.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, WithVersions: true, Recursive: true}) {
		switch {
		case o.Err != nil:
			return 0, s3Err(o.Err)
		case !o.IsDeleteMarker:
			versions[o.Key] = append(versions[o.Key], o)
		case o.IsLatest:
			markers[o.Key] = o.VersionID
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, err // the list may be short
	}
	for key, marker := range markers {
		stay := false
		for _, o := range versions[key] {
			if n >= most {
				return n, nil
			}
			if stay = !o.LastModified.Before(before); stay {
				break
			}
			err := s.c.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{VersionID: o.VersionID})
			if slices.Contains(lockedCodes, minio.ToErrorResponse(err).Code) {
				stay = true
				break
			} else if err != nil {
				return n, s3Err(err)
			}
			n++
		}
		if stay {
			continue
		}
		if err := s.c.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{VersionID: marker}); err != nil {
			return n, s3Err(err)
		}
	}
	return n, nil
}

// lockedCodes are what servers say of a version whose lock has not ended.
var lockedCodes = []string{"AccessDenied", "ObjectLocked", "InvalidRequest"}
