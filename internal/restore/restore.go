// Package restore is the one door through which content leaves Farol: to a
// person's screen, into an export, or back into DingTalk.
//
// Every call names who asks and why. The order is always the same: policy is
// asked, the audit entry is made durable, and only then is the archive opened;
// no entry, no content. Restoring never overwrites anything upstream.
package restore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/policy"
	"farol/internal/record"
)

// Errors of this package, besides those of policy.
var (
	ErrStepUp   = errors.New("a fresh code is needed")
	ErrNotFound = catalog.ErrNotFound
	ErrDamaged  = archive.ErrCorrupt
	ErrEmpty    = errors.New("the selection holds nothing")
)

// Request is who asks, from where, and why.
type Request struct {
	Subject policy.Subject
	Session string // short id, for the log
	Source  string // network address
	Purpose policy.Purpose
	Fresh   bool // a code was given within the last five minutes

	Matter   string // number of the registered reason
	Approval string // what others agreed to, "" when nothing was asked
}

// detail adds the registered reason to what an entry says.
func (rq Request) detail(d map[string]string) map[string]string {
	if rq.Matter == "" {
		return d
	}
	out := map[string]string{"matter": rq.Matter}
	maps.Copy(out, d)
	return out
}

// Deps is what the door works with.
type Deps struct {
	Archive    *archive.Archive
	Audit      *audit.Log
	Catalog    *catalog.Catalog
	Connectors map[record.Kind]connector.Connector
	People     *connector.Directory
	Client     func() *dingtalk.Client
	Operator   func(context.Context) (string, error) // unionId for drive access
	Readers    func(context.Context) ([]string, error)
	Circles    func(context.Context) (map[record.Realms][]int64, error) // departments of closed circles; nil: by their names alone
	Eyes       Eyes                                                     // without them nobody is asked
	LogKey     string                                                   // verifier key of the audit log, for proofs
	Log        *slog.Logger
	Now        func() time.Time
}

// Door opens content. It is safe for concurrent use.
type Door struct {
	d Deps

	mu   sync.Mutex // guards jobs
	jobs []*Job     // newest last
}

// New returns a door.
func New(d Deps) *Door {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Door{d: d}
}

// enter asks policy and writes the audit entry; the scope is what may then be
// opened. A refusal is an entry too. A member's own is shown by own.go only,
// without what others wrote in it.
func (d *Door) enter(ctx context.Context, rq Request, a policy.Action, op, object string, detail map[string]string) (record.Scope, error) {
	if rq.Purpose == policy.Self {
		rq.Subject.Grants = nil
	}
	return d.admit(ctx, rq, a, op, object, detail)
}

func (d *Door) admit(ctx context.Context, rq Request, a policy.Action, op, object string, detail map[string]string) (record.Scope, error) {
	scope, err := d.allow(ctx, rq, a)
	ev := audit.Event{Actor: rq.Subject.Account, Role: rq.Subject.Role, Session: rq.Session, Source: rq.Source, Operation: op, Object: object, Purpose: string(rq.Purpose), Approval: rq.Approval, Outcome: "ok", Detail: rq.detail(detail)}
	if errors.Is(err, policy.ErrPurpose) {
		return scope, err // nothing was asked for yet: the page asks for the purpose
	}
	if err == nil && !rq.Fresh && (a == policy.Export || a == policy.Restore) && rq.Purpose != policy.Self { // a member has no code: DingTalk says that it is he
		return record.Scope{}, ErrStepUp
	}
	if err != nil {
		ev.Operation, ev.Outcome = "access.denied", "denied"
	}
	if _, aerr := d.d.Audit.Append(ctx, ev); aerr != nil {
		return record.Scope{}, fmt.Errorf("no entry, no content: %w", aerr)
	}
	return scope, err
}

// missed writes that what was asked for is not there for this reader: a guessed
// address, or one that is outside what he may see; the log does not tell which
// either. It returns err.
func (d *Door) missed(ctx context.Context, rq Request, object string, err error) error {
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	_, aerr := d.d.Audit.Append(ctx, audit.Event{Actor: rq.Subject.Account, Role: rq.Subject.Role, Session: rq.Session, Source: rq.Source, Operation: "access.denied", Object: object, Purpose: string(rq.Purpose), Outcome: "denied", Detail: rq.detail(map[string]string{"why": "scope"})})
	if aerr != nil {
		return fmt.Errorf("a refusal without its entry: %w", aerr)
	}
	return err
}

// allow asks policy. Where the departments or their circles cannot be read it
// allows nothing.
func (d *Door) allow(ctx context.Context, rq Request, a policy.Action) (record.Scope, error) {
	depts, err := d.d.Catalog.Depts(ctx)
	if err != nil {
		return record.Scope{}, err
	}
	org := policy.Org{Below: func(ids []int64) []int64 { return Below(depts, ids) }}
	if d.d.Circles != nil {
		if org.Circles, err = d.d.Circles(ctx); err != nil {
			return record.Scope{}, err
		}
	}
	return policy.Allow(rq.Subject, a, rq.Purpose, d.d.Now(), org)
}

// expand gives departments with all below them.
func (d *Door) expand(ctx context.Context, ids []int64) []int64 {
	all, err := d.d.Catalog.Depts(ctx)
	if err != nil {
		return nil // a scope of nothing
	}
	return Below(all, ids)
}

// Below lists the given departments and every department under them.
func Below(all []record.Dept, ids []int64) []int64 {
	children := map[int64][]int64{}
	for _, d := range all {
		children[d.Parent] = append(children[d.Parent], d.ID)
	}
	seen := map[int64]bool{}
	var out []int64
	for len(ids) > 0 {
		id := ids[0]
		ids = ids[1:]
		if seen[id] {
			continue
		}
		seen[id] = true
		out = append(out, id)
		ids = append(ids, children[id]...)
	}
	return out
}

// ref is how the audit log names a container or record: a blind number.
func ref(kind string, id int64) string { return kind + "/" + strconv.FormatInt(id, 36) }

// blindText is a query in the audit log: its hash, not its words.
func blindText(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:6])
}

// Containers lists what the reader may see, as of a commit (0 = now).
func (d *Door) Containers(ctx context.Context, rq Request, kind record.Kind, asOf uint64) ([]catalog.ContainerInfo, error) {
	scope, err := d.enterAt(ctx, rq, policy.Read, "view", "list/"+string(kind), asOf, nil)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		scope = only(scope, kind)
	}
	list, err := d.d.Catalog.Containers(ctx, scope, asOf)
	for i := range list {
		d.asThen(ctx, &list[i])
	}
	return list, err
}

func only(s record.Scope, kinds ...record.Kind) record.Scope {
	return s.Each(func(o *record.Scope) {
		var both []record.Kind
		for _, k := range kinds {
			if slices.Contains(o.Kinds, k) {
				both = append(both, k)
			}
		}
		o.Kinds = both
	})
}

// Item is a record version opened for a person.
type Item struct {
	catalog.Hit
	Doc    connector.Document
	Record record.Record
	Author string
	Spans  []catalog.Span // search hits inside Shown
	Shown  string         // the text that Spans count in
	Damage error          // the bytes could not be read; the rest of the page can
}

// Page is a stretch of a container.
type Page struct {
	Container catalog.ContainerInfo
	Items     []Item // oldest first
	Older     int64  // for PageQuery.Before, 0 = none
	Newer     int64  // for PageQuery.After, 0 = none
}

// Page opens a stretch of a container.
func (d *Door) Page(ctx context.Context, rq Request, q catalog.PageQuery) (Page, error) {
	scope, err := d.enterAt(ctx, rq, policy.Read, "view", ref("container", q.Container), q.AsOf, d.aboutPage(ctx, rq, q))
	if err != nil {
		return Page{}, err
	}
	var p Page
	if p.Container, err = d.container(ctx, scope, q.Container, q.AsOf); err != nil {
		return p, d.missed(ctx, rq, ref("container", q.Container), err)
	}
	limit := q.Limit
	q.Limit++ // one more tells whether there is more
	hits, err := d.d.Catalog.Page(ctx, scope, q)
	if err != nil {
		return p, err
	}
	more := len(hits) > limit
	hits = hits[:min(len(hits), limit)]
	if q.After == 0 { // newest first: turn
		for i, j := 0, len(hits)-1; i < j; i, j = i+1, j-1 {
			hits[i], hits[j] = hits[j], hits[i]
		}
	}
	if len(hits) > 0 {
		if q.After == 0 && more || q.After != 0 {
			p.Older = hits[0].ID
		}
		if q.After != 0 && more || q.Before != 0 {
			p.Newer = hits[len(hits)-1].ID
		}
	}
	p.Items, err = d.open(ctx, hits)
	return p, err
}

// open reads the records of hits. A damaged one is marked, not fatal.
func (d *Door) open(ctx context.Context, hits []catalog.Hit) ([]Item, error) {
	items := make([]Item, len(hits))
	locs := make([]record.Loc, len(hits))
	for i, h := range hits {
		items[i].Hit = h
		locs[i] = h.Loc
	}
	got := make([]bool, len(hits))
	err := d.d.Archive.ReadMany(ctx, locs, func(i int, r record.Record) error {
		items[i].Record, got[i] = r, true
		return nil
	})
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	for i := range items {
		if !got[i] { // one by one, so that one damaged record does not hide the others
			if items[i].Record, items[i].Damage = d.read(ctx, hits[i]); items[i].Damage != nil {
				continue
			}
		}
		it := &items[i]
		if it.Doc, err = d.d.Connectors[it.Kind].Document(&it.Record); err != nil {
			it.Doc = connector.Document{Body: string(it.Record.Raw), Time: it.Record.Time}
		}
		it.Author = it.Doc.Author.Name
		if it.Author == "" {
			if it.Author, err = d.d.Catalog.PersonName(ctx, it.Hit.Author); err != nil {
				return nil, err
			}
		}
	}
	return items, nil
}

// read opens the record of a hit. A fold may have moved it since the catalog
// was asked: then the catalog knows the new address.
func (d *Door) read(ctx context.Context, h catalog.Hit) (record.Record, error) {
	r, err := d.d.Archive.Read(ctx, h.Loc)
	if !errors.Is(err, archive.ErrNotFound) {
		return r, err
	}
	loc, lerr := d.d.Catalog.Where(ctx, h.ID)
	if lerr != nil || loc == h.Loc {
		return r, err
	}
	return d.d.Archive.Read(ctx, loc)
}

// Item opens one record version with all the versions it had at a commit (0 =
// now), oldest first.
func (d *Door) Item(ctx context.Context, rq Request, id int64, asOf uint64) (Item, []Item, error) {
	scope, err := d.enterAt(ctx, rq, policy.Read, "view", ref("record", id), asOf, d.aboutRecord(ctx, id))
	if err != nil {
		return Item{}, nil, err
	}
	hit, err := d.d.Catalog.Get(ctx, scope, id, asOf)
	if err != nil {
		return Item{}, nil, d.missed(ctx, rq, ref("record", id), err)
	}
	hits, err := d.d.Catalog.Versions(ctx, scope, id, asOf)
	if err != nil {
		return Item{}, nil, err
	}
	items, err := d.open(ctx, hits)
	if err != nil {
		return Item{}, nil, err
	}
	for _, it := range items {
		if it.ID == hit.ID {
			return it, items, nil
		}
	}
	return Item{}, nil, ErrNotFound
}

// Container gives the name of a container the reader may see; it writes no
// entry of its own, because it goes with a page that did.
func (d *Door) Container(ctx context.Context, rq Request, id int64, asOf uint64) (catalog.ContainerInfo, error) {
	if rq.Purpose == policy.Self {
		return catalog.ContainerInfo{}, policy.ErrDenied
	}
	scope, err := d.allow(ctx, rq, policy.Read)
	if err != nil {
		return catalog.ContainerInfo{}, err
	}
	return d.container(ctx, scope, id, asOf)
}
