// Package db opens Farol's SQLite files and hands out transactions. It owns
// the pragmas, the numbered migrations and the online copy; the SQL of a table
// lives with the package that owns the table.
//
// # Design
//
// One connection writes, a small pool reads, both in WAL mode. Pragmas travel
// in the data source name, because an Exec reaches one connection of a pool
// only. A transaction carries one time, so rows written together agree.
package db

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite" // the only place that knows the driver
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations
var migrations embed.FS

// Set names one sequence of migrations.
type Set string

// The databases.
const (
	Control Set = "control" // small: accounts, settings, runs; copied into the archive
	Catalog Set = "catalog" // large: a view of the archive, rebuilt from it
	Log     Set = "log"     // large: where to look in the audit log, rebuilt from it
)

// DB is one SQLite file.
type DB struct {
	w, r *sql.DB
	now  func() time.Time
	path string

	version atomic.Int64 // write transactions committed since Open
}

// Tx is one transaction with one time.
type Tx struct {
	*sql.Tx
	Now time.Time
}

// ErrDamaged means that the file is not a sound SQLite database. The catalog
// can then be rebuilt, the control database recovered from its sealed copy.
var ErrDamaged = errors.New("database file is damaged")

// ErrNewer means that a newer Farol has brought the file to a migration that
// this one does not know. What is in it is whole; nothing was changed.
var ErrNewer = errors.New("database file is of a newer Farol")

// Open opens or creates the file at path, checks it unless it is large and
// brings it to the newest migration. now gives Tx.Now; nil means time.Now. It returns
// [ErrDamaged] when SQLite refuses the file, [ErrNewer] when a newer program
// made it.
func Open(ctx context.Context, path string, set Set, now func() time.Time) (*DB, error) {
	if now == nil {
		now = time.Now
	}
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("open %s: %w", filepath.Base(path), err)
	} else if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open %s: %w", filepath.Base(path), err)
	}
	sync := "FULL"
	if set != Control {
		sync = "NORMAL" // the archive or the log is the record: a lost tail is replayed
	}
	w, err := sql.Open("sqlite", dsn(path, sync, -32768, false))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", filepath.Base(path), err)
	}
	w.SetMaxOpenConns(1)
	d := &DB{w: w, now: now, path: path}
	if err := d.migrate(ctx, set); err != nil {
		return nil, errors.Join(fmt.Errorf("migrate %s: %w", filepath.Base(path), err), w.Close())
	}
	d.r, err = sql.Open("sqlite", dsn(path, sync, -16384, true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s for reading: %w", filepath.Base(path), err), w.Close())
	}
	d.r.SetMaxOpenConns(4)
	return d, nil
}

func dsn(path, sync string, cache int, readOnly bool) string {
	q := url.Values{}
	for _, p := range []string{
		"journal_mode(WAL)", "synchronous(" + sync + ")", "busy_timeout(5000)", fmt.Sprintf("cache_size(%d)", cache),
		"temp_store(MEMORY)", "secure_delete(ON)", "foreign_keys(ON)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)",
	} {
		q.Add("_pragma", p)
	}
	if readOnly {
		q.Add("_pragma", "query_only(ON)")
	} else {
		q.Set("_txlock", "immediate")
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

func (d *DB) migrate(ctx context.Context, set Set) error {
	if fi, err := os.Stat(d.path); err != nil {
		return fmt.Errorf("check: %w", err)
	} else if set == Control || fi.Size() <= checkedAtOpen {
		if err := check(ctx, d.w); err != nil {
			return err
		}
	}
	sub, err := fs.Sub(migrations, "migrations/"+string(set))
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, d.w, sub)
	if err != nil {
		return err
	}
	has, knows, err := p.GetVersions(ctx)
	if err != nil {
		return damaged(err)
	}
	if has > knows {
		return fmt.Errorf("%w: it is at migration %d, this one knows %d", ErrNewer, has, knows)
	}
	_, err = p.Up(ctx)
	return damaged(err)
}

// checkedAtOpen bounds the check before a start. SQLite's quick_check reads the
// whole file: 300,000 records are 64 MB and took 0.5 s on two busy cores, so ten
// million would hold a restart up for 17 s and more, where 5 s are promised. A
// kill or a power cut leaves nothing to find, the write-ahead log sees to that;
// what there is to find is a bad disk, and that can wait for [DB.Check] a
// minute later. The catalog alone grows that large, and the archive can make
// it anew.
const checkedAtOpen = 256 << 20

// Check reads the whole file beside other work and returns [ErrDamaged] when it
// is not sound.
func (d *DB) Check(ctx context.Context) error { return check(ctx, d.r) }

func check(ctx context.Context, pool *sql.DB) error {
	var ok string
	if err := pool.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&ok); err != nil {
		return damaged(fmt.Errorf("check: %w", err))
	}
	if ok != "ok" {
		return fmt.Errorf("%w: %s", ErrDamaged, ok)
	}
	return nil
}

// damaged marks what SQLite says of a broken file. A file that is busy, a full
// disk or a context that ended says nothing about the bytes.
func damaged(err error) error {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return err
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if se.Code() == sqlite3.SQLITE_IOERR_SHORT_READ {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// Update runs fn in one write transaction and commits it when fn returns nil.
func (d *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	err := run(ctx, d.w, d.now(), fn)
	if err == nil {
		d.version.Add(1)
	}
	return err
}

// Version counts the write transactions since Open: a copy made at the same
// version is still current.
func (d *DB) Version() int64 { return d.version.Load() }

// View runs fn in one read transaction. Keep it short: the write-ahead log
// cannot be reset under it.
func (d *DB) View(ctx context.Context, fn func(*Tx) error) error { return run(ctx, d.r, d.now(), fn) }

// Prepare returns a statement for reading one thing very often: it needs no
// transaction and is parsed once. The caller closes it before [DB.Close].
func (d *DB) Prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	return d.r.PrepareContext(ctx, query)
}

func run(ctx context.Context, pool *sql.DB, now time.Time, fn func(*Tx) error) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := fn(&Tx{tx, now}); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
			err = ctx.Err() // ctx ended and took the transaction along: that is the cause
		}
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// Copy writes one consistent, compact copy of the database to path, which
// must not exist, while writing goes on.
func (d *DB) Copy(ctx context.Context, path string) error {
	if _, err := d.w.ExecContext(ctx, "VACUUM INTO ?", path); err != nil {
		return fmt.Errorf("copy %s: %w", filepath.Base(d.path), err)
	}
	return os.Chmod(path, 0o600)
}

// Migration is the number of the last migration of the file.
func (d *DB) Migration(ctx context.Context) (n int64, err error) {
	if err := d.r.QueryRowContext(ctx, "SELECT coalesce(max(version_id),0) FROM goose_db_version WHERE is_applied=1").Scan(&n); err != nil {
		return 0, fmt.Errorf("read the migration of %s: %w", filepath.Base(d.path), err)
	}
	return n, nil
}

// Path is the file that d is.
func (d *DB) Path() string { return d.path }

// Close closes both pools.
func (d *DB) Close() error { return errors.Join(d.r.Close(), d.w.Close()) }
