package simulator

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// space is a drive: of the organisation, of a department or of a conversation.
type space struct {
	id, name string
	conv     *conversation
	dept     int64 // 0 means the whole organisation, unless it is a conversation's
	created  int64
	modified int64
	root     *dentry
	dentries map[string]*dentry
	order    []*dentry // by creation, for stable walks
}

var storageRoutes = []route{
	{method: "POST", pattern: "/v1.0/convFile/conversations/spaces/query", perm: "ConvFile.Space.Read", query: "unionId!", body: "openConversationId!", handle: convSpace},
	{method: "GET", pattern: "/v1.0/drive/spaces", perm: "Drive.Space.Read", query: "maxResults! nextToken spaceType! unionId!", handle: driveSpaces},
	{method: "GET", pattern: "/v1.0/storage/spaces/{spaceId}", perm: "Storage.Space.Read", query: "unionId!", handle: getSpace},
	{method: "GET", pattern: "/v1.0/storage/spaces/{spaceId}/dentries", perm: "Storage.File.Read", query: "maxResults nextToken order orderBy parentId! unionId! withThumbnail", handle: listDentries},
	{method: "POST", pattern: "/v1.0/storage/spaces/{spaceId}/dentries/listAll", perm: "Storage.File.Read", query: "unionId!", body: "option", handle: listAllDentries},
	{method: "POST", pattern: "/v1.0/storage/spaces/{spaceId}/dentries/query", perm: "Storage.File.Read", query: "unionId!", body: "dentryIds! option", handle: batchDentries},
	{method: "POST", pattern: "/v1.0/storage/spaces/{spaceId}/dentries/{dentryId}/query", perm: "Storage.File.Read", query: "unionId!", body: "option", handle: getDentry},
	{method: "GET", pattern: "/v1.0/storage/spaces/{spaceId}/dentries/{dentryId}/versions", perm: "Storage.File.Read", query: "maxResults nextToken unionId!", handle: listVersions},
	{method: "POST", pattern: "/v1.0/storage/spaces/{spaceId}/dentries/{dentryId}/downloadInfos/query", perm: "Storage.DownloadInfo.Read", query: "unionId!", body: "option", handle: downloadInfo},
}

// operator is the person that unionId names; every storage call has one.
func (c *call) operator() (*person, error) {
	p := c.s.tenant.union(c.query.Get("unionId"))
	if p == nil {
		if left := c.s.tenant.byUnion[c.query.Get("unionId")]; left != nil {
			// somebody who has left: no caller can know before it asks
			return nil, apiError{status: 400, code: "paramError.unionId", msg: "unionId is not a member of the organisation"}
		}
		return nil, c.bad("paramError.unionId", "unionId is not a member of the organisation")
	}
	return p, nil
}

// mayRead: a conversation's space is for its members, a department's for its
// people and those of the departments below, the rest for everybody. The main
// administrator sees every drive, but not the conversations he is not in.
func (t *tenant) mayRead(p *person, sp *space) bool {
	if sp.conv != nil {
		return sp.conv.has(p)
	}
	if sp.dept == 0 || p == t.admin {
		return true
	}
	below := t.subtree(sp.dept)
	return slices.ContainsFunc(p.depts, func(id int64) bool { return slices.Contains(below, id) })
}

var errPermission = apiError{status: 403, code: "permissionDenied", msg: "permission denied"}

func (c *call) space() (*space, *person, error) {
	p, err := c.operator()
	if err != nil {
		return nil, nil, err
	}
	sp := c.s.tenant.bySpace[c.path["spaceId"]]
	if sp == nil {
		return nil, nil, notFound("spaceNotExist", "space not exist")
	}
	if !c.s.tenant.mayRead(p, sp) {
		return nil, nil, errPermission
	}
	return sp, p, nil
}

func (c *call) dentry() (*dentry, *person, error) {
	sp, p, err := c.space()
	if err != nil {
		return nil, nil, err
	}
	d := sp.find(c.path["dentryId"])
	if d == nil {
		return nil, nil, notFound("dentryNotExist", "dentry not exist")
	}
	return d, p, nil
}

func (sp *space) find(id string) *dentry {
	if id == "0" {
		return sp.root
	}
	if d := sp.dentries[id]; d != nil && !d.gone() {
		return d
	}
	return nil
}

func convSpace(c *call) (any, error) {
	p, err := c.operator()
	if err != nil {
		return nil, err
	}
	v := c.s.tenant.byConv[c.args.str("openConversationId")]
	if v == nil {
		return nil, notFound("conversationNotExist", "conversation not exist")
	}
	if !v.has(p) {
		return nil, errPermission
	}
	if v.space == nil {
		c.s.do(operation{Op: "open-space", Conv: v.id, Space: c.s.tenant.id(), Time: c.s.now().UnixMilli()})
	}
	type spaceJSON struct {
		SpaceID      string `json:"spaceId"`
		CorpID       string `json:"corpId"`
		CreateTime   string `json:"createTime"`
		ModifiedTime string `json:"modifiedTime"`
	}
	return map[string]any{"space": spaceJSON{v.space.id, c.s.tenant.corpID, isoText(v.space.created), isoText(v.space.modified)}}, nil
}

func driveSpaces(c *call) (any, error) {
	p, err := c.operator()
	if err != nil {
		return nil, err
	}
	q := c.queryArgs()
	max, err := q.num("maxResults", 0)
	if err != nil || max < 1 || max > 50 {
		return nil, c.bad("param.error.maxresults", "maxResults is out of range")
	}
	if q.str("spaceType") != "org" {
		return nil, c.bad("param.error.spaceType", "spaceType must be org")
	}
	from, err := q.num("nextToken", 0)
	if err != nil || from < 0 {
		return nil, c.bad("param.error.nextToken", "nextToken")
	}
	type spaceJSON struct {
		SpaceID    string `json:"spaceId"`
		Name       string `json:"spaceName"`
		Type       string `json:"spaceType"`
		Quota      int64  `json:"quota"`
		Used       int64  `json:"usedQuota"`
		Mode       string `json:"permissionMode"`
		CreateTime string `json:"createTime"`
		ModifyTime string `json:"modifyTime"`
	}
	list := []spaceJSON{}
	for _, sp := range c.s.tenant.spaces {
		if sp.conv == nil && c.s.tenant.mayRead(p, sp) {
			list = append(list, spaceJSON{sp.id, sp.name, "org", 107374182400, 0, "acl", isoText(sp.created), isoText(sp.modified)})
		}
	}
	a := min(int(from), len(list))
	b := min(a+int(max), len(list))
	next := ""
	if b < len(list) {
		next = strconv.Itoa(b)
	}
	return map[string]any{"spaces": list[a:b], "nextToken": next}, nil
}

func getSpace(c *call) (any, error) {
	sp, _, err := c.space()
	if err != nil {
		return nil, err
	}
	owner := "ORG"
	if sp.conv != nil {
		owner = "CONVERSATION"
	}
	return map[string]any{"space": map[string]any{"id": sp.id, "name": sp.name, "corpId": c.s.tenant.corpID, "ownerType": owner,
		"status": "NORMAL", "createTime": isoText(sp.created), "modifiedTime": isoText(sp.modified), "quota": 107374182400, "usedQuota": 0}}, nil
}

func (c *call) maxResults(a args, max int64) (int, error) {
	n, err := a.num("maxResults", max)
	if err != nil || n < 1 || n > max {
		return 0, c.bad("paramError.maxResults", "maxResults must be 1 to "+strconv.FormatInt(max, 10))
	}
	return int(n), nil
}

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
