package simulator

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// addMessages writes ten months of talk: threads in working hours, notices,
// short answers; some lines are edited, recalled, quoted, reacted to.
func (t *tenant) addMessages(opt Options) {
	r := newRand(t.seed, "messages")
	// About one line in 25 announces a file; more would be more files than
	// the tenant is to have.
	t.shareOdds = min(1, float64(t.toShare)*25/float64(opt.Messages))
	per := t.shares(r, opt)
	for i, v := range t.convs {
		if per[i] > 0 {
			t.talk(newRand(t.seed, "talk", i), v, i, per[i])
		}
	}
}

// shares deals the messages out: a few groups talk most of the day.
func (t *tenant) shares(r *rand.Rand, opt Options) []int {
	weights := make([]int, len(t.convs))
	total := 0
	for i, v := range t.convs {
		weights[i] = 5 + r.IntN(20)
		if !v.single {
			weights[i] = 20 + r.IntN(60)
			if i%7 == 1 {
				weights[i] *= 4
			}
		}
		total += weights[i]
	}
	left := opt.Messages
	for i := range weights {
		weights[i] = opt.Messages * weights[i] / total
		left -= weights[i]
	}
	for i := 0; left > 0; i = (i + 1) % len(weights) {
		weights[i]++
		left--
	}
	return weights
}

// talk fills one conversation with exactly n messages.
func (t *tenant) talk(r *rand.Rand, v *conversation, index, n int) {
	span := t.epoch.UnixMilli() - v.created - 2*3600000
	gap := span / int64(n)
	var at int64
	for made := 0; made < n; {
		var steps []step
		switch k := r.IntN(10); {
		case k < 7:
			steps = playThread(r, pick(r, threads))
		case k < 9:
			steps = []step{{speaker: 0, kind: "text", text: fill(choose(r, pick(r, longLines)), newFacts(r))}}
		default:
			steps = []step{{speaker: 1, kind: "text", text: pick(r, acks)}}
		}
		for r.IntN(3) == 0 {
			steps = append(steps, step{speaker: r.IntN(4), kind: "text", text: pick(r, acks)})
		}
		at = workingHour(r, v.created+int64(made)*gap+r.Int64N(max(gap, 1)))
		if k := len(v.msgs); k > 0 && at <= v.msgs[k-1].ms {
			at = v.msgs[k-1].ms + 1 + r.Int64N(90000)
		}
		cast := cast(r, v, language(steps[0].text))
		for _, s := range steps[:min(len(steps), n-made)] {
			t.speak(r, v, index, cast[s.speaker%len(cast)], s, at)
			made++
			// People answer within the same second at times: a cursor in
			// seconds would loop there.
			if r.IntN(12) > 0 {
				at += 2000 + r.Int64N(240000)
			} else {
				at += r.Int64N(300)
			}
		}
	}
	// Nothing may lie in the future.
	for i, end := len(v.msgs)-1, t.epoch.UnixMilli()-60000; i >= 0 && v.msgs[i].ms > end; i-- {
		v.msgs[i].ms = end
		end--
	}
}

// cast shuffles who speaks in a thread; those whose language it is come first.
func cast(r *rand.Rand, v *conversation, lang string) []*person {
	list := slices.Clone(v.members)
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	slices.SortStableFunc(list, func(a, b *person) int {
		switch {
		case (a.language == lang) == (b.language == lang):
			return 0
		case a.language == lang:
			return -1
		}
		return 1
	})
	return list[:min(len(list), 6)]
}

// language tells Portuguese and English lines by their letters.
func language(text string) string {
	for _, c := range text {
		switch {
		case c >= 0x3000 && c < 0xff00:
			return "zh-Hant"
		case strings.ContainsRune("áâãàçéêíóôõúÓ", c):
			return "pt"
		}
	}
	for _, word := range []string{"Bom dia", "Boa tarde", "Nota:", "Precisamos", "Obrigad", "Combinado"} {
		if strings.HasPrefix(text, word) {
			return "pt"
		}
	}
	return "en"
}

// workingHour moves a moment into a working day, nearly always.
func workingHour(r *rand.Rand, ms int64) int64 {
	at := time.UnixMilli(ms).In(macau)
	if r.IntN(25) == 0 {
		return ms
	}
	if at.Weekday() == time.Sunday {
		at = at.AddDate(0, 0, 1)
	}
	return time.Date(at.Year(), at.Month(), at.Day(), 8+r.IntN(11), r.IntN(60), r.IntN(60), r.IntN(1000)*1e6, macau).UnixMilli()
}

func (t *tenant) speak(r *rand.Rand, v *conversation, index int, who *person, s step, at int64) {
	n := len(v.msgs)
	m := &message{id: "msg" + token64(12, t.seed, "msg", index, n) + "==", conv: v, ms: at, sender: who, kind: s.kind, text: s.text}
	if s.quotes && n > 0 {
		m.quote = quoting(v.msgs[n-1])
		m.thread = "thr" + token64(9, t.seed, "thread", index, n)
		if v.msgs[n-1].thread == "" {
			v.msgs[n-1].thread = m.thread
		}
	}
	switch s.kind {
	case "image", "voice":
		id := "$iAEIAq" + strings.NewReplacer("=", "", "+", "w").Replace(token64(12, t.seed, "media", index, n))
		m.media, m.text = t.newMedia(id, s.kind, r.Uint64()), mediaText(s.kind, id)
	case "file":
		if t.toShare == 0 || r.Float64() >= t.shareOdds {
			m.kind, m.text = "text", "文件已放入資料夾："+s.text
			break
		}
		t.toShare--
		sp := t.spaceOf(v)
		d := t.addFile(r, sp.root, strings.NewReplacer("/", "-", "\"", "").Replace(s.text), who, min(at, t.epoch.UnixMilli()-3600000))
		m.text = "fileName: " + d.name + " fileId: " + d.id + " spaceId: " + sp.id
	case "text":
		switch r.IntN(100) {
		case 0:
			m.recalled, m.text = true, ""
		case 1, 2:
			m.edited, m.text = at+int64(5+r.IntN(600))*1000, m.text+pick(r, []string{"（更正）", " *", "（已改）", " (corrected)"})
		}
	}
	if r.IntN(25) == 0 && !m.recalled {
		p := pick(r, v.members)
		m.reacts = []reaction{{pick(r, []string{"👍", "❤️", "😂", "收到", "OK"}), []string{p.openID}, 1}}
	}
	t.add(m)
}
