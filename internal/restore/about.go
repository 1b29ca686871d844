package restore

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"farol/internal/catalog"
	"farol/internal/policy"
)

// aboutRecord names, for the log, where a record lies and who made it, so that
// an auditor finds who looked into a department, a conversation or a person's
// records. It names no content, and is empty for what is not there.
func (d *Door) aboutRecord(ctx context.Context, id int64) map[string]string {
	h, err := d.d.Catalog.Get(ctx, everywhere, id, 0)
	if err != nil {
		return map[string]string{}
	}
	out := map[string]string{"dept": strconv.FormatInt(h.Dept, 10), "container": strconv.FormatInt(h.Container, 36)}
	if h.Author != 0 {
		out["person"] = strconv.FormatInt(h.Author, 36)
	}
	return out
}

// aboutContainer names the department of a container.
func (d *Door) aboutContainer(ctx context.Context, id int64) map[string]string {
	dept, err := d.d.Catalog.ContainerDept(ctx, id)
	if err != nil {
		return nil
	}
	return map[string]string{"dept": strconv.FormatInt(dept, 10)}
}

// aboutPage is aboutContainer with the people whose records a page shows. It
// asks what the page asks, before anything is opened.
func (d *Door) aboutPage(ctx context.Context, rq Request, q catalog.PageQuery) map[string]string {
	out := d.aboutContainer(ctx, q.Container)
	scope, err := d.allow(ctx, rq, policy.Read)
	if err != nil || out == nil {
		return out
	}
	hits, err := d.d.Catalog.Page(ctx, scope, q)
	if err != nil {
		return out
	}
	var t touched
	for _, h := range hits {
		t.add(h)
	}
	if people := join(t.person, 36); people != "" {
		out["person"] = people
	}
	return out
}

// touched is what an act on many records reached, for the log.
type touched struct{ dept, container, person map[int64]bool }

func (t *touched) add(h catalog.Hit) {
	if t.dept == nil {
		t.dept, t.container, t.person = map[int64]bool{}, map[int64]bool{}, map[int64]bool{}
	}
	t.dept[h.Dept], t.container[h.Container] = true, true
	if h.Author != 0 {
		t.person[h.Author] = true
	}
}

// refsPerEntry is how much one entry names, well below what it can be found by.
const refsPerEntry = 48

// details are the references in details of entries: the first belongs into the
// act's own entry, the others into further ones, so that whoever asks for a
// department, a conversation or a person finds the act, however much it reached.
func (t *touched) details() []map[string]string {
	out := []map[string]string{{}}
	room := refsPerEntry
	for _, ids := range []struct {
		key  string
		all  map[int64]bool
		base int
	}{{"dept", t.dept, 10}, {"container", t.container, 36}, {"person", t.person, 36}} {
		for left := sorted(ids.all); len(left) > 0; {
			if room == 0 {
				out, room = append(out, map[string]string{}), refsPerEntry
			}
			n := min(room, len(left))
			out[len(out)-1][ids.key] = text(left[:n], ids.base)
			left, room = left[n:], room-n
		}
	}
	return out
}

func sorted(ids map[int64]bool) []int64 { return slices.Sorted(maps.Keys(ids)) }

func join(ids map[int64]bool, base int) string { return text(sorted(ids), base) }

func text(ids []int64, base int) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = strconv.FormatInt(id, base)
	}
	return strings.Join(words, ",")
}

// Person is how the log names the person with an upstream key (userId, unionId,
// openDingTalkId) in entries about records of his.
func (d *Door) Person(key string) string { return strconv.FormatInt(d.d.Catalog.PersonID(key), 36) }
