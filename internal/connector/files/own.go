package files

import (
	"encoding/json"
	"fmt"

	"farol/internal/connector"
	"farol/internal/record"
)

// Own shows a file to who uploaded it and changed it last. Its folder was named
// by others and is left out.
func (f Files) Own(rec *record.Record, him func(string) bool) (connector.Own, bool) {
	if connector.IsDescribing(rec.Ref) {
		return connector.Own{}, false
	}
	e, err := ParseEntry(rec.Raw)
	if err != nil || e.Type != "FILE" || !him(e.Creator) || !him(e.Modifier) {
		return connector.Own{}, false
	}
	doc, err := f.Document(rec)
	if err != nil {
		return connector.Own{}, false
	}
	own := connector.Own{Document: doc}
	own.Fields = nil
	for i := range rec.Blobs {
		own.Blobs = append(own.Blobs, i)
	}
	return own, true
}

// Conversation reads from the "@" record of a space in which conversation it
// lies; "" for one of the company.
func Conversation(rec *record.Record) (string, error) {
	var s struct {
		Conversation string `json:"openConversationId"`
	}
	if err := json.Unmarshal(rec.Raw, &s); err != nil {
		return "", fmt.Errorf("read a space: %w", err)
	}
	return s.Conversation, nil
}
