package approvals

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
			doc, err := Approvals{}.Document(&record.Record{Ref: record.Ref{Kind: record.Approvals, Container: "c", ID: id}, Time: time.Unix(1e9, 0), Raw: raw, Deleted: deleted})
			if err == nil && utf8.Valid(raw) && (!utf8.ValidString(doc.Title) || !utf8.ValidString(doc.Body)) {
				t.Errorf("%q is drawn as %q %q", raw, doc.Title, doc.Body)
			}
		}
	})
}

var seeds = []string{
	`{"title":"報銷","status":"COMPLETED","createTime":"2026-03-02T09:00Z","originatorUserId":"u1","formComponentValues":[{"name":"金額","value":"100","componentType":"MoneyField"},{"name":"表","value":"[{\"rowValue\":[{\"label\":\"a\",\"value\":\"b\"}]}]","componentType":"TableField"}],"operationRecords":[{"userId":"u2","type":"ADD_REMARK","remark":"好","date":"2026-03-02T09:00Z"}]}`,
	`{"processCode":"P","name":"x"}`,
	`{"formComponentValues":[{"value":"[[["}]}`,
	`null`,
}
