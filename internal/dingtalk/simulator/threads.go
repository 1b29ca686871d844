package simulator

import (
	"math/rand/v2"
	"strings"
)

// threads are short conversations. A letter names the speaker; ">" after it
// quotes the line before. "!img", "!voice" and "!file NAME" send one.
// <a|b> is a choice, {slot} a fact; the facts stay the same in one thread.
var threads = [][]string{
	{"A 各位早晨，{client}張單 {po} 今日出唔出到貨？", "B 睇緊，<等我問下倉先|倉話仲差 {n} 箱>", "B !img", "A> 收到，咁{time}前畀個實數我", "C 車已經訂咗，{plate}，{time}到{place}", "A 唔該晒 <🙏|👍|各位>"},
	{"A {container} 個櫃到咗{port}未呀？", "B 船公司話改咗去{date}", "A 又改？客人已經追緊喇", "B> 我都冇辦法，<塞港|颱風關係>，{bl} 張提單我已經攞咗", "A 得，你 keep 住 update 我"},
	{"A 報價單出咗，{goods} {qty} 件，{amt}，大家睇下有冇問題", "A !file 報價單_{client}_{po}.pdf", "B 單價係咪未計運費？", "A 計埋喇，CIF {port}", "B OK 冇問題，<出得|發畀客啦>", "C 記得寫清楚有效期 {days} 日"},
	{"A 聽日{place}邊個落？", "B 我同{who}", "A 戴返安全帽，上次畀業主影咗相😅", "B !img", "B 今日現場情況，<防水做咗第一層|仲爭一面牆|師傅話聽日埋尾>", "A> 靚，入返個 folder 做記錄"},
	{"A 請問月結對數表幾時有？{client}催緊", "B 今日收工前", "B !file 月結對數表 {client} {date}.xlsx", "A 第 {n} 行個數好似唔啱，應該係 {amt}", "B> 啱，我改返，唔好意思", "B 已更新，睇返最新嗰份"},
	{"A 海關話份報關單個貨名要改，唔可以寫「{goods}」咁籠統", "B 咁寫咩好？", "A 要寫返成分同埋原產地，我畀個樣版你", "A !file 報關單 {bl}.pdf", "B 明白，<即刻改|十五分鐘內重交>", "A 交咗講聲，{port}嗰邊{time}就收工"},
	{"A 冷倉溫度而家 {temp} 度，正常", "B 尋晚警報係咩事？", "A 有人冇閂好門，已經同夜更講咗", "B> 記低入 log，下個月審核要用", "A !img"},
	{"A 我聽日請半日假，去<睇醫生|開家長會|換身份證>", "B 批咗，記得交表", "A 交咗喇，多謝{who}", "B 邊個頂你更？", "A {who} 話 OK"},
	{"A 食咩好？", "B <茶餐廳|竹昇麵|葡國餐|買三餸飯>啦", "C 我要凍檸茶走甜", "B +1", "A 得，{time}樓下等", "D 幫我帶個豬扒包🙏"},
	{"A {client}話批{goods}有 {n} 件花咗，要退", "A !img", "B 睇相似係運輸整親，搵司機問下先", "C 我車嗰陣係好嘅，有簽收相", "C !img", "B> 咁應該係卸貨嗰時，同客傾換貨啦", "A 客接受換貨，唔使賠錢，<好彩|呼~>", "B 辛苦晒"},
	{"A 各位同事：{date}下午{time}於{room}開部門會議，請準時出席。議程見附件。", "A !file 會議紀錄 {date}.docx", "B 收到", "C 收到，謝謝", "D 我當日要去{place}，可否 Teams？", "A> 可以，稍後發連結"},
	{"A 客户{client}的合同法务看完了吗？", "B 还差第七条违约金，对方要求改成每日千分之一", "A 太低了吧，我们底线是多少？", "B> 千分之三，<王总说不能再让|上次会议定的>", "A 好，我下午跟他们再谈一次", "B 谈完告诉我，我这边同步改合同", "B !file 销售合同_{client}.docx"},
	{"A {goods}的供应商又涨价了，涨了{pct}%", "B 原因呢？", "A 说是原材料和汇率", "B 让他们出书面通知，另外找{n}家比价", "A 好的，比价表周三前给您", "C 佛山那边我有个熟人，可以问问"},
	{"A 今天{port}查验率很高，{container}被抽中了", "B 要多久？", "A 大概{n}个小时，<已经在排队了|海关说下午能放>", "B 通知客户晚点到，别让司机空等", "A> 已通知，司机先去{place}装另外一票", "A 放行了✅"},
	{"A 新同事的账号开好了吗？", "B 开好了，邮箱和VPN都测过", "A 打印机连不上", "B 重启一下试试😂", "A 还是不行", "B> 驱动版本问题，我过来看", "A 好了，谢谢！"},
	{"A 付款申请{inv}，金额{amt}，收款方{client}，请财务安排", "B 发票原件收到了吗", "A 昨天快递了，单号稍后发", "B 收到原件后三个工作日内付", "A 麻烦尽量快一点，供应商说不付款不发货"},
	{"A Morning all, {client_en} is asking for the ETA of {po}.", "B Vessel is delayed to {date_en}, new ETA {port}.", "A> Thanks. Can we split the shipment? They need at least {qty} pcs of {goods_en}.", "B Let me check with the warehouse.", "C We have {qty} in {place}, can deliver tomorrow.", "A Perfect, please arrange. I'll tell the client."},
	{"A Please find the quotation for {goods_en}, total {amt_en}, valid {days} days.", "A !file Quotation {client_en} {po}.pdf", "B Noted with thanks.", "B One question: is the price FOB or CIF?", "A> CIF {port}.", "B Great, will revert by {date_en}."},
	{"A Reminder: monthly sales report is due by {time} today.", "B Mine is in the shared folder.", "C Still waiting for the numbers from finance 🙈", "A> Please chase {who}.", "D Sent!"},
	{"A Server maintenance tonight {time}, email may be slow for about {n} hours.", "B Will the backup run?", "A> Yes, it runs before the maintenance window.", "B 👍", "A Maintenance completed, all services are up."},
	{"A The client wants {pct}% discount on {goods_en}, otherwise they go to another supplier.", "B What is our margin?", "A About {pct}%...", "B> Offer half of it plus free delivery.", "A They accepted! PO {po} is coming.", "C 🎉🎉"},
	{"A Bom dia a todos. O contentor {container} já saiu de {port}?", "B Saiu ontem à noite, chega dia {date_en}.", "A Óptimo. A {client_en} está à espera de {qty} caixas de {goods_pt}.", "B> Já temos a factura e o certificado de origem.", "B !file Fatura pró-forma {po}.pdf", "A Obrigada!"},
	{"A Precisamos de rever o contrato com a {client_en}.", "B Qual é o problema?", "A A cláusula de pagamento: pedem {days} dias.", "B> Por mim tudo bem, mas fala com a contabilidade.", "A O valor é de {amt}, acho que convém garantia bancária.", "C Concordo com a Ana."},
	{"A Boa tarde, a tradução do folheto de {goods_pt} está pronta.", "A !file Contrato de fornecimento {client_en}.docx", "B Excelente, vou rever hoje.", "B Há só um erro na página {n}: é \"azeite\" e não \"óleo\".", "A> Corrigido, obrigado."},
	{"A Alguém pode ir ao {place} amanhã às {time}? O cliente quer ver as amostras de {goods_pt}.", "B Posso eu.", "A Leva também a tabela de preços.", "B Ok 👌"},
	{"A 陳生話想要多 {qty} 件{goods}，價錢可唔可以平啲？", "B 最多 {pct} 個 percent", "A 佢話隔籬間平過我哋", "B> 平極都冇我哋嘅售後，你同佢講清楚", "A 傾掂咗，{amt}，聽日落訂", "B <犀利|好波|Good job>"},
	{"A @所有人 颱風八號風球懸掛，{place}及車隊暫停運作，請各位注意安全", "B 收到，貨車已經泊好", "C 冷倉發電機試過冇問題", "D 收到", "A> 各組長請覆平安", "E 平安", "F 平安🙏"},
	{"A 尋日嘅送貨單仲爭 {n} 張簽收，邊個車？", "B 我車，客人唔喺度，今日返去補", "B !img", "B 補齊喇", "A> 唔該，下次記得影相先走"},
	{"A 出糧幾時呀😂", "B 廿五號囉", "C 今個月有冇雙糧", "A 你諗多咗", "B 😂😂😂"},
	{"A 本週{goods}庫存：{place} {qty} 件，路環 {n} 板，低於安全庫存", "B 要補幾多？", "A 建議落 {qty} 件，交期 {days} 日", "B> 批，走採購審批流程", "A 已提交審批，麻煩{who}睇下", "C 批咗"},
	{"A 請各部門{date}前交預算，逾期唔等", "A !file 部門匯報 {date}.pptx", "B 用返舊格式？", "A> 用新格式，G 欄要填 MOP", "B 明白", "C 我哋嗰份已經入咗資料夾"},
	{"A {inv} 呢張發票個金額同 PO 唔夾，PO 係 {amt}", "B 差咗幾多？", "A {small} 蚊，應該係運費", "B 叫供應商開返張 credit note", "A 好，<已電郵|佢話今日補>"},
	{"A 有冇人識得整呢個？影印機又 jam 紙", "A !img", "B 打開右邊門拉出嚟", "A> 得咗！多謝"},
	{"A 客人 {client} 投訴送貨遲咗 {n} 個鐘", "B 今日大橋塞車，{who}嗰架 {plate} 卡住咗", "A !voice", "B 我打去道歉，下次預早一個鐘出車", "A> 唔該，佢哋採購嗰位姓何，客氣啲"},
	{"A 面試嗰位下晝{time}到，邊個見？", "B 我同{who}", "A CV 喺度", "A !file 備忘 {date}.txt", "B 識講普通話同葡文，<幾好|可以考慮>", "A> 試用期人工 {small} 蚊一日？講笑咋，跟返職級表"},
	{"A 麻煩大家填返{date}嘅聖誕聚餐名單🍽️", "B 我同埋屋企人 {n} 位", "C 我唔食牛", "D 有冇得抽獎？", "A> 有，頭獎係{goods}😆"},
	{"A {po} 嘅裝箱單同 invoice 對唔上，毛重差 {small} kg", "B 我睇返，可能係棧板重量冇計", "B !file 裝箱單 Packing List {container}.xlsx", "A 更新咗就即刻send畀報關組", "C 收到，今日{time}前報", "C 報咗，等放行"},
	{"A 新城A區地盤要 {qty} 包水泥同埋{goods}，聽朝七點半要到", "B 咁早？司機未返工喎", "A> 判頭話地磅八點後排長龍", "B 好啦，我叫{who}早啲", "C 我得，計OT就得😎"},
	{"A 老细说这个月的目标是{amt}，目前完成{pct}0%左右", "B 还差{client}那单，签了就够", "A 什么时候签？", "B 约了{date}，<问题不大|七成把握>", "A 加油💪"},
	{"A 檢疫署來信，要求補交{goods}的衛生證明正本", "B 正本喺葡國寄緊，速遞話{date}到", "A 可唔可以先交副本？", "B> 可以，但要加一封擔保信，法務幫手", "C 擔保信範本已放入資料夾", "A 交咗，佢哋收咗件"},
	{"A 今日收款：{client} {amt}，已入大西洋銀行", "B 核對無誤", "A 尚欠一期，{date}到期", "B 我提早三日發提示"},
	{"A 大家留意：有人假扮{client}發電郵話改銀行戶口，千祈唔好轉帳", "B 我都收到一封！", "A> 轉發畀 IT 同法務，唔好撳連結", "C 已經封咗嗰個域名", "A 👏"},
}

// acks are what people answer anywhere.
var acks = []string{"收到", "好", "OK", "明白", "👍", "唔該", "得", "知道了", "好的", "辛苦了", "Noted", "Thanks!", "Obrigado", "Combinado", "多謝", "係", "冇問題", "稍等", "👌", "哈哈", "已處理", "處理緊", "等我五分鐘", "開緊會，轉頭覆你", "早晨", "Good morning", "Bom dia"}

// longLines stand alone: notices and updates.
var longLines = []string{
	"【每日匯報】{date}：送貨 {qty} 單，退貨 {n} 單，{place}到櫃 {n} 個，{client}未付款 {amt}。",
	"【倉務】{goods} 入倉 {qty} 件（{po}），放 {n} 號架，批次 {inv}，效期 {days} 個月。",
	"提醒：{client}嘅合同 {date} 到期，續約條款仲未定，麻煩銷售跟進。",
	"Shipment update: {bl} / {container} discharged at {port}, free time {days} days, storage charges afterwards.",
	"Nota: a factura {inv} da {client_en} no valor de {amt} vence em {days} dias.",
	"今日汇率：1 EUR = 9.3{n} MOP，请采购组按此报价，有效期至下午{time}。",
	"{who}，{po} 條數已經過咗 {amt}，副總要覆核，麻煩睇返審批。",
	"車隊：{plate} 今日驗車，{place}嗰線由{who}頂。",
	"明早{time} {client}來{place}看樣，请准备{goods}样品{n}件和价目表。",
	"Please note the office will be closed on {date_en}; urgent deliveries call the duty phone.",
	"冷倉 {temp}°C，濕度正常，{goods}今日出 {n} 板。",
	"請大家更新通訊錄嘅緊急聯絡人，人資{date}截止。",
}

func liveLine(r *rand.Rand) string {
	if r.IntN(3) == 0 {
		return choose(r, pick(r, acks))
	}
	return fill(choose(r, pick(r, longLines)), newFacts(r))
}

// step is one line of a thread, ready to be sent.
type step struct {
	speaker int
	quotes  bool
	kind    string
	text    string
}

// playThread fills one thread in.
func playThread(r *rand.Rand, lines []string) []step {
	f := newFacts(r)
	var out []step
	for _, line := range lines {
		who, text, _ := strings.Cut(line, " ")
		s := step{speaker: int(who[0] - 'A'), quotes: strings.HasSuffix(who, ">"), kind: "text"}
		text = fill(choose(r, text), f)
		switch {
		case text == "!img":
			s.kind = "image"
		case text == "!voice":
			s.kind = "voice"
		case strings.HasPrefix(text, "!file "):
			s.kind, text = "file", strings.TrimPrefix(text, "!file ")
		}
		s.text = text
		out = append(out, s)
	}
	return out
}
