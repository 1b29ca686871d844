package chat

import (
	"testing"
	"time"
	"unicode/utf8"

	"farol/internal/record"
)

// FuzzDocument reads what an upstream answer may hold: whatever it is, a page
// can be drawn of it or it is refused.
func FuzzDocument(f *testing.F) {
	for _, s := range seeds {
		f.Add("id", []byte(s))
		f.Add("@", []byte(s))
	}
	f.Fuzz(func(t *testing.T, id string, raw []byte) {
		for _, deleted := range []bool{false, true} {
			doc, err := Chat{}.Document(&record.Record{Ref: record.Ref{Kind: record.Chat, Container: "c", ID: id}, Time: time.Unix(1e9, 0), Raw: raw, Deleted: deleted})
			if err == nil && utf8.Valid(raw) && (!utf8.ValidString(doc.Title) || !utf8.ValidString(doc.Body)) {
				t.Errorf("%q is drawn as %q %q", raw, doc.Title, doc.Body)
			}
		}
	})
}

var seeds = []string{
	`{"openMessageId":"m1","openConversationId":"c","sender":{"name":"李","openDingTalkId":"D1"},"msgType":"text","content":"你好","createTime":"2026-03-02 09:00:00"}`,
	`{"msgType":"richText","content":"{\"richText\":[{\"text\":\"x\"}]}","createTime":1}`,
	`{"openConversationId":"c","title":"群","conversationType":2}`,
	`{"quotedMessage":{"content":null},"recallStatus":1}`,
	`[]`,
}
