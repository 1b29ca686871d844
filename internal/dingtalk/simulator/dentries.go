package simulator

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// listDentries is one folder. The token is an offset into the order asked
// for, so it shifts when files change during the walk, as the real one does.
func listDentries(c *call) (any, error) {
	sp, _, err := c.space()
	if err != nil {
		return nil, err
	}
	q := c.queryArgs()
	max, err := c.maxResults(q, 50)
	if err != nil {
		return nil, err
	}
	parent := sp.find(q.str("parentId"))
	if parent == nil || !parent.folder {
		return nil, notFound("dentryNotExist", "parent not exist")
	}
	from, err := q.num("nextToken", 0)
	if err != nil || from < 0 {
		return nil, c.bad("paramError.nextToken", "nextToken")
	}
	var list []*dentry
	for _, d := range sp.order {
		if d.parent == parent && !d.deleted {
			list = append(list, d)
		}
	}
	by := cmp.Or(q.str("orderBy"), "MODIFIED_TIME")
	less, ok := map[string]func(a, b *dentry) int{
		"MODIFIED_TIME": func(a, b *dentry) int { return cmp.Compare(a.modified, b.modified) },
		"CREATE_TIME":   func(a, b *dentry) int { return cmp.Compare(a.created, b.created) },
		"NAME":          func(a, b *dentry) int { return strings.Compare(a.name, b.name) },
		"SIZE":          func(a, b *dentry) int { return cmp.Compare(a.json(0).Size, b.json(0).Size) },
	}[by]
	if !ok || !slices.Contains([]string{"", "ASC", "DESC"}, q.str("order")) {
		return nil, c.bad("paramError.orderBy", "orderBy or order")
	}
	slices.SortStableFunc(list, less)
	if q.str("order") != "ASC" {
		slices.Reverse(list)
	}
	a := min(int(from), len(list))
	b := min(a+max, len(list))
	out := []dentryJSON{}
	for _, d := range list[a:b] {
		j := d.json(0)
		j.Category = d.category()
		out = append(out, j)
	}
	next := ""
	if b < len(list) {
		next = strconv.Itoa(b)
	}
	return map[string]any{"dentries": out, "nextToken": next}, nil
}

// listAllDentries walks a whole space by (modified time, id). The token is
// that pair of the last item, so a file changed during an ascending walk
// comes again at the end, and during a descending one is lost.
func listAllDentries(c *call) (any, error) {
	sp, _, err := c.space()
	if err != nil {
		return nil, err
	}
	opt := c.args.obj("option")
	for k := range opt {
		if !slices.Contains([]string{"maxResults", "nextToken", "order", "withThumbnail"}, k) {
			c.s.violate(c.r, "option has the unknown field "+k)
		}
	}
	max, err := c.maxResults(opt, 50)
	if err != nil {
		return nil, err
	}
	desc := opt.str("order") == "DESC"
	var list []*dentry
	for _, d := range sp.order {
		if !d.gone() {
			list = append(list, d)
		}
	}
	rank := func(d *dentry, ms int64, id string) int {
		r := cmp.Or(cmp.Compare(d.modified, ms), strings.Compare(d.id, id))
		if desc {
			return -r
		}
		return r
	}
	slices.SortFunc(list, func(a, b *dentry) int { return rank(a, b.modified, b.id) })
	if tok := opt.str("nextToken"); tok != "" {
		msText, id, ok := strings.Cut(tok, ":")
		ms, err := strconv.ParseInt(msText, 10, 64)
		if !ok || err != nil {
			return nil, c.bad("paramError.nextToken", "nextToken")
		}
		list = slices.DeleteFunc(list, func(d *dentry) bool { return rank(d, ms, id) <= 0 })
	}
	out := []dentryJSON{}
	for _, d := range list[:min(max, len(list))] {
		out = append(out, d.json(0))
	}
	next := ""
	if len(list) > max {
		d := list[max-1]
		next = strconv.FormatInt(d.modified, 10) + ":" + d.id
	}
	if c.s.faults.take(c.s, "reorder", c.apiName()) != nil {
		c.s.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return map[string]any{"dentries": out, "nextToken": next}, nil
}

func batchDentries(c *call) (any, error) {
	sp, _, err := c.space()
	if err != nil {
		return nil, err
	}
	type item struct {
		SpaceID   string      `json:"spaceId"`
		DentryID  string      `json:"dentryId"`
		Success   bool        `json:"success"`
		Dentry    *dentryJSON `json:"dentry,omitempty"`
		ErrorCode string      `json:"errorCode,omitempty"`
	}
	ids := c.args.strs("dentryIds")
	if len(ids) < 1 || len(ids) > 30 {
		return nil, c.bad("paramError.dentryIds", "1 to 30 dentryIds")
	}
	list := []item{}
	for _, id := range ids {
		it := item{SpaceID: sp.id, DentryID: id, ErrorCode: "dentryNotExist"}
		if d := sp.find(id); d != nil && id != "0" {
			j := d.json(0)
			it.Success, it.Dentry, it.ErrorCode = true, &j, ""
		}
		list = append(list, it)
	}
	return map[string]any{"resultItems": list}, nil
}

func getDentry(c *call) (any, error) {
	d, _, err := c.dentry()
	if err != nil {
		return nil, err
	}
	return map[string]any{"dentry": d.json(0)}, nil
}

func listVersions(c *call) (any, error) {
	d, _, err := c.dentry()
	if err != nil {
		return nil, err
	}
	q := c.queryArgs()
	max, err := c.maxResults(q, 100)
	if err != nil {
		return nil, err
	}
	from, err := q.num("nextToken", 0)
	if err != nil || from < 0 {
		return nil, c.bad("paramError.nextToken", "nextToken")
	}
	list := []dentryJSON{}
	for i := len(d.versions) - 1; i >= 0; i-- {
		list = append(list, d.json(d.versions[i].n))
	}
	a := min(int(from), len(list))
	b := min(a+max, len(list))
	next := ""
	if b < len(list) {
		next = strconv.Itoa(b)
	}
	return map[string]any{"dentries": list[a:b], "nextToken": next}, nil
}
