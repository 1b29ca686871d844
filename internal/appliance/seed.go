package appliance

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"farol/internal/audit"
	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/settings"
)

// Seeded tells what was written onto a drive, and where the form for those who
// carry it lies.
type Seeded struct {
	replica.SeedHead
	Form string `json:"form"`
}

const custodyForm = "custody.txt"

// Seed writes the first copy for the off-site node onto a drive that people
// carry there, with a record of custody to fill in on the way.
func (a *Appliance) Seed(ctx context.Context, by, drive string) (s Seeded, err error) {
	if a.currentSender() == nil {
		return s, &i18n.Error{ID: "seed.nonode"}
	}
	if info, err := os.Stat(drive); err != nil || !info.IsDir() {
		return s, &i18n.Error{ID: "seed.nodrive", Args: []any{"dir", drive}, Err: err}
	}
	for _, own := range []string{a.cfg.StateDir, a.cfg.ArchiveDir} {
		if rel, err := filepath.Rel(own, drive); err == nil && filepath.IsLocal(rel) {
			return s, &i18n.Error{ID: "place.add.inside"}
		}
	}
	t, err := a.settings.OffsiteTransfer(ctx)
	if err != nil {
		return s, err
	}
	if len(t.Missing(time.Now())) > 0 {
		return s, &i18n.Error{ID: "offsite.gate"}
	}
	outcome := "failed"
	defer func() {
		_, aerr := a.audit.Append(context.WithoutCancel(ctx), audit.Event{Actor: by, Operation: "media.ship", Object: "node", Hash: s.Sum.String(), Outcome: outcome,
			Detail: map[string]string{"files": strconv.FormatInt(s.Files, 10), "bytes": strconv.FormatInt(s.Bytes, 10), "country": cmp.Or(t.Country, "MO")}})
		err = errors.Join(err, aerr)
	}()
	if s.SeedHead, err = replica.WriteSeed(ctx, drive, a.archive, a.logSign, time.Now(), nil); err != nil {
		if errors.Is(err, replica.ErrNodeFull) {
			return s, &i18n.Error{ID: "seed.full", Args: []any{"dir", drive}, Err: err}
		}
		return s, err
	}
	address, err := a.settings.Get(ctx, settings.OffsiteURL)
	if err != nil {
		return s, err
	}
	s.Form = filepath.Join(drive, replica.SeedDir, custodyForm)
	if err := os.WriteFile(s.Form, []byte(custody(s.SeedHead, t, address)), 0o600); err != nil {
		return s, fmt.Errorf("write the record of custody: %w", err)
	}
	outcome = "ok"
	return s, nil
}

// custody is the form that goes with the drive. It names nobody: people sign.
func custody(h replica.SeedHead, t record.Transfer, node string) string {
	var b strings.Builder
	line := func(zh, en, value string) { fmt.Fprintf(&b, "%s  %s: %s\n", zh, en, value) }
	blank := strings.Repeat("_", 40)
	fmt.Fprint(&b, "媒體移交紀錄 / Record of custody\n守燈異地備份首份副本 / Farol, first copy for the off-site node\n\n")
	line("檔案庫", "archive", h.Archive)
	line("清單雜湊", "SHA-256 of the list of files", h.Sum.String())
	line("檔案", "files", strconv.FormatInt(h.Files, 10))
	line("位元組", "bytes", strconv.FormatInt(h.Bytes, 10))
	line("寫入時間（澳門）", "written, Macau time", h.Time.In(i18n.Macau).Format("2006-01-02 15:04"))
	line("節點", "node", node)
	line("目的地", "destination", cmp.Or(t.Country, "MO")+" "+t.City)
	if t.Abroad() {
		line("離開澳門的依據", "what lets it leave Macau", t.Basis+" "+t.Filing+", "+t.Until)
	}
	fmt.Fprint(&b, "\n內容已密封，沒有恢復金鑰無人能讀。 The content is sealed; nobody reads it without the recovery key.\n\n")
	line("磁碟序號", "serial number of the drive", blank)
	line("封條編號", "number of the seal", blank)
	for _, step := range []string{"交出 / handed over", "運送 / carried", "收到，封條完好 是／否 / received, seal whole yes/no", "節點核對結果 / result of farol node --take-seed", "磁碟已抹除或退回 / drive wiped or returned"} {
		fmt.Fprintf(&b, "\n%s\n  日期時間 date and time: %s\n  姓名及簽署 name and signature: %s\n", step, blank, blank)
	}
	return b.String()
}

func (a *Appliance) ctlSeed(r *http.Request) (any, error) {
	var q struct{ Dir string }
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, fmt.Errorf("read the request: %w", err)
	}
	return a.Seed(r.Context(), machineUser, q.Dir)
}

// nodeLock is held by the process that serves a node's folder.
const nodeLock = "serving"

// lockNode makes sure that one process alone works on a node's folder.
func lockNode(dir string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the node's folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, nodeLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the node's folder: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(&i18n.Error{ID: "node.serving", Args: []any{"dir", dir}, Err: ErrInUse}, f.Close())
	}
	return f.Close, nil
}

// VerifyNode reads back everything that the node in dir holds, which must not be
// serving, and prints how it stands.
func VerifyNode(ctx context.Context, dir string, silent time.Duration, asJSON bool, log *slog.Logger, out io.Writer) (err error) {
	release, err := lockNode(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	n, err := replica.OpenNode(dir, log, nil)
	if err != nil {
		return err
	}
	if err := n.Verify(ctx); err != nil {
		return err
	}
	return NodeStatus(dir, silent, asJSON, out)
}

// TakeSeed takes a seed into the node in dir, which must not be serving, and
// prints what became of it. It returns [ErrNotVerified] when files were bad.
func TakeSeed(ctx context.Context, dir, drive string, quota int64, log *slog.Logger, out io.Writer) (err error) {
	release, err := lockNode(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	n, err := replica.OpenNode(dir, log, nil)
	if err != nil {
		return err
	}
	n.Bound(quota, 0)
	r, err := n.TakeSeed(ctx, drive, nil)
	if errors.Is(err, replica.ErrUnknown) {
		return &i18n.Error{ID: "seed.unenrolled", Err: err}
	} else if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "archive %s, list of files %s\n%d files of %d bytes: %d taken, %d were here, %d bad\nstart the node again; the line brings what is missing\n", r.Archive, r.Sum, r.Files, r.Bytes, r.Taken, r.Held, len(r.Bad)); err != nil {
		return err
	}
	if len(r.Bad) > 0 {
		return fmt.Errorf("%w: %d files of the drive are missing or differ; nothing of them was taken, and the line brings them", ErrNotVerified, len(r.Bad))
	}
	return nil
}
