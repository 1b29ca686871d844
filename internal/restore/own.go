package restore

import (
	"context"
	"errors"
	"io"
	"strconv"

	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/connector/chat"
	"farol/internal/policy"
	"farol/internal/record"
)

// OwnItem is a record as its maker sees it.
type OwnItem struct {
	catalog.Hit
	connector.Own
	Files  []OwnFile
	Where  string         // name of the group or form, "" when it is not for him to know today
	Spans  []catalog.Span // search hits inside Text()
	Gone   bool           // DingTalk no longer shows it
	Damage error          // the bytes could not be read
}

// OwnFile is an attachment of his with its number in the record.
type OwnFile struct {
	N    int
	Name string
	Size int64
}

// OwnPage is a stretch of what somebody wrote, newest first.
type OwnPage struct {
	Items   []OwnItem
	Next    int64 // for OwnQuery.Before, 0 = no more
	Timeout bool  // the index was stopped
}

// OwnQuery asks for what somebody wrote, with words or without.
type OwnQuery struct {
	Text string
	catalog.OwnQuery
}

// enterOwn is enter for a member at his own records.
func (d *Door) enterOwn(ctx context.Context, rq Request, a policy.Action, op, object string, detail map[string]string) (record.Scope, error) {
	if rq.Purpose != policy.Self {
		return record.Scope{}, policy.ErrPurpose
	}
	return d.admit(ctx, rq, a, op, object, detail)
}

// Aliases are the further person keys of an employee: DingTalk names who sent
// a message by another key than its contacts do, and tells both in the list of
// a conversation's members.
func (d *Door) Aliases(ctx context.Context, userID string) ([]string, error) {
	seen := map[string]bool{}
	var out []string
	err := d.d.Catalog.EachNamed(ctx, record.Chat, "@members", func(hits []catalog.Hit) error {
		return d.eachRecord(ctx, hits, func(r *record.Record) error {
			members, err := chat.Members(r)
			if err != nil {
				return err
			}
			for _, m := range members {
				if m.UserID == userID && m.OpenID != "" && !seen[m.OpenID] {
					seen[m.OpenID] = true
					out = append(out, m.OpenID)
				}
			}
			return nil
		})
	})
	return out, err
}

// eachRecord reads the records of hits; those that cannot be read are left out.
func (d *Door) eachRecord(ctx context.Context, hits []catalog.Hit, fn func(*record.Record) error) error {
	for _, h := range hits {
		r, err := d.read(ctx, h)
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err != nil {
			d.d.Log.WarnContext(ctx, "a list of members cannot be read", "err", err)
			continue
		}
		if err := fn(&r); err != nil {
			return err
		}
	}
	return nil
}

// OwnTallies counts what is kept of a member: items of a kind and year.
func (d *Door) OwnTallies(ctx context.Context, rq Request) ([]catalog.Tally, error) {
	scope, err := d.enterOwn(ctx, rq, policy.Read, "view", "list/own", nil)
	if err != nil {
		return nil, err
	}
	all, err := d.d.Catalog.Tallies(ctx, scope)
	if err != nil {
		return nil, err
	}
	var out []catalog.Tally
	perYear := map[int]int64{}
	for _, t := range all {
		if t.Kind != record.Files {
			out = append(out, t)
		}
	}
	// who changed a file last is in the catalog, who made it and where it lies is not
	q := OwnQuery{OwnQuery: catalog.OwnQuery{Kind: record.Files, Limit: 500}}
	for {
		p, err := d.ownPage(ctx, rq, scope, q)
		if err != nil {
			return nil, err
		}
		for _, it := range p.Items {
			perYear[it.Time.In(record.Macau).Year()]++
		}
		if q.Before = p.Next; p.Next == 0 {
			break
		}
	}
	for year, n := range perYear {
		out = append(out, catalog.Tally{Kind: record.Files, Year: year, Items: n})
	}
	return out, nil
}

// OwnList lists or finds what a member wrote. The words never reach the log,
// only their hash; a count of what the index proposes is not given, for it
// would tell of words that others wrote in his messages.
func (d *Door) OwnList(ctx context.Context, rq Request, q OwnQuery) (OwnPage, error) {
	op, object, action := "view", "list/own", policy.Read
	if q.Text != "" {
		op, object, action = "search", "query/"+blindText(q.Text), policy.Search
	}
	scope, err := d.enterOwn(ctx, rq, action, op, object, nil)
	if err != nil {
		return OwnPage{}, err
	}
	return d.ownPage(ctx, rq, scope, q)
}

func (d *Door) ownPage(ctx context.Context, rq Request, scope record.Scope, q OwnQuery) (OwnPage, error) {
	expr := catalog.ParseExpr(q.Text)
	if q.Text != "" && expr.Empty() {
		return OwnPage{}, ErrEmpty
	}
	var p OwnPage
	want := q.Limit
	q.Limit += 10
	o := d.opener(rq)
	for {
		var hits []catalog.Hit
		var err error
		if q.Text == "" {
			hits, err = d.d.Catalog.Own(ctx, scope, q.OwnQuery)
		} else {
			hits, err = d.d.Catalog.Search(ctx, scope, catalog.Query{Expr: expr, From: q.From, To: q.To, Kind: q.Kind, Before: q.Before, Limit: q.Limit})
		}
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			p.Timeout = true
			return p, nil
		}
		if err != nil {
			return p, err
		}
		items, err := o.open(ctx, hits)
		if err != nil {
			return p, err
		}
		for _, it := range items {
			if q.Text != "" {
				spans, ok := expr.Find(it.Text())
				if !ok {
					continue // in words of others that are left out, or not at all
				}
				it.Spans = spans
			}
			if len(p.Items) == want {
				p.Next = p.Items[want-1].ID
				return p, nil
			}
			p.Items = append(p.Items, it)
		}
		if len(hits) < q.Limit {
			return p, nil
		}
		q.Before = hits[len(hits)-1].ID
	}
}

// OwnItem opens one record version of a member with all its versions that are
// his, oldest first. A record of somebody else answers [ErrNotFound], as one
// that does not exist, and is an entry of its own.
func (d *Door) OwnItem(ctx context.Context, rq Request, id int64) (OwnItem, []OwnItem, error) {
	scope, err := d.enterOwn(ctx, rq, policy.Read, "view", ref("record", id), nil)
	if err != nil {
		return OwnItem{}, nil, err
	}
	hit, err := d.d.Catalog.Get(ctx, scope, id, 0)
	if err != nil {
		return OwnItem{}, nil, d.missed(ctx, rq, ref("record", id), err)
	}
	hits, err := d.d.Catalog.Versions(ctx, scope, id, 0)
	if err != nil {
		return OwnItem{}, nil, err
	}
	items, err := d.opener(rq).open(ctx, hits)
	if err != nil {
		return OwnItem{}, nil, err
	}
	for _, it := range items {
		if it.ID == hit.ID {
			return it, items, nil
		}
	}
	return OwnItem{}, nil, d.missed(ctx, rq, ref("record", id), ErrNotFound)
}

// OwnBlob opens an attachment that a member gets back.
func (d *Door) OwnBlob(ctx context.Context, rq Request, id int64, n int) (io.ReadSeekCloser, record.Blob, error) {
	scope, err := d.enterOwn(ctx, rq, policy.Export, "export.download", ref("record", id), map[string]string{"attachment": strconv.Itoa(n)})
	if err != nil {
		return nil, record.Blob{}, err
	}
	hit, err := d.d.Catalog.Get(ctx, scope, id, 0)
	if err != nil {
		return nil, record.Blob{}, d.missed(ctx, rq, ref("record", id), err)
	}
	items, err := d.opener(rq).open(ctx, []catalog.Hit{hit})
	if err != nil {
		return nil, record.Blob{}, err
	}
	for _, it := range items {
		for _, f := range it.Files {
			if f.N != n {
				continue
			}
			rec, err := d.read(ctx, hit)
			if err != nil {
				return nil, record.Blob{}, err
			}
			r, err := d.d.Archive.OpenBlob(ctx, rec.Blobs[n])
			return r, rec.Blobs[n], err
		}
	}
	return nil, record.Blob{}, d.missed(ctx, rq, ref("record", id), ErrNotFound)
}
