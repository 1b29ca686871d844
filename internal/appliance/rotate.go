package appliance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/i18n"
	"farol/internal/keys"
	"farol/internal/kit"
	"farol/internal/web"
)

// A rotation puts another root key in the place of the present one. Two locks
// are written anew: the archive's and the ring of state keys. In this order, so
// that whatever is cut short goes on at the next start or never began:
//
//  1. a copy of the grown ring in the archive; a full disk ends it here
//  2. the next root key, sealed, beside the present one
//  3. the kit of its shares, which were typed back before, and the log's entry
//  4. the archive's lock: from here on only the next key opens it
//  5. the ring of state keys, sealed under the next key
//  6. the next key takes the name of the present one
//
// A start that finds a next key forgets it before 3 and goes on after it. A key
// that the ring grew by and that sealed nothing yet does no harm.

// sealedRing is the name of the ring's copy in the archive. It is there for
// the day on which only the archive or a copy of it is left: who opens the
// archive's lock finds the keys of the control database and the log inside.
const sealedRing = "state-keys"

// errRotation ends Run: the next start finishes what could not be finished.
var errRotation = errors.New("the change of the root key goes on at the next start")

func (c Config) keySource() keys.Source {
	return keys.Source{Dir: c.StateDir, HostKey: c.HostKey, Passphrase: os.Getenv("FAROL_PASSPHRASE")}
}

// openRing opens the state keys, or makes them at the very first start. When
// only the archive is left of them they come out of it.
func (a *Appliance) openRing(ctx context.Context) (err error) {
	was := a.root
	if err := a.loadNext(); err != nil {
		return err
	}
	a.ring, err = a.loadRing(was, a.next)
	if errors.Is(err, keys.ErrNoKey) {
		a.ring, err = a.ringCopy(ctx)
	}
	if err != nil {
		return &i18n.Error{ID: "start.ringlost", Args: []any{"dir", a.cfg.ArchiveDir, "state", a.cfg.StateDir}, Err: err}
	}
	a.box = a.ring.Box(keys.LabelControl)
	return nil
}

// loadRing opens the ring's file with a root key or with the one that is about
// to take its place.
func (a *Appliance) loadRing(root, next keys.Root) (*keys.Ring, error) {
	roots := []keys.Root{root}
	if !next.IsZero() {
		roots = append(roots, next)
	}
	return keys.LoadRing(a.cfg.StateDir, roots...)
}

// loadNext finds out how far a rotation came: where the archive's lock opens
// with the next key already, that one counts.
func (a *Appliance) loadNext() error {
	next, err := keys.LoadNext(a.cfg.keySource())
	if errors.Is(err, keys.ErrNoKey) {
		return nil
	}
	if err != nil {
		return err
	}
	a.next = next
	lock, err := os.ReadFile(filepath.Join(a.cfg.ArchiveDir, "archive", archive.LockName))
	if err != nil {
		if errors.Is(err, os.ErrNotExist) { // opening the archive says what is missing
			return nil
		}
		return fmt.Errorf("read the archive's lock: %w", err)
	}
	if archive.Opens(context.Background(), lock, next) == nil {
		a.root, a.rotated = next, true
	}
	return nil
}

// ringCopy takes the ring out of the archive, or makes one where nothing lives
// yet.
func (a *Appliance) ringCopy(ctx context.Context) (*keys.Ring, error) {
	fresh := func() (*keys.Ring, error) {
		r, err := keys.NewRing()
		if err != nil {
			return nil, err
		}
		return r, keys.StoreRing(a.cfg.StateDir, a.root, r)
	}
	arch, err := archive.Open(ctx, a.cfg.ArchiveDir, a.root, archive.Options{Log: a.log, NoParity: !a.cfg.Parity})
	if errors.Is(err, archive.ErrMissing) {
		for _, left := range []string{filepath.Join(a.cfg.StateDir, "control.db"), a.logFile()} {
			if fi, serr := os.Stat(left); serr == nil && fi.Size() > 0 {
				return nil, err
			}
		}
		return fresh()
	}
	if err != nil {
		return nil, a.locked(err)
	}
	b, err := arch.LatestSealed(ctx, sealedRing)
	seq := arch.LastSeq()
	if cerr := arch.Close(); cerr != nil {
		return nil, errors.Join(err, cerr)
	}
	if errors.Is(err, archive.ErrNotFound) && seq == 0 {
		return fresh() // the archive was made, then the machine stopped
	}
	if err != nil {
		return nil, err
	}
	r, err := keys.ParseRing(b)
	if err != nil {
		return nil, err
	}
	a.mend(ctx, "state-keys", "the file was gone", "the archive")
	return r, keys.StoreRing(a.cfg.StateDir, a.root, r)
}

// settleNext forgets a next key whose rotation never began. The kit's register
// says whether it did.
func (a *Appliance) settleNext(ctx context.Context) error {
	if a.next.IsZero() || a.rotated {
		return nil
	}
	k, err := a.kits.Current(ctx)
	if err != nil && !errors.Is(err, kit.ErrNone) {
		return err
	}
	if err == nil && k.Root == a.next.Check() {
		return nil
	}
	a.log.WarnContext(ctx, "a change of the root key never began and is forgotten")
	a.next = keys.Root{}
	return keys.DropNext(a.cfg.StateDir)
}

// catalogKeys are the catalog's: words move to the newest key when the index is
// built anew, names never do, for the log names records by them.
func catalogKeys(r *keys.Ring) catalog.Keys {
	return catalog.Keys{Words: r.IndexKey(keys.LabelSearch), Names: r.FirstKey(keys.LabelNames)}
}

// keepRing puts the ring's copy into the archive where it is not the latest,
// and finishes a rotation that was cut short.
func (a *Appliance) keepRing(ctx context.Context) error {
	held := a.ring
	b, err := a.archive.LatestSealed(ctx, sealedRing)
	if err == nil {
		held, err = keys.ParseRing(b)
	} else if errors.Is(err, archive.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("read the copy of the state keys: %w", err)
	}
	if held.Len() > a.ring.Len() && held.Holds(a.ring) { // the machine stopped before the file was written
		a.ring.Adopt(held)
		if err := keys.StoreRing(a.cfg.StateDir, a.root, a.ring); err != nil {
			return err
		}
	}
	if err := a.copyRing(ctx, a.ring, b); err != nil || a.next.IsZero() {
		return err
	}
	if err := a.putNext(ctx, a.next, a.ring); err != nil {
		return err
	}
	return a.rotateEntry(ctx, "system", "finished", nil)
}

// copyRing puts a ring into the archive unless was is the same.
func (a *Appliance) copyRing(ctx context.Context, r *keys.Ring, was []byte) error {
	b, err := r.Bytes()
	if err != nil || string(b) == string(was) {
		return err
	}
	if err := a.archive.PutSealed(ctx, sealedRing, b); err != nil {
		return fmt.Errorf("keep a copy of the state keys in the archive: %w", err)
	}
	return nil
}

// putNext makes next the root key: steps 4 to 6.
func (a *Appliance) putNext(ctx context.Context, next keys.Root, ring *keys.Ring) error {
	if err := a.before("lock"); err != nil {
		return err
	}
	if !a.rotated {
		if err := a.archive.ChangeKey(ctx, next); err != nil {
			return err
		}
		a.rotated = true
	}
	if err := a.before("ring"); err != nil {
		return err
	}
	if err := keys.StoreRing(a.cfg.StateDir, next, ring); err != nil {
		return err
	}
	if err := a.before("name"); err != nil {
		return err
	}
	if err := keys.Promote(a.cfg.StateDir); err != nil {
		return err
	}
	a.mu.Lock()
	a.root, a.next, a.rotated = next, keys.Root{}, false
	a.mu.Unlock()
	a.ring.Adopt(ring)
	return nil
}

func (a *Appliance) rotateEntry(ctx context.Context, by, what string, shares []keys.Share) error {
	detail := map[string]string{"what": what}
	if len(shares) > 0 {
		detail["shares"], detail["needed"] = strconv.Itoa(shares[0].N), strconv.Itoa(shares[0].K)
	}
	_, err := a.audit.Append(ctx, audit.Event{Actor: by, Operation: "key.rotate", Object: "key/root", Outcome: "ok", Detail: detail})
	return err
}

// NewKit makes a new root key and splits it. Nothing changes before its shares
// are typed back; see [Appliance.ConfirmKit].
func (a *Appliance) NewKit(ctx context.Context, by string, n, k int) ([]keys.Share, error) {
	handed, err := keys.HandedOver()
	if err != nil {
		return nil, err
	}
	if handed {
		return nil, &i18n.Error{ID: "kit.rotate.credential"}
	}
	next, err := keys.New()
	if err != nil {
		return nil, err
	}
	return a.split(ctx, by, next, n, k)
}

// rotate puts the root key in place whose shares were just typed back.
func (a *Appliance) rotate(ctx context.Context, by string, next keys.Root, shares []keys.Share) error {
	ctx = context.WithoutCancel(ctx) // a page that is closed stops nothing
	ring, err := a.ring.Grown()
	if err != nil {
		return err
	}
	if err := a.copyRing(ctx, ring, nil); err != nil {
		return err
	}
	if err := a.before("next"); err != nil {
		return err
	}
	if err := keys.StoreNext(a.cfg.keySource(), next); err != nil {
		return err
	}
	if err := a.before("kit"); err != nil {
		return err
	}
	err = a.kits.Replace(ctx, shares, next.Check(), by, func() error { return a.rotateEntry(ctx, by, "begun", shares) })
	if err != nil {
		return errors.Join(err, keys.DropNext(a.cfg.StateDir))
	}
	if err = a.putNext(ctx, next, ring); err == nil {
		err = a.rotateEntry(ctx, by, "done", nil)
	}
	if err != nil {
		a.log.ErrorContext(ctx, "the root key was not changed to the end; the next start goes on", "err", err)
		select {
		case a.broken <- fmt.Errorf("%w: %w", errRotation, err):
		default:
		}
		return &i18n.Error{ID: "kit.rotate.half", Err: err}
	}
	return nil
}

func (a *Appliance) before(step string) error {
	if a.cut == nil {
		return nil
	}
	return a.cut(step)
}

// KeyCheck is the word by which a kit's register knows the root key.
func (a *Appliance) KeyCheck() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.root.Check()
}

// Locks compares the lock of each copy with the archive's: one that differs
// opens with a former root key only. All are asked at once, 10 s each at most.
func (a *Appliance) Locks(ctx context.Context) ([]web.Lock, error) {
	here, err := a.archive.Lock()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	copied := a.copiedLocks(ctx)
	out := make([]web.Lock, 1+len(copied))
	out[0].Opened = true
	var g errgroup.Group
	for i, l := range copied {
		g.Go(func() error {
			b, err := l.read(ctx)
			if err != nil {
				a.log.WarnContext(ctx, "a copy's lock was not read", "name", l.name, "err", err)
			}
			out[1+i] = web.Lock{Name: l.name, Away: err != nil, Opened: err == nil && bytes.Equal(b, here)}
			return nil
		})
	}
	return out, g.Wait()
}

// copiedLock is the lock of a further copy.
type copiedLock struct {
	name string
	read func(context.Context) ([]byte, error)
}

func (a *Appliance) copiedLocks(ctx context.Context) (out []copiedLock) {
	a.mu.Lock()
	places, sender := append([]*placeRun(nil), a.places...), a.sender
	a.mu.Unlock()
	for _, p := range places {
		out = append(out, copiedLock{p.Config().Name, func(ctx context.Context) ([]byte, error) { return p.File(ctx, archive.LockName) }})
	}
	if sender != nil {
		out = append(out, copiedLock{a.Offsite(ctx).Address, func(ctx context.Context) ([]byte, error) { return sender.File(ctx, archive.LockName) }})
	}
	return out
}
