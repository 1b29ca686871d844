package approvals

import (
	"strings"

	"farol/internal/connector"
	"farol/internal/record"
)

// Own shows an approval to who asked for it: his form, his comments and what
// became of it. How others put their decisions, and what they attached, is
// left out.
func (a Approvals) Own(rec *record.Record, him func(string) bool) (connector.Own, bool) {
	if connector.IsDescribing(rec.Ref) {
		return connector.Own{}, false
	}
	in, err := parse(rec.Raw)
	if err != nil || !him(in.Who) {
		return connector.Own{}, false
	}
	doc, err := a.Document(rec)
	if err != nil {
		return connector.Own{}, false
	}
	own := connector.Own{Document: doc}
	var steps []string
	mine, others := map[string]bool{}, map[string]bool{}
	for _, f := range in.files() {
		if !f.comment {
			mine[f.Name] = true
		}
	}
	for _, r := range in.Records {
		step := strings.TrimSpace(r.Date + " " + r.Show + " " + r.Result)
		his := him(r.UserID)
		if his && r.Remark != "" {
			step += ": " + r.Remark
		}
		own.Omitted = own.Omitted || !his && (r.Remark != "" || len(r.Files) > 0)
		for _, f := range r.Files {
			if his {
				mine[f.Name] = true
			} else {
				others[f.Name] = true
			}
		}
		if his || r.Result != "NONE" { // another's comment has no result
			steps = append(steps, step)
		}
	}
	own.Body, own.Files = strings.Join(steps, "\n"), nil
	for _, f := range in.files() {
		if mine[f.Name] && !others[f.Name] {
			own.Files = append(own.Files, f.Name)
		}
	}
	// by name: an attachment that could not be had leaves no gap in the record
	for i, b := range rec.Blobs {
		if mine[b.Name] && !others[b.Name] {
			own.Blobs = append(own.Blobs, i)
		}
	}
	return own, true
}
