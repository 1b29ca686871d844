package simulator

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// goods have their Chinese, English and Portuguese names side by side.
var goods = [][3]string{
	{"葡萄牙紅酒 750ml", "Portuguese red wine 750ml", "vinho tinto 750ml"}, {"特級初榨橄欖油", "extra virgin olive oil", "azeite virgem extra"},
	{"馬介休", "salted cod", "bacalhau"}, {"沙丁魚罐頭", "canned sardines", "conservas de sardinha"}, {"急凍牛柳", "frozen beef tenderloin", "lombo de vaca congelado"},
	{"咖啡豆 1kg", "coffee beans 1kg", "café em grão 1kg"}, {"C35 混凝土", "C35 concrete", "betão C35"}, {"螺紋鋼 16mm", "rebar 16mm", "varão de aço 16mm"},
	{"外牆防水塗料", "waterproof coating", "impermeabilizante"}, {"瓷磚 600x600", "tiles 600x600", "azulejos 600x600"}, {"不銹鋼洗手盆", "stainless basin", "lavatório inox"},
	{"LED 投光燈 100W", "LED floodlight 100W", "projector LED 100W"}, {"酒店毛巾", "hotel towels", "toalhas de hotel"}, {"礦泉水 500ml", "mineral water 500ml", "água mineral 500ml"},
	{"冷凍蝦仁", "frozen shrimps", "camarão descascado"}, {"奶粉 900g", "milk powder 900g", "leite em pó 900g"}, {"電線 2.5mm²", "cable 2.5mm2", "cabo 2,5mm²"},
	{"空氣炸鍋", "air fryer", "fritadeira de ar"}, {"即食杏仁餅", "almond cookies", "biscoitos de amêndoa"}, {"石膏板", "gypsum board", "placa de gesso"},
}

var clients = [][2]string{
	{"金海岸酒店", "Golden Coast Hotel"}, {"新濠灣超市", "San Hou Wan Supermarket"}, {"路環海鮮酒家", "Coloane Seafood"}, {"永利建築工程", "Weng Lei Construction"},
	{"珠海恒信貿易", "Zhuhai Hengxin Trading"}, {"香港大昌食品", "Tai Cheong Foods HK"}, {"澳門半島物業", "Peninsula Property"}, {"橫琴新區供應鏈", "Hengqin Supply Chain"},
	{"里斯本葡食", "Sabores de Lisboa Lda."}, {"Vinhos do Douro", "Vinhos do Douro S.A."}, {"中山華聯五金", "Zhongshan Hualian Hardware"}, {"氹仔花城餐飲", "Flower City Catering"},
	{"廣州南沙冷鏈", "Nansha Cold Chain"}, {"北區街市商會", "Northern Market Association"}, {"聖保祿學校", "St. Paul School"}, {"佛山順達陶瓷", "Shunda Ceramics"},
}

var (
	ports  = []string{"內港", "九澳港", "青洲", "港珠澳大橋口岸", "關閘", "橫琴口岸", "葵涌", "鹽田", "Leixões", "Sines", "Kwai Chung"}
	places = []string{"氹仔倉", "路環冷倉", "新城A區工地", "路氹城", "黑沙環", "石排灣", "筷子基", "皇朝區", "氹仔東北馬路", "媽閣", "青茂口岸"}
	people = []string{"阿強", "Kaman", "家豪", "João", "阿玲", "梁生", "何小姐", "Pedro", "小刘", "晓东", "Ana", "陳太", "歐陽生", "Marcus"}
)

// facts are the details a sentence is filled with.
type facts map[string]string

func newFacts(r *rand.Rand) facts {
	g, c := pick(r, goods), pick(r, clients)
	cents := r.IntN(100)
	amt := 800 + r.IntN(9000)*(1+r.IntN(40))
	cur := pick(r, []string{"MOP", "MOP", "HKD", "RMB", "EUR"})
	return facts{
		"goods": g[0], "goods_en": g[1], "goods_pt": g[2], "client": c[0], "client_en": c[1],
		"po":  fmt.Sprintf("PO-%d-%04d", 2025+r.IntN(2), 1+r.IntN(4800)),
		"qty": fmt.Sprint((1 + r.IntN(60)) * (1 + r.IntN(20))), "n": fmt.Sprint(2 + r.IntN(9)),
		"amt": cur + " " + comma(amt) + fmt.Sprintf(".%02d", cents), "amt_en": fmt.Sprintf("%s %d.%02d", cur, amt, cents), "small": fmt.Sprint(20 + r.IntN(380)),
		"port": pick(r, ports), "place": pick(r, places), "who": pick(r, people), "pct": fmt.Sprint(2 + r.IntN(14)),
		"date": fmt.Sprintf("%d月%d日", 1+r.IntN(12), 1+r.IntN(28)), "date_en": fmt.Sprintf("%d %s", 1+r.IntN(28), pick(r, []string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Sep", "Oct", "Nov"})),
		"time": fmt.Sprintf("%d:%02d", 8+r.IntN(11), r.IntN(4)*15), "days": fmt.Sprint(2 + r.IntN(12)),
		"container": fmt.Sprintf("%s%07d", pick(r, []string{"TCLU", "MSKU", "OOLU", "CMAU"}), r.IntN(9999999)), "bl": fmt.Sprintf("%s%08d", pick(r, []string{"MACU", "HLCU", "COSU"}), r.IntN(99999999)),
		"plate": fmt.Sprintf("M%c-%02d-%02d", 'A'+rune(r.IntN(26)), r.IntN(100), r.IntN(100)), "temp": fmt.Sprintf("-%d.%d", 16+r.IntN(5), r.IntN(10)),
		"inv": fmt.Sprintf("INV%06d", r.IntN(999999)), "week": fmt.Sprint(1 + r.IntN(52)), "room": pick(r, []string{"A 會議室", "B 會議室", "二樓會議室", "Teams"}),
	}
}

func comma(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// fill puts facts into {slots} of a sentence.
func fill(text string, f facts) string {
	if !strings.Contains(text, "{") {
		return text
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '{')
		j := strings.IndexByte(text, '}')
		if i < 0 || j < i {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(text[:i])
		b.WriteString(f[text[i+1:j]])
		text = text[j+1:]
	}
}

// choose settles <this|or that> in a sentence.
func choose(r *rand.Rand, text string) string {
	for {
		i := strings.IndexByte(text, '<')
		j := strings.IndexByte(text, '>')
		if i < 0 || j < i {
			return text
		}
		text = text[:i] + pick(r, strings.Split(text[i+1:j], "|")) + text[j+1:]
	}
}

// reports are the sentences of documents.
var reports = []string{
	"本月{goods}銷售額為 {amt}，較上月上升 {pct}%，主要來自{client}的訂單。", "經與{client}協商，交貨期定於{date}，付款方式為月結 {days} 天。",
	"{place}倉存盤點差異 {n} 件，已於{date}完成調整並通知會計組。", "供應商須於{date}前提交原產地證明及衛生檢疫文件。", "本公司與{client}簽訂之合同編號 {po}，總金額 {amt}。",
	"O fornecedor compromete-se a entregar {qty} unidades de {goods_pt} até ao prazo acordado.", "As partes acordam o preço total de {amt}, sujeito a revisão trimestral.",
	"Delivery of {goods_en} to {client_en} was completed on {date_en}; the balance of {amt} is due within {days} days.", "The customs declaration {bl} was cleared without inspection.",
	"会议决定由采购组负责跟进{goods}的替代供应商，并于下周三前提交比价表。", "根据合同第七条，逾期交货按每日千分之三计算违约金。", "建议将{goods}的安全库存由 {qty} 件调整为 {n} 周用量。",
	"路環冷倉溫度記錄顯示最低 {temp}°C，符合食品安全要求。", "員工須於請假前三個工作天提交申請，緊急情況除外。", "個人資料的保存期限及查閱權限按第8/2005號法律處理。",
	"The tender committee compared {n} offers and recommends {client_en} at {amt}.", "A reunião decidiu adiar o lançamento para {date_en}.", "運輸隊本週共送貨 {qty} 單，準時率 9{n}%，車輛 {plate} 需安排年檢。",
}

func prose(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(fill(pick(r, reports), newFacts(r)))
	}
	return b.String()
}
