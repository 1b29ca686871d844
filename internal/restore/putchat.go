package restore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"farol/internal/catalog"
	"farol/internal/connector/chat"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

// chat puts a conversation back as a new group with its members, each message
// under its sender and time, then reads the group and compares.
func (b *putBack) chat(ctx context.Context, c planned) error {
	members, err := b.members(ctx, c)
	if err != nil {
		return err
	}
	byOpen := map[string]string{}
	owner, first := "", ""
	var users []string
	for _, m := range members {
		in, err := b.employed(ctx, m.UserID)
		if err != nil {
			return err
		}
		if !in {
			continue // left the organisation: can neither be a member nor speak again
		}
		byOpen[m.OpenID] = m.UserID
		users = append(users, m.UserID)
		if m.Owner {
			owner = m.UserID
		}
		if first == "" || slices.Contains(b.readers, m.UserID) && !slices.Contains(b.readers, first) {
			first = m.UserID
		}
	}
	if owner == "" {
		owner = first
	}
	if owner == "" { // everybody has left: the operator takes it
		if u, ok := b.d.d.People.User(b.operator); ok {
			owner, users = u.UserID, append(users, u.UserID)
		}
	}
	if owner == "" {
		return b.failAll(ctx, c, "restore.no_members", nil)
	}
	title := c.info.Title + "（Farol " + b.stamp + "）"
	group, err := b.client.ImportGroup(ctx, b.job.s.ID+"-"+strconv.FormatInt(c.info.CatalogID, 36), title, owner, users, c.hits[0].Time)
	if err != nil {
		return b.failAll(ctx, c, "restore.import_failed", fmt.Errorf("make a group to restore into: %w", err))
	}
	sent, err := b.messages(ctx, c, group, owner, byOpen)
	if err != nil {
		return err
	}
	return b.compare(ctx, c, group, users, sent)
}

// failAll notes every message of a conversation as not restored. The other
// conversations go on, unless the cause stops everything.
func (b *putBack) failAll(ctx context.Context, c planned, detail string, cause error) error {
	if cause != nil {
		if stops(ctx, cause) {
			return cause
		}
		b.d.d.Log.WarnContext(ctx, "a conversation was not restored", "err", cause)
	}
	for range c.hits {
		b.job.item(JobItem{Kind: record.Chat, Name: c.info.Title, Container: c.info.Title, Outcome: NotRestored, Detail: detail})
	}
	return nil
}

// employed asks DingTalk, once a person, whether he is still there.
func (b *putBack) employed(ctx context.Context, userID string) (bool, error) {
	if in, asked := b.staff[userID]; asked || userID == "" {
		return in, nil
	}
	_, err := b.client.User(ctx, userID)
	if err != nil && !errors.Is(err, dingtalk.ErrNotFound) {
		if stops(ctx, err) {
			return false, err
		}
		return false, nil // out of the app's sight is as good as gone
	}
	b.staff[userID] = err == nil
	return err == nil, nil
}

func (b *putBack) members(ctx context.Context, c planned) ([]dingtalk.Member, error) {
	for _, h := range c.desc {
		rec, err := b.d.read(ctx, h)
		if err != nil {
			return nil, err
		}
		if rec.ID == "@members" {
			return chat.Members(&rec)
		}
	}
	return nil, nil
}

// sentMessage is what was imported, for comparing.
type sentMessage struct {
	text   string
	at     time.Time
	result JobItem
}

func (b *putBack) messages(ctx context.Context, c planned, group, owner string, byOpen map[string]string) ([]sentMessage, error) {
	var out []sentMessage
	for at := 0; at < len(c.hits); at += 500 {
		items, err := b.d.open(ctx, c.hits[at:min(at+500, len(c.hits))])
		if err != nil {
			return nil, err
		}
		for i := range items {
			it := &items[i]
			res := JobItem{Kind: record.Chat, Name: it.Author, Container: c.info.Title, SHA256: it.Record.Hash()}
			if it.Damage != nil || it.State&catalog.Tombstone != 0 && it.Doc.Body == "" {
				res.Outcome, res.Detail = NotRestored, "restore.damaged"
				b.job.item(res)
				continue
			}
			if it.Doc.State.Recalled {
				res.Outcome, res.Detail = NotWritable, "restore.recalled"
				b.job.item(res)
				continue
			}
			sender, known := byOpen[it.Record.Author]
			text := it.Doc.Body
			res.Outcome = Restored
			if !known || sender == "" {
				sender, text = owner, it.Author+": "+text
				res.Outcome, res.Detail = InPart, "restore.other_sender"
			}
			for n, blob := range it.Record.Blobs {
				// messages with media cannot be imported: the name and hash stand in
				name := blob.Name
				if n < len(it.Doc.Files) {
					name = it.Doc.Files[n]
				}
				text += "\n[" + name + " sha256:" + blob.SHA256.String()[:16] + "]"
				res.Outcome, res.Detail = InPart, "restore.media_as_text"
			}
			uuid := b.job.s.ID + "-" + strconv.FormatInt(it.ID, 36)
			if _, err := b.client.ImportMessage(ctx, uuid, group, sender, "text", text, it.Record.Time); err != nil {
				if stops(ctx, err) {
					return nil, err
				}
				res.Outcome, res.Detail = NotRestored, "restore.import_failed"
				b.job.item(res)
				continue
			}
			out = append(out, sentMessage{text, it.Record.Time, res})
		}
	}
	return out, nil
}

// compare reads the new group as a member who consented and looks for every
// message by its time and text. Without such a member nothing is claimed.
func (b *putBack) compare(ctx context.Context, c planned, group string, users []string, sent []sentMessage) error {
	reader := ""
	for _, u := range users {
		if slices.Contains(b.readers, u) {
			reader = u
			break
		}
	}
	found := map[string]int{}
	err := error(dingtalk.ErrConsent)
	if reader != "" {
		err = b.readBack(ctx, reader, group, found)
	}
	if err != nil && stops(ctx, err) && !errors.Is(err, dingtalk.ErrConsent) {
		return err
	}
	for _, s := range sent {
		key := s.at.UTC().Format(time.DateTime) + "\x00" + s.text
		switch {
		case err != nil:
			s.result.Outcome, s.result.Detail = InPart, "restore.not_compared"
		case found[key] == 0:
			s.result.Outcome, s.result.Detail = NotRestored, "restore.differs"
		default:
			found[key]--
		}
		b.job.item(s.result)
	}
	return nil
}

func (b *putBack) readBack(ctx context.Context, reader, group string, found map[string]int) error {
	for cursor := "100000000000"; ; {
		h, err := b.client.History(ctx, reader, group, cursor, true)
		if err != nil {
			return err
		}
		for _, raw := range h.Messages {
			var m struct {
				Text string `json:"content"`
				Time string `json:"createTime"`
			}
			if json.Unmarshal(raw, &m) != nil {
				continue
			}
			if at, err := time.ParseInLocation(time.DateTime, m.Time, record.Macau); err == nil {
				found[at.UTC().Format(time.DateTime)+"\x00"+m.Text]++
			}
		}
		if !h.More {
			return nil
		}
		cursor = h.Next
	}
}
