package simulator

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// departmentPlan is the organisation: name, parent by name, weight in people.
var departmentPlan = []struct {
	name, parent, brief string
	weight              int
}{
	{"管理層", "", "Administração · 公司決策", 4},
	{"國際貿易部", "", "進出口貿易", 2},
	{"行政及人力資源部", "", "行政、人事、法務", 2},
	{"財務部", "", "Contabilidade e finanças", 2},
	{"物流及倉務部", "", "運輸、報關、倉庫", 2},
	{"資訊科技部", "", "IT", 5},
	{"葡語市場部", "", "Mercados de língua portuguesa", 3},
	{"採購組", "國際貿易部", "供應商及訂單", 16},
	{"銷售組", "國際貿易部", "客戶及報價", 18},
	{"粵港澳銷售隊", "銷售組", "大灣區客戶", 14},
	{"海外銷售隊", "銷售組", "Overseas sales", 12},
	{"食品採購隊", "採購組", "食品、酒類", 10},
	{"建材採購隊", "採購組", "建材、五金", 10},
	{"人力資源組", "行政及人力資源部", "招聘、考勤、薪酬", 7},
	{"法務及合規組", "行政及人力資源部", "合同、合規", 5},
	{"總務組", "行政及人力資源部", "文書、車隊", 7},
	{"會計組", "財務部", "應收應付", 10},
	{"報關組", "物流及倉務部", "清關 Alfândega", 12},
	{"氹仔倉", "物流及倉務部", "倉庫", 16},
	{"路環冷倉", "氹仔倉", "冷藏倉庫", 9},
	{"運輸隊", "物流及倉務部", "送貨車隊", 12},
}

func (t *tenant) addDepartments() {
	t.depts = []*department{{id: 1, name: t.corpName}}
	byName := map[string]int64{"": 1}
	for i, d := range departmentPlan {
		id := 468213501 + int64(i)*13
		byName[d.name] = id
		t.depts = append(t.depts, &department{id: id, parent: byName[d.parent], name: d.name, brief: d.brief, order: int64(i + 1)})
	}
	for _, d := range t.depts {
		t.byDept[d.id] = d
	}
}

var (
	hantSurnames = []string{"陳", "李", "黃", "梁", "何", "林", "吳", "張", "鄭", "譚", "馮", "蔡", "鄧", "羅", "蘇", "郭", "歐陽", "鄺", "崔", "施"}
	surnamesYale = []string{"Chan", "Lei", "Wong", "Leong", "Ho", "Lam", "Ng", "Cheong", "Cheang", "Tam", "Fong", "Choi", "Tang", "Lo", "Sou", "Kuok", "Ao Ieong", "Kuong", "Choi", "Si"}
	hantGiven    = []string{"嘉敏", "偉強", "詠琳", "家豪", "美玲", "志明", "佩儀", "俊傑", "淑芬", "國華", "婉婷", "子軒", "曉彤", "耀輝", "慧珊", "永健", "凱琪", "錦泉", "麗娟", "浩然", "惠芳", "德明", "思穎", "榮基", "雅雯"}
	givenYale    = []string{"kaman", "waikeong", "weng lam", "kahou", "meileng", "chiming", "puiyi", "chunkit", "sokfan", "kuokwa", "unteng", "chihin", "hiotong", "iofai", "waisan", "wengkin", "hoikei", "kamchun", "laikun", "houin", "waifong", "takmeng", "siweng", "wengkei", "ngaman"}
	hansSurnames = []string{"刘", "赵", "孙", "杨", "周", "许", "钟", "谢", "邹", "龙"}
	hansPinyin   = []string{"liu", "zhao", "sun", "yang", "zhou", "xu", "zhong", "xie", "zou", "long"}
	hansGiven    = []string{"晓东", "丽华", "志刚", "雨桐", "建国", "梦琪", "伟", "静怡", "海涛", "雪梅"}
	hansGivenPy  = []string{"xiaodong", "lihua", "zhigang", "yutong", "jianguo", "mengqi", "wei", "jingyi", "haitao", "xuemei"}
	ptNames      = []string{"João Xavier", "Ana Paula Gomes", "Miguel Senna Fernandes", "Rita Sequeira", "Pedro Noronha", "Maria do Rosário Lei", "Carlos Assumpção", "Inês Marçal", "Tiago Nunes", "Filomena da Luz", "Nuno Carvalhal", "Beatriz Couto"}
	enNames      = []string{"Daniel Whitlock", "Priya Raghavan", "Marcus Tan", "Jessica Lau", "Aaron Fitzgerald", "Melissa Cruz", "Kevin Oduya", "Grace Villanueva"}

	titles = map[string][]string{
		"管理層":      {"董事總經理", "行政總監", "財務總監", "Director-geral adjunto"},
		"國際貿易部":    {"貿易總監", "貿易部秘書"},
		"行政及人力資源部": {"人力資源總監", "行政主任"},
		"財務部":      {"財務經理", "Contabilista-chefe"},
		"物流及倉務部":   {"物流經理", "調度主任"},
		"資訊科技部":    {"IT經理", "系統管理員", "網絡工程師", "技術支援"},
		"葡語市場部":    {"Gestor de mercado", "Tradutora", "Comercial"},
		"採購組":      {"採購主任", "採購員"},
		"銷售組":      {"銷售主任", "客戶經理"},
		"粵港澳銷售隊":   {"客户经理", "業務代表"},
		"海外銷售隊":    {"Overseas Sales Manager", "Account Executive"},
		"食品採購隊":    {"食品採購主任", "品質檢查員"},
		"建材採購隊":    {"建材採購主任", "工料測量師"},
		"人力資源組":    {"人事主任", "薪酬專員"},
		"法務及合規組":   {"法務主任", "Jurista"},
		"總務組":      {"總務主任", "文員"},
		"會計組":      {"會計主任", "會計員", "出納"},
		"報關組":      {"報關主任", "報關員"},
		"氹仔倉":      {"倉務主管", "倉務員"},
		"路環冷倉":     {"冷倉主管", "理貨員"},
		"運輸隊":      {"車隊隊長", "司機"},
	}
)

// addPeople hires n people. The first is the main administrator.
func (t *tenant) addPeople(n int) {
	r := newRand(t.seed, "people")
	leavers := max(2, n/40) // they left within the year; their words stay in the chats
	t.roles = []roleGroup{{1507113577, "默认", []role{{1507113578, "主管理员"}, {1507113580, "子管理员"}, {1507113581, "主管"}}},
		{1507113590, "職務", []role{{1507113591, "財務審批人"}, {1507113592, "資料保護負責人"}}}}
	var seats []int64
	for _, d := range t.depts[1:] {
		for range departmentPlan[slices.Index(t.depts, d)-1].weight {
			seats = append(seats, d.id)
		}
	}
	used := map[string]int{}
	for i := range n + leavers {
		p := &person{userID: fmt.Sprintf("%010d", 120000000+int64(i)*7361513%880000000)}
		d := digest(t.seed, "person", i)
		p.unionID = token64(15, t.seed, "union", i) + "iEiE"
		p.unionID = strings.NewReplacer("+", "p", "=", "").Replace(p.unionID)
		p.openID = fmt.Sprintf("D%x", d[:6])
		var mail string
		switch {
		case i%9 == 4:
			k := r.IntN(len(ptNames))
			p.name, p.language = ptNames[k], "pt"
			mail = strings.Fields(strings.ToLower(p.name))[0]
		case i%17 == 7:
			p.name, p.language = pick(r, enNames), "en"
			mail = strings.Fields(strings.ToLower(p.name))[0]
		case i%5 == 2:
			a, b := r.IntN(len(hansSurnames)), r.IntN(len(hansGiven))
			p.name, p.language = hansSurnames[a]+hansGiven[b], "zh-Hans"
			mail = hansGivenPy[b] + "." + hansPinyin[a]
		default:
			a, b := r.IntN(len(hantSurnames)), r.IntN(len(hantGiven))
			p.name, p.language = hantSurnames[a]+hantGiven[b], "zh-Hant"
			mail = givenYale[b] + "." + surnamesYale[a]
		}
		var dept int64
		if i < len(t.depts)-1 {
			dept = t.depts[i+1].id // every department has its head
			p.leads = []int64{dept}
		} else {
			dept = seats[r.IntN(len(seats))]
		}
		p.depts = []int64{dept}
		if i%23 == 11 {
			p.depts = append(p.depts, t.depts[1+r.IntN(len(t.depts)-1)].id)
			p.depts = slices.Compact(p.depts)
		}
		dep := t.byDept[dept]
		list := titles[dep.name]
		p.title = list[min(len(list)-1, map[bool]int{true: 0, false: 1 + r.IntN(3)}[len(p.leads) > 0])]
		if i == 0 {
			p.userID, p.name, p.title, p.language = "manager4220", "陳嘉敏", "行政總監", "zh-Hant"
			mail, p.admin, p.boss, p.roles = "kaman.chan", true, true, []int64{1507113578}
			p.depts = []int64{1, dept}
		}
		if i == 5 || i == 2 {
			p.roles = append(p.roles, 1507113580)
			p.admin = true
		}
		if len(p.leads) > 0 {
			p.roles = append(p.roles, 1507113581)
			dep.managers = append(dep.managers, p.userID)
		}
		if used[p.name]++; used[p.name] > 1 && p.language != "zh-Hant" && p.language != "zh-Hans" {
			p.name += " " + string(rune('A'+used[p.name]-1)) + "."
		}
		mail = strings.ToLower(strings.ReplaceAll(mail, " ", ""))
		mail = strings.NewReplacer("ã", "a", "ê", "e", "ç", "c").Replace(mail)
		if used[mail]++; used[mail] > 1 {
			mail += fmt.Sprint(used[mail])
		}
		p.email = mail + "@houkong.example.mo"
		p.mobile = fmt.Sprintf("66%06d", 120000+i*37)
		p.jobNumber = fmt.Sprint(1001 + i)
		p.avatar = "https://static-legacy.dingtalk.com/media/lADPDgQ9rA" + fmt.Sprintf("%x", d[6:12]) + "_512_512.jpg"
		p.hired = time.Date(2016+i*10/max(n, 10), time.Month(1+r.IntN(12)), 1+r.IntN(28), 0, 0, 0, 0, macau).UnixMilli()
		t.hire(p)
	}
	t.admin = t.people[0]
	for k, p := range t.people[n:] {
		p.left = t.epoch.Add(-time.Duration(20+k*31) * 24 * time.Hour).UnixMilli()
	}
}

func (t *tenant) hire(p *person) {
	t.people = append(t.people, p)
	t.byUser[p.userID], t.byUnion[p.unionID], t.byOpen[p.openID] = p, p, p
}

// outsider is a sender beyond the roster: a name, an id of his own.
func (t *tenant) outsider(name string) *person {
	if p := t.outside[name]; p != nil {
		return p
	}
	d := digest(t.seed, "outside:"+name)
	p := &person{name: name, openID: fmt.Sprintf("X%x", d[:6]), external: true}
	t.outside[name], t.byOpen[p.openID] = p, p
	return p
}
