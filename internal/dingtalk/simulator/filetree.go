package simulator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

func (t *tenant) newSpace(id, name string, created int64) *space {
	sp := &space{id: id, name: name, created: created, modified: created, dentries: map[string]*dentry{}}
	sp.root = &dentry{id: "0", uuid: "r" + id, space: sp, folder: true, driver: "DINGTALK", created: created, modified: created}
	t.spaces = append(t.spaces, sp)
	t.bySpace[id], t.byUUID[sp.root.uuid] = sp, sp.root
	return sp
}

func (t *tenant) addDentry(d *dentry) {
	d.space.dentries[d.id], t.byUUID[d.uuid] = d, d
	d.space.order = append(d.space.order, d)
	d.space.modified = max(d.space.modified, d.modified)
}

// spaceOf is a conversation's space, made when first needed.
func (t *tenant) spaceOf(v *conversation) *space {
	if v.space == nil {
		v.space = t.newSpace(t.id(), v.title, v.created)
		v.space.conv, v.space.dept = v, v.dept
	}
	return v.space
}

func (t *tenant) applyOpenSpace(op operation) {
	if v := t.byConv[op.Conv]; v != nil && v.space == nil {
		t.sawID(op.Space)
		v.space = t.newSpace(op.Space, v.title, op.Time)
		v.space.conv, v.space.dept = v, v.dept
	}
}

func (t *tenant) addFolder(parent *dentry, name string, by *person, at int64) *dentry {
	d := &dentry{id: t.id(), space: parent.space, parent: parent, name: name, folder: true, driver: "DINGTALK",
		creator: by.unionID, modifier: by.unionID, created: at, modified: at}
	d.uuid = t.uuid(d.id)
	t.addDentry(d)
	return d
}

func (t *tenant) uuid(id string) string {
	return strings.NewReplacer("+", "z", "=", "").Replace(token64(24, t.seed, "uuid:"+id))
}

// addFile makes a file of one to four versions, the first at the given time.
func (t *tenant) addFile(r *rand.Rand, parent *dentry, name string, by *person, at int64) *dentry {
	for i := 2; parent.child(name) != nil; i++ {
		base, ext, _ := cutExt(name)
		name = fmt.Sprintf("%s_%d.%s", strings.TrimSuffix(base, fmt.Sprintf("_%d", i-1)), i, ext)
	}
	base, ext, _ := cutExt(name)
	d := &dentry{id: t.id(), space: parent.space, parent: parent, name: name, driver: "DINGTALK",
		creator: by.unionID, modifier: by.unionID, created: at, modified: at}
	d.uuid = t.uuid(d.id)
	if ext == "adoc" {
		d.driver = "ALIDOC"
	}
	n := 1
	if r.IntN(5) == 0 {
		n += 1 + r.IntN(3)
	}
	for i := range n {
		if i > 0 {
			at = min(at+int64(1+r.IntN(72))*3600000+int64(r.IntN(3600000)), t.epoch.UnixMilli()-int64(n-i)*60000)
			at = max(at, d.modified+1000)
		}
		d.versions = append(d.versions, version{int64(i + 1), &content{kind: ext, seed: r.Uint64(), title: base}, by.unionID, at})
		d.modified = at
	}
	t.addDentry(d)
	return d
}

func cutExt(name string) (string, string, bool) {
	i := strings.LastIndex(name, ".")
	if i < 0 {
		return name, "", false
	}
	return name[:i], name[i+1:], true
}

var fileNames = []string{
	"報價單_{client}_{po}.pdf", "報價單_{client}_{date}.xlsx", "採購訂單 {po}.pdf", "銷售合同_{client}.docx", "裝箱單 Packing List {container}.xlsx",
	"提單 {bl}.pdf", "報關單 {bl}.pdf", "倉存盤點表 {date}.xlsx", "月結對數表 {client}.xlsx", "{goods} 樣品相.jpg", "{goods} 驗貨相.jpg", "送貨單簽收 {po}.jpg",
	"會議紀錄 {date}.docx", "部門匯報 {date}.pptx", "{goods} 產品介紹.pptx", "Proposta comercial - {client_en}.docx", "Fatura pró-forma {po}.pdf",
	"Quotation {client_en} {po}.pdf", "Price list {goods_en}.xlsx", "Sales review {date}.pptx", "Delivery schedule {date}.csv", "Contrato de fornecimento {client_en}.docx",
	"培訓資料 {date}.pptx", "員工手冊 修訂 {date}.docx", "{place} 冷庫溫度記錄.csv", "截圖 {date}.png", "供應商評估_{client}.docx", "備忘 {date}.txt", "線上協作文檔 {goods}.adoc",
}

var folderNames = []string{"合同", "報價", "訂單", "出貨文件", "相片", "會議紀錄", "財務", "Fotografias", "Contracts", "2025", "2026", "模板", "客戶資料", "培訓", "歸檔"}

func fileName(r *rand.Rand) string {
	return strings.NewReplacer("/", "-", "\"", "", "*", "", "|", "").Replace(fill(pick(r, fileNames), newFacts(r)))
}

// addFiles fills the organisation's drives and tops the groups' files up.
func (t *tenant) addFiles(opt Options) {
	r := newRand(t.seed, "files")
	start := t.epoch.Add(-300 * 24 * time.Hour)
	drives := []*space{t.newSpace(t.id(), "公司共享", start.UnixMilli())}
	for _, d := range t.children(1) {
		sp := t.newSpace(t.id(), d.name+" 資料夾", start.UnixMilli())
		sp.dept = d.id
		drives = append(drives, sp)
	}
	people := t.working()
	for i, sp := range drives {
		owners := people
		if sp.dept != 0 {
			owners = slices.DeleteFunc(slices.Clone(people), func(p *person) bool { return !t.mayRead(p, sp) })
		}
		folders := []*dentry{sp.root}
		for k := range 3 + r.IntN(4) {
			parent := folders[r.IntN(min(len(folders), 4))]
			name := folderNames[(i*5+k)%len(folderNames)]
			folders = append(folders, t.addFolder(parent, name, pick(r, owners), start.Add(time.Duration(k)*time.Hour).UnixMilli()))
		}
		for range 24 {
			at := start.Add(time.Duration(1+r.IntN(295*24*3600)) * time.Second).UnixMilli()
			t.addFile(r, pick(r, folders), fileName(r), pick(r, owners), at)
		}
	}
	t.topUpGroupFiles(r, opt, start)
	if opt.ColdFiles {
		for i, d := range drives[0].order {
			d.cold = i%7 == 3 && !d.folder
		}
	}
	// Two files lie in the recycle bin from the start.
	for i, d := range drives[0].order {
		if !d.folder && len(t.bin) < 2 && i%5 == 4 {
			t.applyDeleteDentry(operation{ID: d.id, Space: drives[0].id, User: t.admin.unionID, Time: t.epoch.Add(-48 * time.Hour).UnixMilli(), Token: t.id()})
		}
	}
}

// topUpGroupFiles adds files that nobody announced in a message, so that the
// groups have 250 in all, or 500 when one department has everything.
func (t *tenant) topUpGroupFiles(r *rand.Rand, opt Options, start time.Time) {
	want, have := 260, 0
	if opt.BigDepartment {
		want = 500
	}
	var groups []*conversation
	for _, v := range t.convs {
		if v.space != nil {
			have += len(v.space.order)
		}
		if !v.single && len(groups) < 60 {
			groups = append(groups, v)
		}
	}
	for ; have < want && len(groups) > 0; have++ {
		v := groups[have%len(groups)]
		at := start.Add(time.Duration(1+r.IntN(295*24*3600)) * time.Second).UnixMilli()
		t.addFile(r, t.spaceOf(v).root, fileName(r), pick(r, v.members), at)
	}
}
