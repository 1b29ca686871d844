package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

type message struct {
	ID     string          `json:"openMessageId"`
	Sender json.RawMessage `json:"sender"`
	Type   string          `json:"msgType"`
	Text   string          `json:"content"`
	Time   string          `json:"createTime"`
	Edited bool            `json:"edited"`
	EditAt string          `json:"editTime"`
	Quoted *struct {
		Sender json.RawMessage `json:"sender"`
		Text   string          `json:"content"`
	} `json:"quotedMessage"`
	Forwarded []json.RawMessage `json:"forwardMessages"`
}

type sender struct {
	Name string `json:"name"`
	Open string `json:"openDingTalkId"`
}

// who reads a sender, which is an object or plain text.
func who(raw json.RawMessage) sender {
	var s sender
	if json.Unmarshal(raw, &s) != nil {
		var name string
		if json.Unmarshal(raw, &name) == nil {
			s.Name = name
		}
	}
	return s
}

var zone = time.FixedZone("UTC+8", 8*3600)

func parse(raw []byte) (message, time.Time, error) {
	var m message
	if err := json.Unmarshal(raw, &m); err != nil || m.ID == "" {
		return m, time.Time{}, fmt.Errorf("read a message: %w", errors.Join(err, errShape))
	}
	at, err := time.ParseInLocation(time.DateTime, m.Time, zone)
	if err != nil {
		return m, time.Time{}, fmt.Errorf("read a message's time: %w", errShape)
	}
	return m, at.UTC(), nil
}

var errShape = errors.New("the item has an unknown shape")

func item(env *connector.Env, src connector.Source, via string, raw []byte) (connector.Item, error) {
	m, at, err := parse(raw)
	if err != nil {
		return connector.Item{}, err
	}
	it := connector.Item{Rec: record.Record{Ref: record.Ref{Kind: record.Chat, Container: src.ID, ID: m.ID}, Time: at, Author: who(m.Sender).Open, Dept: src.Dept, Raw: raw}}
	for _, a := range attachments(m) {
		it.Attach = append(it.Attach, connector.Attachment{Key: a.key(), Name: a.name, Size: -1, Open: func(ctx context.Context) (io.ReadCloser, int64, error) {
			s, err := a.locate(ctx, env, src, via, m.ID)
			if err != nil {
				return nil, 0, err
			}
			return env.Client.Fetch(ctx, s)
		}})
	}
	return it, nil
}

// Members reads the "@members" record of a conversation.
func Members(rec *record.Record) ([]dingtalk.Member, error) {
	var ms []dingtalk.Member
	if err := json.Unmarshal(rec.Raw, &ms); err != nil {
		return nil, fmt.Errorf("read a conversation's members: %w", err)
	}
	return ms, nil
}

// Document shows a message, or the conversation that an "@" record describes.
func (Chat) Document(rec *record.Record) (connector.Document, error) {
	switch rec.ID {
	case "@":
		var c conversation
		if err := json.Unmarshal(rec.Raw, &c); err != nil {
			return connector.Document{}, fmt.Errorf("read a conversation: %w", err)
		}
		return connector.Document{Title: c.Title, Container: &record.Container{Kind: record.Chat, ID: c.ID, Title: c.Title, Dept: rec.Dept, Private: c.Type == single}}, nil
	case "@members":
		return connector.Document{}, nil // read as data by whoever restores the group
	}
	m, at, err := parse(rec.Raw)
	if err != nil {
		return connector.Document{}, err
	}
	s := who(m.Sender)
	doc := connector.Document{Body: m.Text, Author: connector.Person{Key: s.Open, Name: s.Name}, Time: at}
	if files := attachments(m); len(files) > 0 {
		doc.Body = strings.TrimSpace(mediaPattern.ReplaceAllString(doc.Body, ""))
		if files[0].file != "" {
			doc.Body = ""
		}
		for _, a := range files {
			doc.Files = append(doc.Files, a.name)
		}
	}
	if m.Edited {
		doc.State.Edited = at
		if t, err := time.ParseInLocation(time.DateTime, m.EditAt, zone); err == nil {
			doc.State.Edited = t.UTC()
		}
	}
	doc.State.Recalled = m.Type == "recall"
	if m.Quoted != nil {
		doc.Reply = &connector.Quote{Author: who(m.Quoted.Sender).Name, Text: m.Quoted.Text}
	}
	return doc, nil
}
