package replica

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Target is a bucket, or a prefix of one. A put is atomic there, and the
// server compares a checksum that every S3 server knows with the bytes.
type s3Target struct {
	c      *minio.Client
	bucket string
	prefix string
	lock   Lock
}

// timeKey is the metadata that keeps a file's time: an object has only the one
// of its upload.
const timeKey = "Farol-Time"

func openS3(cfg PlaceConfig) (*s3Target, error) {
	if cfg.Plain && !thisMachine(cfg.Host) {
		return nil, fmt.Errorf("open the bucket: %w", ErrPlain)
	}
	tr, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("open the bucket: no transport")
	}
	tr = tr.Clone()
	tr.ResponseHeaderTimeout = 2 * time.Minute
	if cfg.CA != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(cfg.CA)) {
			return nil, fmt.Errorf("open the bucket: the certificate is not PEM: %w", ErrKey)
		}
		tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	}
	c, err := minio.New(cfg.Host, &minio.Options{Creds: credentials.NewStaticV4(cfg.User, cfg.Secret, ""), Secure: !cfg.Plain, Region: cfg.Region,
		Transport: tr, MaxRetries: 3})
	if err != nil {
		return nil, fmt.Errorf("open the bucket: %w", err)
	}
	prefix := strings.Trim(cfg.Path, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &s3Target{c, cfg.Bucket, prefix, cfg.Lock}, nil
}

// thisMachine reports an address of this machine's, with or without a port.
// A name is none: it may lead anywhere.
func thisMachine(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.IsLoopback()
}

func s3Err(err error) error {
	if err == nil {
		return nil
	}
	switch r := minio.ToErrorResponse(err); r.Code {
	case "NoSuchKey":
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	case "NoSuchBucket":
		return fmt.Errorf("%w: %w", ErrGone, err)
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch":
		return fmt.Errorf("%w: %w", ErrLogin, err)
	case "XMinioStorageFull", "QuotaExceeded", "InsufficientStorage":
		return fmt.Errorf("%w: %w", ErrNodeFull, err)
	}
	return err
}

func (s *s3Target) check(ctx context.Context) error {
	ok, err := s.c.BucketExists(ctx, s.bucket)
	if err == nil && !ok {
		err = ErrGone
	}
	return s3Err(err)
}

func (s *s3Target) put(ctx context.Context, name string, b []byte, mtime time.Time) error {
	opt := minio.PutObjectOptions{ContentType: "application/octet-stream", DisableMultipart: true, SendContentMd5: true,
		UserMetadata: map[string]string{timeKey: mtime.UTC().Format(time.RFC3339Nano)}}
	if s.lock.Days > 0 {
		opt.Mode, opt.RetainUntilDate = s.lock.mode(), time.Now().UTC().Add(s.lock.span())
	}
	info, err := s.c.PutObject(ctx, s.bucket, s.prefix+name, bytes.NewReader(b), int64(len(b)), opt)
	if err == nil && info.Size != int64(len(b)) {
		err = ErrDamaged
	}
	return s3Err(err)
}

func (s *s3Target) get(ctx context.Context, name string) ([]byte, time.Time, error) {
	return s.version(ctx, name, "")
}

func (s *s3Target) list(ctx context.Context, prefix string, fn func(string, int64) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the lister when fn fails
	for o := range s.c.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return s3Err(o.Err)
		}
		if strings.HasSuffix(o.Key, "/") {
			continue // a folder that a file system gateway shows
		}
		if err := fn(strings.TrimPrefix(o.Key, s.prefix), o.Size); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *s3Target) remove(ctx context.Context, name string) error {
	return s3Err(s.c.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{}))
}

func (s *s3Target) space() (free, size int64) { return 0, 0 }

func (s *s3Target) close() error { return nil }
