package restore

import (
	"context"
	"errors"
	"slices"

	"farol/internal/archive"
	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/connector/chat"
	"farol/internal/connector/files"
	"farol/internal/dingtalk"
	"farol/internal/policy"
	"farol/internal/record"
)

// opener opens records for their maker.
type opener struct {
	d     *Door
	names policy.Names
	known map[int64]holder
}

// holder is what an opener knows of a container.
type holder struct {
	name string
	sent bool // files in it were sent by who uploaded them
}

func (d *Door) opener(rq Request) *opener {
	o := &opener{d, policy.Names{}, map[int64]holder{}}
	for _, g := range rq.Subject.Grants {
		for _, k := range g.Kinds {
			o.names[k] = append(o.names[k], g.Names...)
		}
	}
	return o
}

// him tells a member's keys in a kind from others'.
func (o *opener) him(k record.Kind) func(string) bool {
	return func(key string) bool { return key != "" && slices.Contains(o.names[k], key) }
}

// open reads what of hits is his alone. What is no longer in the archive is
// left out as if it had never been; a damaged record is marked.
func (o *opener) open(ctx context.Context, hits []catalog.Hit) ([]OwnItem, error) {
	var out []OwnItem
	recs := make([]*record.Record, len(hits))
	locs := make([]record.Loc, len(hits))
	for i, h := range hits {
		locs[i] = h.Loc
	}
	err := o.d.d.Archive.ReadMany(ctx, locs, func(i int, r record.Record) error { recs[i] = &r; return nil })
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	for i, h := range hits {
		it := OwnItem{Hit: h, Gone: h.State&catalog.Tombstone != 0}
		if recs[i] == nil {
			r, err := o.d.read(ctx, h)
			if errors.Is(err, archive.ErrNotFound) {
				continue
			}
			if err != nil && ctx.Err() != nil {
				return nil, err
			}
			if err != nil {
				if h.Kind == record.Files { // whose it is alone cannot be told
					continue
				}
				it.Damage = err
				out = append(out, it)
				continue
			}
			recs[i] = &r
		}
		p, ok := o.d.d.Connectors[h.Kind].(connector.Personal)
		if !ok {
			continue
		}
		if it.Own, ok = p.Own(recs[i], o.him(h.Kind)); !ok {
			continue
		}
		held, err := o.holder(ctx, h)
		if err != nil {
			return nil, err
		}
		if h.Kind == record.Files && !held.sent {
			continue // of a space of the company
		}
		it.Where = held.name
		for _, n := range it.Blobs {
			b := recs[i].Blobs[n]
			it.Files = append(it.Files, OwnFile{n, b.Name, b.Size})
		}
		out = append(out, it)
	}
	return out, nil
}

// everywhere finds the records that describe containers.
var everywhere = record.Scope{All: true, Kinds: record.Kinds, Class: record.Secret, Realms: record.AllRealms, Private: true}

// holder finds out where an item lies. The name of a group is for who is in it
// today: it may have been changed since he left.
func (o *opener) holder(ctx context.Context, h catalog.Hit) (holder, error) {
	if k, ok := o.known[h.Container]; ok {
		return k, nil
	}
	var out holder
	c, err := o.d.d.Catalog.Holder(ctx, h.Container)
	switch {
	case err != nil:
	case h.Kind == record.Approvals:
		out.name = c.Title
	case h.Kind == record.Chat:
		out.name, err = o.group(ctx, c)
	default:
		out, err = o.space(ctx, c)
	}
	if err != nil && ctx.Err() != nil {
		return out, err
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		o.d.d.Log.WarnContext(ctx, "what describes a container cannot be read", "err", err)
	}
	o.known[h.Container] = out
	return out, nil
}

func (o *opener) group(ctx context.Context, c record.Container) (string, error) {
	if c.Private { // named after the one or the other of the two
		return "", nil
	}
	rec, err := o.describing(ctx, record.Ref{Kind: record.Chat, Container: c.ID, ID: "@members"})
	if err != nil {
		return "", err
	}
	members, err := chat.Members(rec)
	if err != nil {
		return "", err
	}
	him := o.him(record.Chat)
	if slices.ContainsFunc(members, func(m dingtalk.Member) bool { return him(m.OpenID) }) {
		return c.Title, nil
	}
	return "", nil
}

func (o *opener) space(ctx context.Context, c record.Container) (holder, error) {
	rec, err := o.describing(ctx, record.Ref{Kind: record.Files, Container: c.ID, ID: "@"})
	if err != nil {
		return holder{}, err
	}
	id, err := files.Conversation(rec)
	if err != nil || id == "" {
		return holder{}, err
	}
	out := holder{sent: true}
	conv, err := o.d.d.Catalog.Holder(ctx, o.d.d.Catalog.ContainerID(record.Chat, id))
	if err == nil {
		out.name, err = o.group(ctx, conv)
	}
	if errors.Is(err, ErrNotFound) { // the talk itself is not kept
		err = nil
	}
	return out, err
}

func (o *opener) describing(ctx context.Context, ref record.Ref) (*record.Record, error) {
	hit, err := o.d.d.Catalog.ByRef(ctx, everywhere, ref)
	if err != nil {
		return nil, err
	}
	rec, err := o.d.read(ctx, hit)
	return &rec, err
}
