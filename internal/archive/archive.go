// Package archive keeps what was captured: a sealed journal in front, a kopia
// repository behind, points in time over both.
//
// It promises that a commit which returned is on disk and stays readable, byte
// for byte, whatever is killed afterwards; that every record read is compared
// with its hash; and that the stock kopia program lists and restores
// everything that was folded. It never decides who may read, never talks to
// the network and never puts content or names into an error or a log line.
//
// # Design
//
// A commit is a group of frames in an append-only journal file, one fsync for
// all commits that wait at the same time. Blobs above 64 KiB skip the journal:
// they are written into kopia at once, and the frame that names them follows
// after kopia's flush. Once an hour, or when enough has gathered, Fold sorts
// the journalled records by container and month into segments of about 256
// KiB, rewrites the changed path of the tree and saves one kopia snapshot. It
// reads the segments back, hands the moved addresses to the catalog, and only
// then may the journal files go.
//
// Files below the directory:
//
//	farol.archive   marker: id, epoch; without it the disk is not mounted
//	journal/        <epoch>-<number>.fj, sealed frames (frame.go)
//	archive/        the kopia repository, layout of its "filesystem" storage
//	putlog          every file of archive/ with length and SHA-256
//	parity/         for each file of archive/ what mends it (parity.go)
//	moves/          addresses a fold changed and the catalog has not taken yet
//	quarantine/     damaged bytes that were set aside, never deleted
//	kopia.config    kopia's settings, written anew at each open
//
// A crash between any two steps repeats work and loses none: segments are
// addressed by content, a snapshot names the last journal file it covers, and
// moves are handed over until the catalog has them.
package archive

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"

	"farol/internal/keys"
	"farol/internal/record"
)

// Errors that callers tell apart. Each comes wrapped with what was being done.
var (
	ErrLocked   = errors.New("the archive is in use by another process")
	ErrKey      = errors.New("the root key is not the archive's")
	ErrMissing  = errors.New("the archive is not there: is its disk mounted?")
	ErrFull     = errors.New("the disk is full up to the reserve")
	ErrCorrupt  = errors.New("stored bytes are damaged")
	ErrRebuild  = errors.New("the catalog is older than the journal: rebuild it from the archive")
	ErrNotFound = errors.New("not in the archive")
	ErrTooLarge = errors.New("the batch is too large for one commit")
	ErrForeign  = errors.New("the directory holds something else")
	ErrClosed   = errors.New("the archive is closed")

	// ErrSuperseded means that another appliance has taken over: what would be
	// written here nobody would ever see.
	ErrSuperseded = errors.New("another appliance has taken over this archive")
)

// Limits of one commit.
const (
	MaxBatch  = 64 << 20 // bytes of all Raw together
	maxInline = 64 << 10 // a blob up to this size lies in the journal until the fold
)

// Options are the archive's settings. The zero value works.
type Options struct {
	Log *slog.Logger     // default: discard
	Now func() time.Time // default: time.Now

	Org         string        // name of the tenant's directory in the tree; fixed by the first fold; default "org"
	NoParity    bool          // no parity files: the disk below heals itself (RAID with checksums, ZFS, btrfs)
	FoldBytes   int64         // Run folds when this many bytes of plaintext wait; default 64 MiB
	FoldEvery   time.Duration // Run folds this often; default 1 h
	Reserve     int64         // bytes of free disk below which Commit, PutBlob and Fold return ErrFull
	KeepJournal time.Duration // how long a folded journal file stays without an off-site node; default 24 h
	Offsite     bool          // a node takes copies: folded journal files stay until Shipped says so
	EpochAfter  uint32        // Adopt raises the epoch above this one too: a copy knows epochs of histories that were left

	// OnAppend is called with journal bytes after they are on disk, in order.
	// The commit waits for it: hand the bytes on and return. b is only valid
	// during the call.
	OnAppend func(file string, off int64, b []byte)
	// OnPut is called for each entry of the put log, under the same rules.
	OnPut func(PutEntry)
	// OnDamage is called for damage that Open or a reader met, under the same
	// rules. What Check finds is in its report.
	OnDamage func(Damage)
	// Fetch gets a file back from the off-site copy: a name from the put log,
	// or "journal/" and a journal file's name. The archive checks what it gets.
	Fetch func(ctx context.Context, name string) ([]byte, error)
	// Fault is called before and after each step that can fail, for tests: an
	// error before is returned in place of the step's own, one after stands for
	// a step that was done and said it was not.
	Fault func(op string) error
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Org == "" {
		o.Org = "org"
	}
	if o.FoldBytes == 0 {
		o.FoldBytes = 64 << 20
	}
	if o.FoldEvery == 0 {
		o.FoldEvery = time.Hour
	}
	if o.KeepJournal == 0 {
		o.KeepJournal = 24 * time.Hour
	}
	if o.Fault == nil {
		o.Fault = func(string) error { return nil }
	}
	return o
}

func (o Options) time() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// Archive is one open archive. Its methods may be called concurrently.
type Archive struct {
	dir  string
	id   [16]byte
	opt  Options
	now  func() time.Time
	lock *os.File
	made time.Time

	blobs *blobs
	rep   repo.DirectRepository
	w     repo.DirectRepositoryWriter
	codec *codec

	// foldMu is held by Fold, maintenance and whatever changes snapshots.
	foldMu sync.Mutex
	foldNo uint64 // of the last attempt; guarded by foldMu
	// direct is read-locked while blobs stream into kopia and write-locked by
	// Close.
	direct sync.RWMutex
	// flushMu is held by whoever flushes kopia or asks it for snapshots: while
	// it gathers their list into one content, a flush returns without its index
	// on disk.
	flushMu sync.Mutex
	healMu  sync.Mutex
	lookMu  sync.Mutex
	looked  time.Time // when the last look at the files began; guarded by lookMu
	// keep is read-locked by whoever reads journal files from end to end and
	// write-locked while folded ones are removed.
	keep sync.RWMutex

	queue struct { // commits waiting for the journal
		sync.Mutex
		list []*pending
	}
	j *journal // has its own lock

	mu       sync.Mutex // guards what follows
	lastSeq  uint64
	lastTime time.Time
	epoch    uint32   // of the marker, fixed after Open
	adopted  *Adopted // of the marker, nil for an archive that was made here
	cursors  map[string]string
	sealed   map[string]sealedRef
	inline   map[string]*inlineBlob // put, not yet committed
	inlineN  int64                  // bytes in inline
	held     map[string]blobRef     // small blobs in the unfolded journal
	writing  map[string]int         // direct blobs that no flush has covered yet
	waiting  map[string]time.Time   // direct blobs that no point holds yet
	point    *Point                 // latest
	foldTook time.Duration          // see Status
	moves    []Moves                // folds whose moves the catalog has not taken
	pointer  pointState
	relocate func(context.Context, Moves) error
	applied  uint64
	appliedN bool // Applied was ever called
	shipped  shippedState
	damage   []Damage

	cache  segmentCache
	closed atomic.Bool
	frozen atomic.Bool
}

// Freeze ends writing for as long as the archive is open: commits, blobs,
// folds, upkeep and forgetting return [ErrSuperseded]. Reading goes on.
func (a *Archive) Freeze() { a.frozen.Store(true) }

// Frozen tells whether Freeze was called.
func (a *Archive) Frozen() bool { return a.frozen.Load() }

// writable reports why nothing may be written now.
func (a *Archive) writable() error {
	switch {
	case a.closed.Load():
		return ErrClosed
	case a.frozen.Load():
		return ErrSuperseded
	}
	return nil
}

// Create makes a new archive in dir, which must be empty or absent, and opens
// it. It returns [ErrForeign] when dir holds anything but what a Create left
// that failed or was killed.
func Create(ctx context.Context, dir string, root keys.Root, opt Options) (*Archive, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if root.IsZero() {
		return nil, fmt.Errorf("create the archive: the root key was never set: %w", ErrKey)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the archive: %w", err)
	}
	if err := vacant(dir); err != nil {
		return nil, fmt.Errorf("create the archive: %w", err)
	}
	if err := writeFile(filepath.Join(dir, makingName), nil); err != nil {
		return nil, fmt.Errorf("create the archive: %w", full(err))
	}
	f, err := lock(dir)
	if err != nil {
		return nil, fmt.Errorf("create the archive: %w", err)
	}
	held := true
	defer func() {
		if held {
			_ = unlock(f)
		}
	}()
	if err := clearUnmade(dir); err != nil {
		return nil, fmt.Errorf("create the archive: %w", err)
	}
	if err := os.Mkdir(filepath.Join(dir, repoDir), 0o700); err != nil {
		return nil, fmt.Errorf("create the archive: %w", err)
	}
	opt = opt.withDefaults()
	log, err := openPutLog(filepath.Join(dir, putLogName))
	if err != nil {
		return nil, err
	}
	id := make([]byte, 32)
	salt := newSalt()
	copy(id, salt[:])
	salt = newSalt()
	copy(id[16:], salt[:])
	b := newBlobs(dir, log, opt)
	b.guard = func() error { return nil } // the marker comes last
	if err := initRepo(ctx, b, filepath.Join(dir, configName), root, id); err != nil {
		log.close()
		return nil, fmt.Errorf("create the archive: %w", full(err))
	}
	if err := log.close(); err != nil {
		return nil, fmt.Errorf("create the archive: %w", err)
	}
	// The marker makes it an archive: a crash before it leaves a directory
	// that Open calls missing and Create begins anew.
	hexID := hex.EncodeToString(id[:16])
	m := marker{Version: markerVersion, Archive: hexID, Epoch: 1, Key: keyCheck(root, hexID), Created: opt.time().UTC()}
	if err := writeMarker(dir, m); err != nil {
		return nil, fmt.Errorf("create the archive: %w", err)
	}
	if err := errors.Join(os.Remove(filepath.Join(dir, makingName)), syncDir(filepath.Dir(dir))); err != nil {
		return nil, fmt.Errorf("create the archive: %w", err)
	}
	held = false
	if err := unlock(f); err != nil {
		return nil, fmt.Errorf("create the archive: %w", err)
	}
	return Open(ctx, dir, root, opt)
}

func newBlobs(dir string, log *putLog, opt Options) *blobs {
	log.fault = opt.Fault
	b := &blobs{
		root: filepath.Join(dir, repoDir), log: log, now: time.Now, clock: opt.Now != nil,
		fault: opt.Fault, onPut: opt.OnPut, index: map[blob.ID]blob.Metadata{},
	}
	if opt.Now != nil {
		b.now = opt.Now
	}
	if !opt.NoParity {
		b.parity = newParities(filepath.Join(dir, parityDir), b.root, opt.Log, opt.Fault)
	}
	return b
}

// Open opens the archive in dir for this process alone. It repairs what a
// crash left: a torn journal tail is cut at the last whole commit (the cut
// bytes go to quarantine), stray temporary files go, blobs of wrong length go
// to quarantine and are fetched from the off-site copy where Options.Fetch is
// set. Damage that costs data does not stop it; see [Archive.Damage].
//
// It returns [ErrMissing] without a marker, [ErrLocked] when another process
// has it, [ErrKey] for another root key and [ErrCorrupt] when the repository's
// index cannot be read and could not be healed.
func Open(ctx context.Context, dir string, root keys.Root, opt Options) (_ *Archive, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	m, err := readMarker(dir)
	if err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	if err := checkKey(ctx, dir, root, &m); err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	opt = opt.withDefaults()
	a := &Archive{
		dir: dir, opt: opt, now: time.Now, made: m.Created,
		cursors: map[string]string{}, sealed: map[string]sealedRef{}, inline: map[string]*inlineBlob{},
		held: map[string]blobRef{}, writing: map[string]int{}, waiting: map[string]time.Time{},
	}
	if opt.Now != nil {
		a.now = opt.Now
	}
	id, err := hex.DecodeString(m.Archive)
	if err != nil || len(id) != 16 {
		return nil, fmt.Errorf("read the archive's marker: %w", ErrCorrupt)
	}
	copy(a.id[:], id)
	if a.lock, err = lock(dir); err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	defer func() {
		if err != nil {
			_ = a.shut(ctx)
		}
	}()
	for _, d := range []string{journalDir, movesDir, quarantineDir} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("open the archive: %w", err)
		}
	}
	if a.codec, err = newCodec(); err != nil {
		return nil, err
	}
	log, err := openPutLog(filepath.Join(dir, putLogName))
	if err != nil {
		return nil, err
	}
	a.blobs = newBlobs(dir, log, opt)
	a.blobs.guard = a.guard
	if err := a.sweepBlobs(ctx); err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	if err := a.openRepo(ctx, root); err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	if err := a.loadPoint(ctx); err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	a.epoch, a.adopted = m.Epoch, m.Adopted
	// Not the root key's: whoever opens the lock reads the journal that lies
	// beside it, on this disk and on every copy, whatever the root key became.
	journal, err := a.rep.DeriveKey("farol journal", 32)
	if err != nil {
		return nil, fmt.Errorf("open the archive: derive the journal's key: %w", err)
	}
	if err := a.openJournal(ctx, journal, m.Epoch); err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	if err := a.sweepMoves(ctx); err != nil {
		return nil, fmt.Errorf("open the archive: %w", err)
	}
	return a, nil
}

// openRepo opens kopia. When that fails, blobs that differ from the put log
// are healed or set aside first: one damaged index blob stops kopia.
func (a *Archive) openRepo(ctx context.Context, root keys.Root) (err error) {
	var now func() time.Time
	if a.opt.Now != nil {
		now = a.opt.Now
	}
	config := filepath.Join(a.dir, configName)
	a.rep, err = openRepo(ctx, a.blobs, config, root, now)
	if err != nil && !errors.Is(err, ErrKey) {
		healed, herr := a.healIndex(ctx)
		if herr != nil {
			return errors.Join(err, herr)
		}
		if healed {
			a.rep, err = openRepo(ctx, a.blobs, config, root, now)
		}
	}
	if err != nil {
		return err
	}
	_, a.w, err = a.rep.NewDirectWriter(a.ctx(ctx), repo.WriteSessionOptions{Purpose: "archive"})
	return err
}

// ctx is for calls into kopia that outlive the caller.
func (a *Archive) ctx(ctx context.Context) context.Context { return a.blobs.context(ctx) }

// guard reports a directory that vanished under us: its marker is gone.
func (a *Archive) guard() error {
	_, err := os.Stat(filepath.Join(a.dir, markerName))
	if errors.Is(err, os.ErrNotExist) {
		return ErrMissing
	}
	return err
}

// room refuses new data when the reserve would be touched or the disk is gone.
func (a *Archive) room(more int64) error {
	if a.closed.Load() {
		return ErrClosed
	}
	if err := a.guard(); err != nil {
		return err
	}
	if err := a.opt.Fault("room"); err != nil {
		return full(err)
	}
	if a.opt.Reserve <= 0 {
		return nil
	}
	free, _, err := space(a.dir)
	if err != nil {
		return err
	}
	if free-more < a.opt.Reserve {
		return ErrFull
	}
	return nil
}

// ID names the archive: 32 hexadecimal digits, the same for ever.
func (a *Archive) ID() string { return hex.EncodeToString(a.id[:]) }

// LastSeq is the number of the last commit, 0 before the first.
func (a *Archive) LastSeq() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lastSeq
}

// Cursors returns the latest value of every cursor.
func (a *Archive) Cursors() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := make(map[string]string, len(a.cursors))
	for k, v := range a.cursors {
		m[k] = v
	}
	return m
}

// Damage lists what Open found damaged or set aside.
func (a *Archive) Damage() []Damage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Damage(nil), a.damage...)
}

// addDamage names a damage once: what cannot be healed is met by every reader.
func (a *Archive) addDamage(d Damage) {
	a.mu.Lock()
	known := !d.Healed && slices.ContainsFunc(a.damage, func(old Damage) bool {
		return !old.Healed && old.What == d.What && old.Where == d.Where && old.Offset == d.Offset
	})
	if !known {
		a.damage = append(a.damage, d)
	}
	a.mu.Unlock()
	if known {
		return
	}
	a.opt.Log.Error("archive damage", "what", d.What, "where", d.Where, "offset", d.Offset, "healed", d.Healed)
	if a.opt.OnDamage != nil {
		a.opt.OnDamage(d)
	}
}

// Close flushes and frees the archive. What was acknowledged needs no Close.
func (a *Archive) Close() error {
	if a.closed.Swap(true) {
		return nil
	}
	a.foldMu.Lock()
	defer a.foldMu.Unlock()
	a.direct.Lock()
	defer a.direct.Unlock()
	return a.shut(context.Background())
}

func (a *Archive) shut(ctx context.Context) error {
	var errs []error
	if a.j != nil {
		errs = append(errs, a.j.close())
	}
	if a.w != nil {
		errs = append(errs, a.w.Close(a.ctx(ctx)))
	}
	if a.rep != nil {
		errs = append(errs, a.rep.Close(a.ctx(ctx)))
	}
	if a.blobs != nil {
		a.blobs.parity.wait()
		errs = append(errs, a.blobs.log.close())
	}
	if a.codec != nil {
		a.codec.close()
	}
	errs = append(errs, unlock(a.lock))
	return errors.Join(errs...)
}

// Commit is one acknowledged point in time.
type Commit struct {
	Seq     uint64 // 1, 2, 3 … without gaps
	Time    time.Time
	Note    string
	Root    record.Hash   // Merkle root over Leaves
	Leaves  []record.Hash // of Records, in order
	Records []record.Record
	Cursors map[string]string // the ones this commit changed
	Locs    []record.Loc      // where each record lies
}
