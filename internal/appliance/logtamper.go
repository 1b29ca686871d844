package appliance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/audit"
	"farol/internal/keys"
	"farol/internal/record"
	"farol/internal/replica"
	"farol/internal/watch"
)

const (
	badLog       = "log.tampered"  // tells the next start to look at every entry
	recoveredLog = "log.recovered" // sealed: the size of a log that came home
	earlierKeys  = "log.verifier.earlier"
)

func (a *Appliance) logDir() string { return filepath.Join(a.cfg.StateDir, "log") }

// walkedAtStart bounds what a start reads through; a larger log is read through
// an hour after it, and each day.
const walkedAtStart = 50_000

func (a *Appliance) openAudit(ctx context.Context) error {
	if err := a.logKeys(ctx); err != nil {
		return err
	}
	heads, err := a.logHeads(ctx, a.logVerify)
	if err != nil {
		return err
	}
	if heads, err = a.afterRecovery(ctx, heads); err != nil {
		return err
	}
	err = a.openLog(heads)
	if !errors.Is(err, audit.ErrTampered) {
		return err
	}
	if _, ierr := audit.Inspect(a.logDir(), a.ring.Box(keys.LabelLog), a.logVerify, heads...); ierr == nil {
		// Every entry is as it was signed: a bad sector in the hashes is no attack,
		// and they are made anew from the entries.
		a.log.WarnContext(ctx, "the audit log's hashes were damaged and are made anew from its entries", "err", err)
		if err := a.dropHashes(); err != nil {
			return err
		}
		if err := a.openLog(heads); !errors.Is(err, audit.ErrTampered) {
			return err
		}
	}
	return a.renewLog(ctx, heads)
}

// dropHashes takes away what is derived from the entries; opening makes it anew.
func (a *Appliance) dropHashes() error {
	if err := os.Remove(filepath.Join(a.logDir(), "hashes.log")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("drop the log's hashes: %w", err)
	}
	return nil
}

// openLog opens the log when it extends what was kept of it.
func (a *Appliance) openLog(heads []tlog.Tree) error {
	box := a.ring.Box(keys.LabelLog)
	var size int64
	for _, h := range heads {
		size = max(size, h.N)
	}
	if err := audit.CheckHeads(a.logDir(), a.logVerify, heads...); err != nil {
		return err
	}
	_, err := os.Stat(filepath.Join(a.cfg.StateDir, badLog))
	marked := err == nil
	if marked || size > 0 && size <= walkedAtStart {
		if _, err := audit.Inspect(a.logDir(), box, a.logVerify, heads...); err != nil {
			return err
		}
	}
	if marked { // every entry is whole: what was noticed were the hashes
		if err := errors.Join(a.dropHashes(), os.Remove(filepath.Join(a.cfg.StateDir, badLog))); err != nil {
			return fmt.Errorf("go on with a log whose entries are whole: %w", err)
		}
	}
	a.audit, err = audit.Open(a.logDir(), audit.Options{Box: box, Signer: a.logSign, Verify: a.logVerify, Key: a.logKey, Log: a.log, LookupKey: a.ring.IndexKey("log lookup"), Heads: heads})
	return err
}

// logKeys reads the log's keys, or makes them at the first start.
func (a *Appliance) logKeys(ctx context.Context) error {
	sk, err := a.settings.Get(ctx, logSigner)
	if err != nil {
		return err
	}
	if sk == "" {
		return a.newLogKeys(ctx, "")
	}
	if a.logKey, err = a.settings.Get(ctx, logVerifier); err != nil {
		return err
	}
	return a.useLogKeys(sk)
}

func (a *Appliance) newLogKeys(ctx context.Context, after string) error {
	sk, vk, err := note.GenerateKey(rand.Reader, "farol-"+record.HashOf(a.ring.Derive("log name")).String()[:12]+after)
	if err != nil {
		return fmt.Errorf("make the log's signing key: %w", err)
	}
	if err := a.settings.SetAll(ctx, map[string]string{logVerifier: vk}, map[string]string{logSigner: sk}); err != nil {
		return err
	}
	a.logKey = vk
	return a.useLogKeys(sk)
}

func (a *Appliance) useLogKeys(sk string) (err error) {
	if a.logSign, err = note.NewSigner(sk); err != nil {
		return fmt.Errorf("read the log's signing key: %w", err)
	}
	if a.logVerify, err = note.NewVerifier(a.logKey); err != nil {
		return fmt.Errorf("read the log's public key: %w", err)
	}
	return nil
}

// renewLog keeps a log that was tampered with as it is and begins a new one. The
// new one has a key and a name of its own: with the old key, two histories would
// be signed by one hand.
func (a *Appliance) renewLog(ctx context.Context, heads []tlog.Tree) error {
	found := &audit.Tampering{}
	if _, err := audit.Inspect(a.logDir(), a.ring.Box(keys.LabelLog), a.logVerify, heads...); err != nil && !errors.As(err, &found) {
		return fmt.Errorf("look where the log differs: %w", err)
	}
	if found.Head.N == 0 && len(heads) > 0 {
		found.Head = heads[len(heads)-1]
	}
	by := signedFor(a.logDir(), a.logVerify, found.To)
	at := time.Now().UTC().Format("20060102T150405.000")
	kept := a.logDir() + ".tampered-" + at
	if err := os.Rename(a.logDir(), kept); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("keep the log that was tampered with: %w", err)
	}
	earlier, err := a.settings.Get(ctx, earlierKeys)
	if err != nil {
		return err
	}
	if err := a.settings.Set(ctx, map[string]string{earlierKeys: strings.TrimSpace(earlier + "\n" + a.logKey)}); err != nil {
		return err
	}
	if err := a.newLogKeys(ctx, "-"+strings.ReplaceAll(at, ".", "")); err != nil {
		return err
	}
	if err := a.openLog(nil); err != nil {
		return err
	}
	a.log.ErrorContext(ctx, "the audit log was tampered with: it is kept as it was, a new one begins", "kept", filepath.Base(kept), "how", found.Why, "from", found.From, "to", found.To, "entries", found.Head.N, "witness", by)
	_, err = a.audit.Append(ctx, audit.Event{Actor: "system", Operation: "audit.tamper", Object: "audit", Hash: fmt.Sprintf("%x", found.Head.Hash[:]), Outcome: "failed",
		Detail: map[string]string{"what": found.Why, "old_size": strconv.FormatInt(found.Head.N, 10), "old_root": found.Head.Hash.String(), "from": strconv.FormatInt(found.From, 10), "to": strconv.FormatInt(found.To, 10), "witness": string(by)}})
	if err != nil {
		return fmt.Errorf("enter what became of the log before: %w", err)
	}
	if err := os.Remove(filepath.Join(a.cfg.StateDir, badLog)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("go on with the new log: %w", err)
	}
	return a.keepHead(ctx)
}

// tellTampered opens the alarm for a log whose first entry says that the one
// before was tampered with, unless it was opened before: also when a kill came
// between the two.
func (a *Appliance) tellTampered(ctx context.Context) error {
	if a.audit.Size() == 0 {
		return nil
	}
	e, err := a.audit.Entry(0)
	if err != nil || e.Operation != "audit.tamper" {
		return err
	}
	alarms, err := a.watch.Alarms(ctx, 10_000)
	if err != nil {
		return err
	}
	for _, al := range alarms {
		if al.Cause == watch.LogTamper && !al.Opened.Before(e.Time.Truncate(time.Second)) {
			return nil
		}
	}
	var size, from int64
	if _, err := fmt.Sscan(e.Detail["old_size"], &size); err != nil {
		return nil
	}
	if _, err := fmt.Sscan(e.Detail["from"], &from); err != nil {
		return nil
	}
	return a.watch.Raise(ctx, watch.Finding{Cause: watch.LogTamper, Seen: max(size-from, 1), Held: size, Witness: audit.Witness(e.Detail["witness"])})
}

// afterRecovery takes the size of a log that came home as what was known of it.
func (a *Appliance) afterRecovery(ctx context.Context, heads []tlog.Tree) ([]tlog.Tree, error) {
	path := filepath.Join(a.cfg.StateDir, recoveredLog)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return heads, nil
	} else if err != nil {
		return nil, fmt.Errorf("look for a recovered log: %w", err)
	}
	text, err := a.ring.Box("log recovered").Open(b, []byte(recoveredLog))
	if err != nil {
		return nil, fmt.Errorf("a recovered log: %w", err)
	}
	size, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("a recovered log: %w", err)
	}
	if err := a.dropHeads(ctx, size); err != nil {
		return nil, err
	}
	var out []tlog.Tree
	for _, h := range heads {
		if h.N <= size {
			out = append(out, h)
		}
	}
	return out, os.Remove(path)
}

// logEvery is how often the log is compared with what was kept of it.
const (
	logEvery  = time.Hour
	headEvery = 5 * time.Minute
)

// watchLog keeps checkpoints, compares the log with them every hour, reads it
// through and lets old content expire every day. When the log was tampered with,
// Run ends: the service manager starts again, and the start keeps the old log
// and begins a new one.
func (a *Appliance) watchLog(ctx context.Context) error {
	var checked, day time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(headEvery):
		}
		if time.Since(checked) >= logEvery {
			checked = time.Now()
			full := time.Since(day) >= 24*time.Hour
			if err := a.checkLog(ctx, full); errors.Is(err, audit.ErrTampered) {
				return err
			} else if err != nil && ctx.Err() == nil {
				a.log.WarnContext(ctx, "the audit log was not checked", "err", err)
			}
			if full {
				day = time.Now()
				a.expireLog(ctx)
			}
		}
		if err := a.keepHead(ctx); err != nil && ctx.Err() == nil {
			a.log.WarnContext(ctx, "the audit log's head was not kept", "err", err)
		}
	}
}

// checkLog compares the log with what was kept of it, and reads it through when
// full.
func (a *Appliance) checkLog(ctx context.Context, full bool) (err error) {
	defer func() {
		if errors.Is(err, audit.ErrTampered) {
			err = errors.Join(err, writeDurable(filepath.Join(a.cfg.StateDir, badLog), nil))
		}
	}()
	a.looks.Lock()
	defer a.looks.Unlock()
	heads, herr := a.logHeads(ctx, a.logVerify)
	if a.logSeen.N > 0 { // with the control database gone this is all that was kept
		heads = append(heads, a.logSeen)
	}
	now := a.audit.Checkpoint()
	if err = a.audit.Check(heads...); err == nil && herr != nil { // without what was kept, only reading it through tells
		_, err = a.audit.Verify()
	}
	if err = errors.Join(err, herr); err != nil {
		return err
	}
	if now != nil {
		if a.logSeen, err = audit.OpenCheckpoint(now, a.logVerify); err != nil {
			return err
		}
	}
	for w, said := range a.witnessErrs() {
		if !errors.Is(said, replica.ErrRolledBack) {
			continue
		}
		// That node holds another log than this one. Which of the two is right, a
		// person finds out: the alarm names it and nothing is thrown away.
		if err := a.watch.Raise(ctx, watch.Finding{Cause: watch.LogTamper, Seen: 1, Held: a.audit.Size(), Witness: w}); err != nil {
			return err
		}
	}
	if full {
		_, err = a.audit.Verify()
	}
	return err
}

// expireLog lets content go whose time has ended.
func (a *Appliance) expireLog(ctx context.Context) {
	rules, err := audit.Rules()
	if err == nil {
		var n int64
		if n, err = a.audit.Expire(ctx, rules); n > 0 {
			a.log.InfoContext(ctx, "content of audit entries has expired", "entries", n)
		}
	}
	if err != nil && ctx.Err() == nil {
		a.log.WarnContext(ctx, "content of audit entries did not expire", "err", err)
	}
}
