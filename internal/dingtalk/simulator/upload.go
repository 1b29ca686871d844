package simulator

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// upload is a file on its way in: the store has its bytes, or some parts, and
// the commit has not come yet.
type upload struct {
	by    *person
	size  int64 // what preCheckParam announced; 0 if nothing
	parts map[int][]byte
}

var uploadRoutes = []route{
	{method: "POST", pattern: "/v2.0/storage/spaces/files/{parentDentryUuid}/uploadInfos/query", perm: "Storage.UploadInfo.Read", query: "unionId!", body: "protocol! option", handle: uploadInfo},
	{method: "POST", pattern: "/v2.0/storage/spaces/files/{parentDentryUuid}/commit", perm: "Storage.File.Write", query: "unionId!", body: "name! uploadKey! option", handle: commitV2},
	{method: "POST", pattern: "/v1.0/storage/spaces/{spaceId}/files/uploadInfos/query", perm: "Storage.UploadInfo.Read", query: "unionId!", body: "multipart protocol! option", handle: uploadInfo},
	{method: "POST", pattern: "/v1.0/storage/spaces/{spaceId}/files/commit", perm: "Storage.File.Write", query: "unionId!", body: "name! parentId! uploadKey! option overwriteDentryId", handle: commitV1},
	{method: "POST", pattern: "/v1.0/storage/spaces/{spaceId}/files/multiPartUploadInfos/init", perm: "Storage.UploadInfo.Read", query: "unionId!", body: "option", handle: multipartInit},
	{method: "POST", pattern: "/v1.0/storage/spaces/files/multiPartUploadInfos/query", perm: "Storage.UploadInfo.Read", query: "unionId!", body: "partNumbers! uploadKey! option", handle: multipartQuery},
	{method: "POST", pattern: "/v1.0/storage/spaces/{spaceId}/dentries/{parentId}/folders", perm: "Storage.File.Write", query: "unionId!", body: "name! option", handle: addFolder},
	{method: "DELETE", pattern: "/v1.0/storage/spaces/{spaceId}/dentries/{dentryId}", perm: "Storage.File.Write", query: "unionId! toRecycleBin", handle: deleteDentry},
}

// folder is the parent that a v2 path names by uuid, or a v1 space's root.
func (c *call) folder() (*dentry, *person, error) {
	if c.path["parentDentryUuid"] == "" {
		sp, p, err := c.space()
		if err != nil {
			return nil, nil, err
		}
		return sp.root, p, nil
	}
	p, err := c.operator()
	if err != nil {
		return nil, nil, err
	}
	d := c.s.tenant.byUUID[c.path["parentDentryUuid"]]
	switch {
	case d == nil || d.gone() || !d.folder:
		return nil, nil, notFound("dentryNotExist", "parent not exist")
	case !c.s.tenant.mayRead(p, d.space):
		return nil, nil, errPermission
	}
	return d, p, nil
}

func (s *Simulator) newUpload(by *person, size int64) string {
	key := s.newID("hgHPAAAABc")
	s.uploads[key] = &upload{by: by, size: size, parts: map[int][]byte{}}
	return key
}

func uploadInfo(c *call) (any, error) {
	_, p, err := c.folder()
	if err != nil {
		return nil, err
	}
	if c.args.str("protocol") != "HEADER_SIGNATURE" {
		return nil, c.bad("paramError.protocol", "protocol must be HEADER_SIGNATURE")
	}
	pre := args(c.args.obj("option")).obj("preCheckParam")
	if name := pre.str("name"); name != "" && !legalName(name) {
		return nil, c.bad("dentryNameIllegal", "illegal name")
	}
	size, _ := pre.num("size", 0)
	key := c.s.newUpload(p, size)
	return struct {
		UploadKey string        `json:"uploadKey"`
		Driver    string        `json:"storageDriver"`
		Protocol  string        `json:"protocol"`
		Info      signatureInfo `json:"headerSignatureInfo"`
	}{key, "DINGTALK", "HEADER_SIGNATURE", c.signed("PUT", "/yundisk0/up/"+key)}, nil
}

func multipartInit(c *call) (any, error) {
	_, p, err := c.folder()
	if err != nil {
		return nil, err
	}
	size, _ := c.args.obj("option").obj("preCheckParam").num("size", 0)
	return map[string]any{"uploadKey": c.s.newUpload(p, size), "storageDriver": "DINGTALK"}, nil
}

func multipartQuery(c *call) (any, error) {
	key := c.args.str("uploadKey")
	if c.s.uploads[key] == nil {
		return nil, c.bad("paramError.uploadKey", "uploadKey")
	}
	numbers := c.args.strs("partNumbers")
	if len(numbers) < 1 || len(numbers) > 30 {
		return nil, c.bad("paramError.partNumbers", "1 to 30 part numbers")
	}
	type info struct {
		PartNumber int           `json:"partNumber"`
		Info       signatureInfo `json:"headerSignatureInfo"`
	}
	list := []info{}
	for _, text := range numbers {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 10000 {
			return nil, c.bad("paramError.partNumbers", "part numbers are 1 to 10000")
		}
		list = append(list, info{n, c.signed("PUT", fmt.Sprintf("/yundisk0/up/%s/%d", key, n))})
	}
	return map[string]any{"multipartHeaderSignatureInfos": list}, nil
}

// putObject takes bytes for an upload that was announced.
func (s *Simulator) putObject(r *http.Request, body []byte) bool {
	rest, ok := strings.CutPrefix(r.URL.Path, "/yundisk0/up/")
	key, part, _ := strings.Cut(rest, "/")
	n, _ := strconv.Atoi(part)
	u := s.uploads[key]
	if !ok || u == nil {
		return false
	}
	u.parts[n] = body
	return true
}

func (u *upload) join() []byte {
	var numbers []int
	for n := range u.parts {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	data := []byte{}
	for _, n := range numbers {
		data = append(data, u.parts[n]...)
	}
	return data
}

func legalName(name string) bool {
	return name != "" && !strings.ContainsAny(name, "\t*\"<>|/") && !strings.HasSuffix(name, ".")
}

func commitV2(c *call) (any, error) {
	parent, p, err := c.folder()
	if err != nil {
		return nil, err
	}
	return c.commit(parent, p, "")
}

func commitV1(c *call) (any, error) {
	sp, p, err := c.space()
	if err != nil {
		return nil, err
	}
	parent := sp.find(c.args.str("parentId"))
	if parent == nil || !parent.folder {
		return nil, notFound("dentryNotExist", "parent not exist")
	}
	return c.commit(parent, p, c.args.str("overwriteDentryId"))
}

func (c *call) commit(parent *dentry, p *person, overwrite string) (any, error) {
	key, name, opt := c.args.str("uploadKey"), c.args.str("name"), c.args.obj("option")
	u := c.s.uploads[key]
	if u == nil || len(u.parts) == 0 {
		return nil, c.bad("paramError.uploadKey", "nothing was uploaded under this uploadKey")
	}
	if !legalName(name) {
		return nil, c.bad("dentryNameIllegal", "illegal name")
	}
	data := u.join()
	if size, err := opt.num("size", int64(len(data))); err != nil || size != int64(len(data)) || u.size != 0 && u.size != size {
		return nil, c.bad("paramError.size", "size does not match the bytes received")
	}
	d, err := c.place(parent, p, name, opt.str("conflictStrategy"), overwrite, data)
	if err != nil {
		return nil, err
	}
	delete(c.s.uploads, key)
	j := d.json(0)
	j.Category = d.category()
	return map[string]any{"dentry": j}, nil
}

// place puts a file (or, with nil data, a folder) under parent, settling a
// conflict of names as asked.
func (c *call) place(parent *dentry, p *person, name, strategy, overwrite string, data []byte) (*dentry, error) {
	s, t := c.s, c.s.tenant
	op := operation{Op: "upload", Space: parent.space.id, Parent: parent.id, Name: name, User: p.unionID, Time: s.now().UnixMilli()}
	if data == nil {
		op.Op = "folder"
	} else {
		op.Data = base64.StdEncoding.EncodeToString(data)
	}
	twin := parent.child(name)
	if overwrite != "" {
		twin, strategy = parent.space.find(overwrite), "OVERWRITE"
		if twin == nil {
			return nil, notFound("dentryNotExist", "overwriteDentryId")
		}
	}
	if twin != nil {
		switch strategy {
		case "", "AUTO_RENAME":
			for i := 1; parent.child(op.Name) != nil; i++ {
				ext := path.Ext(name)
				op.Name = fmt.Sprintf("%s(%d)%s", strings.TrimSuffix(name, ext), i, ext)
			}
			twin = nil
		case "OVERWRITE":
			op.ID = twin.id
		case "RETURN_DENTRY_IF_EXISTS":
			return twin, nil
		case "RETURN_ERROR_IF_EXISTS":
			return nil, apiError{status: 400, code: "dentryNameConflict", msg: "name conflict"}
		default:
			return nil, c.bad("paramError.conflictStrategy", "unknown conflictStrategy")
		}
	}
	event := "storage_dentry_update"
	if twin == nil {
		op.ID, event = t.id(), "storage_dentry_create"
		op.UUID = s.newID("u")
	}
	s.do(op)
	d := parent.space.dentries[op.ID]
	s.storageEvent(event, d, p)
	return d, nil
}

func (d *dentry) child(name string) *dentry {
	for _, x := range d.space.order {
		if x.parent == d && !x.deleted && x.name == name {
			return x
		}
	}
	return nil
}

func (t *tenant) applyUpload(op operation) {
	sp := t.bySpace[op.Space]
	if sp == nil {
		return
	}
	t.sawID(op.ID)
	v := version{n: 1, modifier: op.User, modified: op.Time}
	if op.Op == "upload" {
		data, _ := base64.StdEncoding.DecodeString(op.Data)
		v.content = &content{data: data}
	}
	sp.modified = max(sp.modified, op.Time)
	if d := sp.dentries[op.ID]; d != nil {
		if op.Op == "upload" {
			v.n = d.versions[len(d.versions)-1].n + 1
			d.versions = append(d.versions, v)
			d.modified, d.modifier = op.Time, op.User
		}
		return
	}
	parent := sp.root
	if op.Parent != "0" {
		parent = sp.dentries[op.Parent]
	}
	d := &dentry{id: op.ID, uuid: op.UUID, space: sp, parent: parent, name: op.Name, folder: op.Op == "folder", driver: "DINGTALK",
		creator: op.User, modifier: op.User, created: op.Time, modified: op.Time}
	if !d.folder {
		d.versions = []version{v}
	}
	t.addDentry(d)
}

// sawID keeps ids made from now on above those that a replay brought in.
func (t *tenant) sawID(id string) {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && n > t.nextID {
		t.nextID = n
	}
}

func addFolder(c *call) (any, error) {
	sp, p, err := c.space()
	if err != nil {
		return nil, err
	}
	parent := sp.find(c.path["parentId"])
	if parent == nil || !parent.folder {
		return nil, notFound("dentryNotExist", "parent not exist")
	}
	if !legalName(c.args.str("name")) {
		return nil, c.bad("dentryNameIllegal", "illegal name")
	}
	d, err := c.place(parent, p, c.args.str("name"), c.args.obj("option").str("conflictStrategy"), "", nil)
	if err != nil {
		return nil, err
	}
	return map[string]any{"dentry": d.json(0)}, nil
}

func deleteDentry(c *call) (any, error) {
	d, p, err := c.dentry()
	if err != nil {
		return nil, err
	}
	if d.parent == nil {
		return nil, c.bad("paramError.dentryId", "the root cannot be deleted")
	}
	c.s.do(operation{Op: "delete-dentry", ID: d.id, Space: d.space.id, User: p.unionID, Time: c.s.now().UnixMilli(), Token: c.s.tenant.id()})
	c.s.storageEvent("storage_dentry_delete", d, p)
	return map[string]any{"async": false, "taskId": ""}, nil
}

// storageEvent tells subscribers of the space or the organisation.
func (s *Simulator) storageEvent(event string, d *dentry, who *person) {
	scope, id := "", ""
	switch {
	case s.hub.storage["ORG:"+s.tenant.corpID]:
		scope, id = "ORG", s.tenant.corpID
	case s.hub.storage["SPACE:"+d.space.id]:
		scope, id = "SPACE", d.space.id
	default:
		return
	}
	kind := "FILE"
	if d.folder {
		kind = "FOLDER"
	}
	s.emit(event, map[string]any{"spaceId": d.space.id, "dentryId": d.id, "type": kind, "extension": d.extension(),
		"unionId": who.unionID, "eventScope": scope, "eventScopeId": id})
}
