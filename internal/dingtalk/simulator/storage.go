package simulator

import (
	"slices"
	"strconv"
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
