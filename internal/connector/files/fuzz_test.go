package files

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
			doc, err := Files{}.Document(&record.Record{Ref: record.Ref{Kind: record.Files, Container: "c", ID: id}, Time: time.Unix(1e9, 0), Raw: raw, Deleted: deleted})
			if err == nil && utf8.Valid(raw) && (!utf8.ValidString(doc.Title) || !utf8.ValidString(doc.Body)) {
				t.Errorf("%q is drawn as %q %q", raw, doc.Title, doc.Body)
			}
		}
	})
}

var seeds = []string{
	`{"id":"f1","spaceId":"s","type":"FILE","name":"../地盤.pdf","path":"/a/b","size":12,"version":1,"modifiedTime":"2026-03-02T01:00:00Z","creatorId":"U1"}`,
	`{"type":"FOLDER","name":""}`,
	`{"size":-1,"version":99999999999999999999}`,
	`{}`,
}
