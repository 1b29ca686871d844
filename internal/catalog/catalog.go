// Package catalog is the view of the archive that questions are asked of:
// which records and versions exist, who owns them, where their bytes lie, and
// a blind search index over their words.
//
// It promises that every answer stays inside the [record.Scope] it was asked
// with, and that nothing readable lies in its file: names are sealed, words
// are keyed hashes. It can be deleted and rebuilt from the archive alone.
//
// # Design
//
// A record's row id is a time slot (seconds since 2000 × 4, next free), so
// newest-first is the primary key's order. Full-text rows hold only blind
// tokens; a hit is a proposal that the reader verifies on the plaintext
// ([Expr.Find]). See design notes in tokens.go for what is one word.
package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"farol/internal/db"
	"farol/internal/record"
)

// Box seals names at rest.
type Box interface {
	Seal(plain, aad []byte) []byte
	Open(sealed, aad []byte) ([]byte, error)
}

// Catalog is an open catalog. It is safe for concurrent use.
type Catalog struct {
	db    *db.DB
	box   Box
	blind *blinder
	one   *sql.Stmt // what is known of one item

	mu    sync.Mutex // guards below
	segs  map[int64]string
	names map[int64]string // people, opened
	free  map[int64]int64  // second → next free slot, a hint
}

// Errors of this package.
var (
	ErrNotFound = errors.New("no such record, or not in your scope")
	ErrStale    = errors.New("the index was made by another version and must be rebuilt")
)

// Keys blind what lies in the file: Words the tokens of the index, Names the
// names of items, containers and people. The audit log names these too, so
// Names has to stay the same for ever.
type Keys struct{ Words, Names []byte }

// Open opens or creates the catalog file. It returns [ErrStale] when the tokens
// on disk are of another version or key, or the file is of a newer program.
func Open(ctx context.Context, path string, k Keys, box Box, now func() time.Time) (*Catalog, error) {
	d, err := db.Open(ctx, path, db.Catalog, now)
	if errors.Is(err, db.ErrNewer) { // a view: made anew rather than guessed at
		return nil, fmt.Errorf("open catalog: %w: %w", ErrStale, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	c := &Catalog{db: d, box: box, blind: newBlinder(k), segs: map[int64]string{}, names: map[int64]string{}, free: map[int64]int64{}}
	canary := c.canary()
	was, err := c.Meta(ctx, "tokens")
	if err == nil && was == "" {
		err = c.SetMeta(ctx, "tokens", canary)
	} else if err == nil && was != canary {
		err = ErrStale
	}
	if err == nil {
		c.one, err = d.Prepare(ctx, "SELECT id, ver, state FROM rec WHERE item=? AND until=0")
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return c, nil
}

// canary tells a search key or a way of cutting words from another.
func (c *Catalog) canary() string {
	return fmt.Sprint(c.blind.token(piece{'w', "canary", ""}), "/", TokenVersion, "/", c.blind.name("canary"))
}

// Close closes the file.
func (c *Catalog) Close() error { return errors.Join(c.one.Close(), c.db.Close()) }

// Check reads the whole file and returns [db.ErrDamaged] when it is not sound.
func (c *Catalog) Check(ctx context.Context) error { return c.db.Check(ctx) }

// Copy writes a compact copy of the file to path.
func (c *Catalog) Copy(ctx context.Context, path string) error { return c.db.Copy(ctx, path) }

// Meta reads a named value, "" when it was never set.
func (c *Catalog) Meta(ctx context.Context, name string) (string, error) {
	var v string
	err := c.db.View(ctx, func(tx *db.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT value FROM meta WHERE name=?", name).Scan(&v)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return v, err
}

// SetMeta sets a named value.
func (c *Catalog) SetMeta(ctx context.Context, name, value string) error {
	return c.db.Update(ctx, func(tx *db.Tx) error { return setMeta(ctx, tx, name, value) })
}

func setMeta(ctx context.Context, tx *db.Tx, name, value string) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO meta VALUES(?,?) ON CONFLICT(name) DO UPDATE SET value=excluded.value", name, value)
	return err
}

// Migration is the number of the file's last migration.
func (c *Catalog) Migration(ctx context.Context) (int64, error) { return c.db.Migration(ctx) }

// Applied is the number of the last commit that the catalog holds.
func (c *Catalog) Applied(ctx context.Context) (uint64, error) {
	v, err := c.Meta(ctx, "applied")
	if err != nil || v == "" {
		return 0, err
	}
	var n uint64
	_, err = fmt.Sscan(v, &n)
	return n, err
}

var kindNumber = map[record.Kind]int{record.Contacts: 1, record.Chat: 2, record.Files: 3, record.Approvals: 4}

var kindName = func() map[int]record.Kind {
	m := map[int]record.Kind{}
	for k, n := range kindNumber {
		m[n] = k
	}
	return m
}()

// sealJSON seals v bound to the row it belongs to.
func (c *Catalog) sealJSON(v any, table string, key []byte) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return c.box.Seal(b, append([]byte(table+"\x00"), key...)), nil
}

func (c *Catalog) openJSON(sealed []byte, v any, table string, key []byte) error {
	b, err := c.box.Open(sealed, append([]byte(table+"\x00"), key...))
	if err != nil {
		return fmt.Errorf("open sealed %s: %w", table, err)
	}
	return json.Unmarshal(b, v)
}
