// Package kit keeps who holds the shares of the recovery key, when each was
// last shown to be there, and when recovery was last rehearsed with them.
//
// It promises that it holds no share and nothing a share could be made from:
// of each only the words that tell it apart, sealed.
package kit

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"farol/internal/db"
	"farol/internal/keys"
)

// Errors of this package.
var (
	ErrNone   = errors.New("there is no recovery kit, or no such share")
	ErrWords  = errors.New("these are the words of another share")
	ErrKeeper = errors.New("a keeper is named with at most 100 characters")
	ErrLost   = errors.New("the share was given up as lost")
)

// How long what was shown counts.
const (
	Presence  = 183 * 24 * time.Hour // a share that was last seen earlier wants to be shown
	Rehearsal = 365 * 24 * time.Hour // a rehearsal before that wants to be repeated
)

// Kit is the splitting of the root key that counts.
type Kit struct {
	N, K   int
	Root   string    // check word of the root key it opens
	Made   time.Time // when it was proved
	By     string
	Tried  time.Time // last rehearsal, zero if never
	Shares []Share   // by number
}

// Share is what is known of one.
type Share struct {
	Number int
	Keeper string // who keeps it and where, "" not said
	Seen   time.Time
	Lost   time.Time // zero: not given up
	mark   keys.Mark
}

// Due reports whether the share wants to be shown.
func (s *Share) Due(now time.Time) bool { return s.Lost.IsZero() && now.Sub(s.Seen) >= Presence }

// Left is how many shares were not given up as lost.
func (k *Kit) Left() (n int) {
	for i := range k.Shares {
		if k.Shares[i].Lost.IsZero() {
			n++
		}
	}
	return n
}

// Opens reports whether the shares that are left open the key.
func (k *Kit) Opens() bool { return k.Left() >= k.K }

// Due is how many shares want to be shown.
func (k *Kit) Due(now time.Time) (n int) {
	for i := range k.Shares {
		if k.Shares[i].Due(now) {
			n++
		}
	}
	return n
}

// RehearsalDue reports whether the last proof of the kit is older than a year.
func (k *Kit) RehearsalDue(now time.Time) bool {
	last := k.Made
	if k.Tried.After(last) {
		last = k.Tried
	}
	return now.Sub(last) >= Rehearsal
}

// Possible reports whether the root key may be split into n shares of which k
// open it.
func Possible(n, k int) bool { return k >= 2 && k <= n && n <= 9 }

// Box seals the words and the keepers' names.
type Box interface {
	Seal(plain, aad []byte) []byte
	Open(sealed, aad []byte) ([]byte, error)
}

// Book is the register of the kit. It is safe for concurrent use.
type Book struct {
	db  *db.DB
	box Box
}

// New returns the register of a control database.
func New(d *db.DB, box Box) *Book { return &Book{d, box} }

func aad(what string, kit int64, number int) []byte {
	return fmt.Appendf(nil, "farol kit %s %d %d", what, kit, number)
}

// Replace enters a kit whose shares were just made and proved, of the root key
// with this check word; entry writes it to the audit log, and without that
// nothing is entered.
func (b *Book) Replace(ctx context.Context, shares []keys.Share, root, by string, entry func() error) error {
	if len(shares) == 0 {
		return ErrNone
	}
	err := b.db.Update(ctx, func(tx *db.Tx) error {
		var id int64
		now := tx.Now.UnixMilli()
		if err := tx.QueryRowContext(ctx, "INSERT INTO kit(n, k, made, by, root) VALUES(?,?,?,?,?) RETURNING id", shares[0].N, shares[0].K, now, by, root).Scan(&id); err != nil {
			return err
		}
		for _, s := range shares {
			mark := binary.BigEndian.AppendUint64(nil, uint64(s.Mark()))
			if _, err := tx.ExecContext(ctx, "INSERT INTO kit_share(kit, number, mark, keeper, seen) VALUES(?,?,?,?,?)", id, s.Number,
				b.box.Seal(mark, aad("mark", id, s.Number)), b.box.Seal(nil, aad("keeper", id, s.Number)), now); err != nil {
				return err
			}
		}
		return entry()
	})
	if err != nil {
		return fmt.Errorf("enter a recovery kit: %w", err)
	}
	return nil
}

// Current is the kit that counts. It returns [ErrNone] when none was proved.
func (b *Book) Current(ctx context.Context) (k Kit, err error) {
	err = b.db.View(ctx, func(tx *db.Tx) error {
		_, k, err = b.current(ctx, tx)
		return err
	})
	return k, err
}

func (b *Book) current(ctx context.Context, tx *db.Tx) (id int64, k Kit, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT k.id, k.n, k.k, k.root, k.made, k.by, k.tried, s.number, s.mark, s.keeper, s.seen, s.lost FROM kit k JOIN kit_share s ON s.kit=k.id WHERE k.id=(SELECT max(id) FROM kit) ORDER BY s.number")
	if err != nil {
		return 0, k, fmt.Errorf("read the recovery kit: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var s Share
		var made, tried, seen, lost int64
		var mark, keeper []byte
		if err := rows.Scan(&id, &k.N, &k.K, &k.Root, &made, &k.By, &tried, &s.Number, &mark, &keeper, &seen, &lost); err != nil {
			return 0, k, fmt.Errorf("read the recovery kit: %w", err)
		}
		plain, err := b.box.Open(mark, aad("mark", id, s.Number))
		if err != nil || len(plain) != 8 {
			return 0, k, fmt.Errorf("unseal the words of share %d: %w", s.Number, errors.Join(err, keys.ErrKey))
		}
		name, err := b.box.Open(keeper, aad("keeper", id, s.Number))
		if err != nil {
			return 0, k, fmt.Errorf("unseal the keeper of share %d: %w", s.Number, err)
		}
		s.mark, s.Keeper = keys.Mark(binary.BigEndian.Uint64(plain)), string(name)
		k.Made, k.Tried, s.Seen, s.Lost = at(made), at(tried), at(seen), at(lost)
		k.Shares = append(k.Shares, s)
	}
	if err := rows.Err(); err != nil {
		return 0, k, fmt.Errorf("read the recovery kit: %w", err)
	}
	if len(k.Shares) == 0 {
		return 0, k, ErrNone
	}
	return id, k, nil
}

func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Keeper notes who keeps a share and where, as free text of one line.
func (b *Book) Keeper(ctx context.Context, number int, name string, entry func() error) error {
	name = strings.Join(strings.Fields(name), " ")
	if len([]rune(name)) > 100 {
		return ErrKeeper
	}
	return b.change(ctx, "name a share's keeper", number, func(tx *db.Tx, id int64, _ *Share) error {
		_, err := tx.ExecContext(ctx, "UPDATE kit_share SET keeper=? WHERE kit=? AND number=?", b.box.Seal([]byte(name), aad("keeper", id, number)), id, number)
		return errors.Join(err, entry())
	})
}

// See notes that a share is there: its keeper read its words from the paper.
// It returns [ErrWords] for those of another, [ErrLost] for one given up.
func (b *Book) See(ctx context.Context, number int, mark keys.Mark, entry func() error) error {
	return b.change(ctx, "see a share", number, func(tx *db.Tx, id int64, s *Share) error {
		switch {
		case !s.Lost.IsZero():
			return ErrLost
		case s.mark != mark:
			return ErrWords
		}
		_, err := tx.ExecContext(ctx, "UPDATE kit_share SET seen=? WHERE kit=? AND number=?", tx.Now.UnixMilli(), id, number)
		return errors.Join(err, entry())
	})
}

// Lose gives a share up. It never counts again, even when it is found: nobody
// knows who read it meanwhile.
func (b *Book) Lose(ctx context.Context, number int, entry func() error) error {
	return b.change(ctx, "give a share up", number, func(tx *db.Tx, id int64, s *Share) error {
		if !s.Lost.IsZero() {
			return ErrLost
		}
		_, err := tx.ExecContext(ctx, "UPDATE kit_share SET lost=? WHERE kit=? AND number=?", tx.Now.UnixMilli(), id, number)
		return errors.Join(err, entry())
	})
}

func (b *Book) change(ctx context.Context, doing string, number int, do func(*db.Tx, int64, *Share) error) error {
	err := b.db.Update(ctx, func(tx *db.Tx) error {
		id, k, err := b.current(ctx, tx)
		if err != nil {
			return err
		}
		for i := range k.Shares {
			if k.Shares[i].Number == number {
				return do(tx, id, &k.Shares[i])
			}
		}
		return ErrNone
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// Rehearsed notes that the key was put together from these shares, which are
// seen thereby.
func (b *Book) Rehearsed(ctx context.Context, shares []keys.Share, entry func() error) error {
	err := b.db.Update(ctx, func(tx *db.Tx) error {
		id, k, err := b.current(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE kit SET tried=? WHERE id=?", tx.Now.UnixMilli(), id); err != nil {
			return err
		}
		for _, s := range shares {
			for i := range k.Shares { // a share of an older kit opens the key too, but says nothing of this one
				if k.Shares[i].Number == s.Number && k.Shares[i].mark == s.Mark() {
					if _, err := tx.ExecContext(ctx, "UPDATE kit_share SET seen=? WHERE kit=? AND number=?", tx.Now.UnixMilli(), id, s.Number); err != nil {
						return err
					}
				}
			}
		}
		return entry()
	})
	if err != nil {
		return fmt.Errorf("note a rehearsal: %w", err)
	}
	return nil
}
