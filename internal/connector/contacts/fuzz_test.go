package contacts

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
			doc, err := Contacts{}.Document(&record.Record{Ref: record.Ref{Kind: record.Contacts, Container: "c", ID: id}, Time: time.Unix(1e9, 0), Raw: raw, Deleted: deleted})
			if err == nil && utf8.Valid(raw) && (!utf8.ValidString(doc.Title) || !utf8.ValidString(doc.Body)) {
				t.Errorf("%q is drawn as %q %q", raw, doc.Title, doc.Body)
			}
		}
	})
}

var seeds = []string{
	`{"userid":"u1","unionid":"U1","name":"陳","dept_id_list":[1,2],"leader_in_dept":[]}`,
	`{"dept_id":7,"name":"財務部","parent_id":1}`,
	`{"dept_id":"x"}`,
	`0`,
}
