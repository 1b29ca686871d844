package restore

import (
	"context"
	"errors"
	"strconv"
	"time"

	"farol/internal/catalog"
	"farol/internal/policy"
	"farol/internal/record"
)

// Result is a page of search hits, every one verified on its plaintext.
type Result struct {
	Items   []Item // newest first
	Next    int64  // for Query.Before, 0 = no more
	Count   int    // proposals of the index, at most CountLimit
	Exact   bool   // Count is exact; else an upper bound
	Timeout bool   // the index was stopped: refine, or take a time range
	Took    time.Duration
}

// CountLimit is where counting stops.
const CountLimit = 10000

// Search finds records by words and phrases inside the reader's scope. The
// query's words never reach the log, only their hash.
func (d *Door) Search(ctx context.Context, rq Request, text string, q catalog.Query) (Result, error) {
	q.Expr = catalog.ParseExpr(text)
	object := "query/" + blindText(text)
	scope, err := d.enterAt(ctx, rq, policy.Search, "search", object, q.AsOf, nil)
	if err != nil {
		return Result{}, err
	}
	if q.Expr.Empty() {
		return Result{}, ErrEmpty
	}
	began := time.Now()
	res := Result{Exact: q.Expr.Exact()}
	want := q.Limit
	q.Limit = want + 10
	for len(res.Items) < want {
		hits, err := d.d.Catalog.Search(ctx, scope, q)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			res.Timeout = true
			break
		}
		if err != nil {
			return res, err
		}
		items, err := d.open(ctx, hits)
		if err != nil {
			return res, err
		}
		for _, it := range items {
			it.Shown = it.Doc.Text()
			spans, ok := q.Expr.Find(it.Shown)
			if !ok && it.Damage == nil {
				continue // the blind index proposed, the text says no
			}
			it.Spans = spans
			if len(res.Items) == want {
				res.Next = res.Items[want-1].ID
				break
			}
			res.Items = append(res.Items, it)
		}
		if len(hits) < q.Limit {
			break
		}
		q.Before = hits[len(hits)-1].ID
		if res.Next == 0 && len(res.Items) == want {
			res.Next = res.Items[want-1].ID
		}
	}
	q.Before = 0
	if res.Count, err = d.d.Catalog.CountUpTo(ctx, scope, q, CountLimit); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return res, err
	}
	res.Took = time.Since(began)
	if len(res.Items) == 0 {
		return res, nil
	}
	var t touched
	for i := range res.Items {
		t.add(res.Items[i].Hit)
	}
	// Whose records it showed is known only now.
	if _, err := d.note(ctx, rq, "search", object, "ok", record.Hash{}, map[string]string{"seen": strconv.Itoa(len(res.Items))}, &t); err != nil {
		return Result{}, err
	}
	return res, nil
}

// Label is how a count is said: exact, or "at most".
func (r *Result) Label() string { return strconv.Itoa(r.Count) }
