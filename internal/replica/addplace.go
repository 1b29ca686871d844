package replica

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"farol/internal/record"
)

// PlaceConfig says where a further copy lies. It holds secrets: it is kept
// sealed.
type PlaceConfig struct {
	ID      string    `json:"id"`      // given by AddPlace
	Archive string    `json:"archive"` // likewise: whose copy it is
	Name    string    `json:"name"`    // what people call it
	Kind    string    `json:"kind"`    // dir, s3 or sftp
	Path    string    `json:"path"`    // folder, or prefix inside the bucket
	Host    string    `json:"host,omitempty"`
	Bucket  string    `json:"bucket,omitempty"`
	Region  string    `json:"region,omitempty"`
	User    string    `json:"user,omitempty"`     // or access key
	Secret  string    `json:"secret,omitempty"`   // password, private key in PEM, or secret key
	HostKey string    `json:"host_key,omitempty"` // sftp: as in known_hosts, without the host
	CA      string    `json:"ca,omitempty"`       // s3: certificate of a private server, PEM
	Plain   bool      `json:"plain,omitempty"`    // s3: without TLS, on this machine only
	Mounted bool      `json:"mounted,omitempty"`  // dir: it was a disk of its own when it was added
	Retired bool      `json:"retired,omitempty"`
	Ended   time.Time `json:"ended,omitzero"`   // when it was retired
	Erased  bool      `json:"erased,omitempty"` // and its files removed

	Lock  Lock         `json:"lock,omitzero"`  // s3 only
	Price record.Price `json:"price,omitzero"` // what it costs, where somebody said

	record.Transfer // where the bytes lie, and what lets them leave Macau
}

// placeMark is the marker file: without it the place is not there.
type placeMark struct {
	Place   string    `json:"place"`
	Archive string    `json:"archive"`
	Made    time.Time `json:"made"`
	Retired time.Time `json:"retired,omitzero"`
	Epoch   uint32    `json:"epoch,omitempty"` // of the archive that copies here; an earlier one may not
}

const (
	markName       = "farol.place"
	checkpointName = "log/checkpoint"
)

func openTarget(cfg PlaceConfig) (target, error) {
	switch cfg.Kind {
	case "dir":
		return openDir(cfg.Path)
	case "s3":
		return openS3(cfg)
	case "sftp":
		return openSFTP(cfg)
	}
	return nil, fmt.Errorf("no storage place of kind %q", cfg.Kind)
}

// AddPlace makes a place for the archive, with a marker. A place that was made
// for the same archive before is taken up again. It returns [ErrForeign] when
// something else lies there.
func AddPlace(ctx context.Context, cfg PlaceConfig, archiveID string) (PlaceConfig, error) {
	fail := func(err error) (PlaceConfig, error) { return cfg, fmt.Errorf("add a storage place: %w", err) }
	if cfg.Kind == "dir" && !filepath.IsAbs(cfg.Path) || cfg.Kind == "sftp" && !strings.HasPrefix(cfg.Path, "/") {
		return fail(errors.New("its path must be absolute"))
	}
	t, err := openTarget(cfg)
	if err != nil {
		return fail(err)
	}
	defer t.close()
	if err := t.check(ctx); err != nil {
		return fail(err)
	}
	if d, ok := t.(*dirTarget); ok {
		cfg.Mounted = d.mounted()
	}
	if err := checkLock(ctx, t, cfg.Lock); err != nil {
		return fail(err)
	}
	m, err := readMark(ctx, t)
	switch {
	case err == nil && m.Archive == archiveID:
		cfg.ID, cfg.Retired, cfg.Ended, cfg.Erased = m.Place, false, time.Time{}, false
	case err == nil:
		return fail(ErrForeign)
	case errors.Is(err, ErrUnknown):
		if err := empty(ctx, t); err != nil {
			return fail(err)
		}
		cfg.ID = strings.ToLower(rand.Text())
		m = placeMark{Place: cfg.ID, Archive: archiveID, Made: time.Now().UTC()}
	default:
		return fail(err)
	}
	cfg.Archive, m.Retired = archiveID, time.Time{}
	if err := writeMark(ctx, t, m); err != nil {
		return fail(err)
	}
	return cfg, nil
}

func empty(ctx context.Context, t target) error {
	err := t.list(ctx, "", func(name string, _ int64) error {
		if strings.HasPrefix(name, "lost+found") {
			return nil
		}
		return ErrForeign
	})
	return err
}

func readMark(ctx context.Context, t target) (m placeMark, err error) {
	b, _, err := t.get(ctx, markName)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("read the marker: %w", ErrDamaged)
	}
	return m, nil
}

func writeMark(ctx context.Context, t target, m placeMark) error {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	return t.put(ctx, markName, append(b, '\n'), time.Now())
}
