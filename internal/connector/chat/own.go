package chat

import (
	"farol/internal/connector"
	"farol/internal/record"
)

// Own shows a message to who sent it. What it quotes or passes on was written
// by others and is left out.
func (c Chat) Own(rec *record.Record, him func(string) bool) (connector.Own, bool) {
	if connector.IsDescribing(rec.Ref) {
		return connector.Own{}, false
	}
	m, _, err := parse(rec.Raw)
	if err != nil || !him(who(m.Sender).Open) {
		return connector.Own{}, false
	}
	doc, err := c.Document(rec)
	if err != nil {
		return connector.Own{}, false
	}
	own := connector.Own{Document: doc, Omitted: doc.Reply != nil}
	own.Reply = nil
	if len(m.Forwarded) > 0 {
		own.Body, own.Files, own.Omitted = "", nil, true
		return own, true
	}
	for i := range rec.Blobs {
		own.Blobs = append(own.Blobs, i)
	}
	return own, true
}
