package matter

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"farol/internal/db"
	"farol/internal/policy"
)

// flip stands in for the sealing: what it writes cannot be read and belongs to
// its place.
type flip struct{}

func (flip) Seal(p, a []byte) []byte {
	out := append(bytes.Clone(p), a...)
	for i := range out {
		out[i] ^= 0x5a
	}
	return out
}
func (f flip) Open(s, a []byte) ([]byte, error) {
	plain := f.Seal(s, nil)
	if t, ok := bytes.CutSuffix(plain, a); ok {
		return t, nil
	}
	return nil, errors.New("moved")
}

func TestAMatterHasABasisANumberAndAnEnd(t *testing.T) {
	now := time.Date(2026, 12, 31, 15, 59, 0, 0, time.UTC) // a minute before midnight in Macau
	path := filepath.Join(t.TempDir(), "control.db")
	d, err := db.Open(t.Context(), path, db.Control, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r, ctx := New(d, flip{}), t.Context()
	for _, bad := range []struct {
		p            policy.Purpose
		basis, title string
		want         error
	}{{policy.Dispute, "mo_pdpa_6", "案", ErrTitle}, {policy.Dispute, "mo_pdpa_6", strings.Repeat("長", 201), ErrTitle}, {policy.Dispute, "mo_pdpa_11", "供應商訴訟案", ErrBasis}, {"curiosity", "mo_pdpa_6", "供應商訴訟案", ErrBasis}} {
		if _, err := r.Enter(ctx, bad.p, bad.basis, bad.title, "maria"); !errors.Is(err, bad.want) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	one, err := r.Enter(ctx, policy.Dispute, "mo_pdpa_6", " 供應商訴訟案 ", "maria")
	if err != nil || one.Number != "2026-001" || one.Title != "供應商訴訟案" {
		t.Fatal(one, err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]bool{one.Number: true}
	for range 8 {
		wg.Go(func() {
			m, err := r.Enter(ctx, policy.Handover, "mo_pdpa_6", "離職員工交接", "chan")
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[m.Number] {
				t.Error(m.Number, err)
			}
			seen[m.Number] = true
		})
	}
	wg.Wait()
	if m, err := r.For(ctx, one.Number, policy.Dispute, now); err != nil || m.Title != one.Title {
		t.Error(m, err)
	}
	for _, c := range []struct {
		number string
		p      policy.Purpose
		at     time.Time
	}{{one.Number, policy.Handover, now}, {one.Number, policy.Dispute, now.Add(Term)}, {"2026-999", policy.Dispute, now}} {
		if _, err := r.For(ctx, c.number, c.p, c.at); !errors.Is(err, ErrNotFound) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := r.Close(ctx, one.Number, "lei"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.For(ctx, one.Number, policy.Dispute, now); !errors.Is(err, ErrNotFound) {
		t.Error("a closed matter still opens content")
	}
	if err := r.Close(ctx, one.Number, "lei"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	now = now.Add(2 * time.Minute)
	if m, err := r.Enter(ctx, policy.Recovery, "mo_pdpa_15", "誤刪資料夾", "maria"); err != nil || m.Number != "2027-001" {
		t.Error(m.Number, err)
	}
	if list, err := r.List(ctx); err != nil || len(list) != 10 {
		t.Error(len(list), err)
	}
	for _, ext := range []string{"", "-wal"} {
		if b, _ := os.ReadFile(path + ext); bytes.Contains(b, []byte("供應商訴訟案")) {
			t.Error("what a matter is called lies readable in the database")
		}
	}
}
