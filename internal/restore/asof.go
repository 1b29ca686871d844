package restore

import (
	"context"
	"maps"
	"strconv"

	"farol/internal/catalog"
	"farol/internal/i18n"
	"farol/internal/policy"
	"farol/internal/record"
)

// enterAt is enter for a state of the past: the entry says which, and a commit
// that has not come yet is refused, so that nobody takes the present for it.
//
// Who may see is decided by today's rights and today's departments.
func (d *Door) enterAt(ctx context.Context, rq Request, a policy.Action, op, object string, asOf uint64, detail map[string]string) (record.Scope, error) {
	if asOf > 0 {
		detail = maps.Clone(detail)
		if detail == nil {
			detail = map[string]string{}
		}
		detail["as_of"] = strconv.FormatUint(asOf, 10)
	}
	scope, err := d.enter(ctx, rq, a, op, object, detail)
	if err != nil || asOf == 0 {
		return scope, err
	}
	last, err := d.d.Catalog.Applied(ctx)
	if err != nil {
		return record.Scope{}, err
	}
	if asOf > last {
		return record.Scope{}, &i18n.Error{ID: "asof.future", Args: []any{"n", asOf, "last", last}}
	}
	return scope, nil
}

// container is a container as it was at a commit, 0 for now.
func (d *Door) container(ctx context.Context, scope record.Scope, id int64, asOf uint64) (catalog.ContainerInfo, error) {
	info, err := d.d.Catalog.Container(ctx, scope, id, asOf)
	if err == nil {
		d.asThen(ctx, &info)
	}
	return info, err
}

// asThen gives a container the title it had when its description was another.
// One that cannot be read leaves today's title.
func (d *Door) asThen(ctx context.Context, info *catalog.ContainerInfo) {
	if info.Then == nil {
		return
	}
	rec, err := d.read(ctx, *info.Then)
	if err != nil {
		d.d.Log.WarnContext(ctx, "the description of a container at a point in time", "err", err)
		return
	}
	doc, err := d.d.Connectors[info.Then.Kind].Document(&rec)
	if err == nil && doc.Container != nil {
		info.Title = doc.Container.Title
	}
}
