package simulator

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// recycled is one entry of the organisation's recycle bin.
type recycled struct {
	id       string
	d        *dentry
	path     string
	operator string
	at       int64
}

const recycleBinID = "897120034"

var recycleRoutes = []route{
	{method: "GET", pattern: "/v1.0/storage/recycleBins", perm: "Storage.RecycleBin.Read", query: "recycleBinScope! scopeId! unionId!", handle: getRecycleBin},
	{method: "GET", pattern: "/v1.0/storage/recycleBins/{recycleBinId}/recycleItems", perm: "Storage.RecycleBin.Read", query: "maxResults nextToken unionId!", handle: listRecycled},
	{method: "POST", pattern: "/v1.0/storage/recycleBins/{recycleBinId}/recycleItems/{recycleItemId}/restore", perm: "Storage.RecycleBin.Write", query: "unionId!", body: "option", handle: restoreRecycled},
	{method: "POST", pattern: "/v1.0/storage/events/subscribe", perm: "Storage.Event.Write", query: "unionId!", body: "scope! scopeId!", handle: subscribeStorage},
	{method: "POST", pattern: "/v1.0/storage/events/unsubscribe", perm: "Storage.Event.Write", query: "unionId!", body: "scope! scopeId!", handle: subscribeStorage},
}

func getRecycleBin(c *call) (any, error) {
	if _, err := c.operator(); err != nil {
		return nil, err
	}
	if c.query.Get("recycleBinScope") != "ORG" || c.query.Get("scopeId") != c.s.tenant.corpID {
		return nil, c.bad("paramError.scopeId", "recycleBinScope must be ORG with the corpId")
	}
	return map[string]any{"recycleBin": map[string]any{"id": recycleBinID, "scope": "ORG", "scopeId": c.s.tenant.corpID}}, nil
}

func listRecycled(c *call) (any, error) {
	if _, err := c.operator(); err != nil {
		return nil, err
	}
	if c.path["recycleBinId"] != recycleBinID {
		return nil, notFound("recycleBinNotExist", "recycle bin not exist")
	}
	q := c.queryArgs()
	max, err := c.maxResults(q, 50)
	if err != nil {
		return nil, err
	}
	list := slices.Clone(c.s.tenant.bin)
	rank := func(a *recycled, at int64, id string) int {
		return cmp.Or(cmp.Compare(at, a.at), strings.Compare(id, a.id))
	}
	slices.SortFunc(list, func(a, b *recycled) int { return rank(a, b.at, b.id) })
	if tok := q.str("nextToken"); tok != "" {
		ms, id, ok := strings.Cut(tok, ":")
		at, err := strconv.ParseInt(ms, 10, 64)
		if !ok || err != nil {
			return nil, c.bad("paramError.nextToken", "nextToken")
		}
		list = slices.DeleteFunc(list, func(x *recycled) bool { return rank(x, at, id) <= 0 })
	}
	type item struct {
		ID           string `json:"id"`
		SpaceID      string `json:"spaceId"`
		DentryID     string `json:"dentryId"`
		Type         string `json:"type"`
		Size         int64  `json:"size"`
		OriginalName string `json:"originalName"`
		OriginalPath string `json:"originalPath"`
		OperatorID   string `json:"operatorId"`
		OperatorTime string `json:"operatorTime"`
	}
	out := []item{}
	for _, x := range list[:min(max, len(list))] {
		j := x.d.json(0)
		out = append(out, item{x.id, x.d.space.id, x.d.id, j.Type, j.Size, x.d.name, x.path, x.operator, isoText(x.at)})
	}
	next := ""
	if len(list) > max {
		next = strconv.FormatInt(list[max-1].at, 10) + ":" + list[max-1].id
	}
	return map[string]any{"recycleItems": out, "nextToken": next}, nil
}

func restoreRecycled(c *call) (any, error) {
	p, err := c.operator()
	if err != nil {
		return nil, err
	}
	for _, x := range c.s.tenant.bin {
		if x.id == c.path["recycleItemId"] {
			if x.d.parent.gone() {
				return nil, apiError{status: 400, code: "parentNotExist", msg: "the folder it lay in is gone"}
			}
			d := x.d
			c.s.do(operation{Op: "restore-dentry", ID: x.id, Time: c.s.now().UnixMilli()})
			c.s.storageEvent("storage_dentry_create", d, p)
			return map[string]any{"async": false, "dentryId": d.id, "spaceId": d.space.id, "taskId": ""}, nil
		}
	}
	return nil, notFound("recycleItemNotExist", "recycle item not exist")
}

func (t *tenant) applyDeleteDentry(op operation) {
	sp := t.bySpace[op.Space]
	if sp == nil || sp.dentries[op.ID] == nil || sp.dentries[op.ID].deleted {
		return
	}
	t.sawID(op.Token)
	d := sp.dentries[op.ID]
	t.bin = append(t.bin, &recycled{op.Token, d, d.path(), op.User, op.Time})
	d.deleted = true
}

func (t *tenant) applyRestoreDentry(op operation) {
	t.bin = slices.DeleteFunc(t.bin, func(x *recycled) bool {
		if x.id == op.ID {
			x.d.deleted, x.d.modified = false, op.Time
		}
		return x.id == op.ID
	})
}

func subscribeStorage(c *call) (any, error) {
	if _, err := c.operator(); err != nil {
		return nil, err
	}
	scope, id := c.args.str("scope"), c.args.str("scopeId")
	switch {
	case scope == "ORG" && id == c.s.tenant.corpID:
	case scope == "SPACE" && c.s.tenant.bySpace[id] != nil:
	default:
		return nil, c.bad("paramError.scope", "scope must be ORG or SPACE with its id")
	}
	c.s.hub.storage[scope+":"+id] = strings.HasSuffix(c.route.pattern, "/subscribe")
	return map[string]any{"success": true}, nil
}
