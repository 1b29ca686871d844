// Package all lists every kind of data that Farol captures. Adding a kind is
// one folder and one line here.
package all

import (
	"farol/internal/connector"
	"farol/internal/connector/approvals"
	"farol/internal/connector/chat"
	"farol/internal/connector/contacts"
	"farol/internal/connector/files"
)

// Connectors is the list. Contacts come first: the others ask who belongs
// where. Files come after chat, whose groups have file spaces.
func Connectors() []connector.Connector {
	return []connector.Connector{contacts.New(), chat.New(), files.New(), approvals.New()}
}
