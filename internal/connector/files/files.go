// Package files captures the organisation's drive and the file spaces of
// groups. Permissions: Drive.Space.Read, Storage.File.Read,
// Storage.DownloadInfo.Read, ConvFile.Space.Read. What the named operator
// cannot see is not listed; online documents are listed but cannot be
// downloaded as files; deletions are told by events or by a complete walk.
//
// The cursor is the listing's own token, ordered by modification time.
package files

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

// Files is the connector.
type Files struct{}

// New returns the connector.
func New() Files { return Files{} }

// Kind is files.
func (Files) Kind() record.Kind { return record.Files }

type space struct {
	ID      string `json:"spaceId"`
	Name    string `json:"spaceName"`
	Created string `json:"createTime"`
}

// Sources lists the organisation's spaces and one space for each group that a
// reader is in.
func (Files) Sources(ctx context.Context, env *connector.Env, found func(connector.Source) error) error {
	if env.Operator == "" {
		return fmt.Errorf("list spaces: nobody is named for drive access: %w", dingtalk.ErrConsent)
	}
	raws, err := env.Client.Spaces(ctx, env.Operator)
	if err != nil {
		return fmt.Errorf("list spaces: %w", err)
	}
	for _, raw := range raws {
		var s space
		if err := json.Unmarshal(raw, &s); err != nil || s.ID == "" {
			return fmt.Errorf("read a space: %w", errShape)
		}
		err := found(connector.Source{Container: record.Container{Kind: record.Files, ID: s.ID, Title: s.Name, Dept: 1}, Via: []string{env.Operator},
			Describe: []record.Record{{Ref: record.Ref{Kind: record.Files, Container: s.ID, ID: "@"}, Time: epoch, Dept: 1, Raw: raw}}})
		if err != nil {
			return err
		}
	}
	if env.Conversations == nil {
		return nil
	}
	var failed []error
	err = env.Conversations(ctx, func(conv connector.Source) error {
		src, err := groupSpace(ctx, env, conv)
		if err != nil {
			failed = append(failed, err) // one group must not lose the others
			return ctx.Err()
		}
		return found(src)
	})
	return errors.Join(err, errors.Join(failed...))
}

// groupSpace finds the space of a group through one of its members. The "@"
// record is the space as received; the group's name comes with the group.
func groupSpace(ctx context.Context, env *connector.Env, conv connector.Source) (connector.Source, error) {
	for _, person := range conv.Via {
		u, ok := env.People.User(person)
		if !ok || u.UnionID == "" {
			continue
		}
		raw, err := env.Client.ConversationSpace(ctx, u.UnionID, conv.ID)
		if err != nil {
			return connector.Source{}, fmt.Errorf("find a group's files: %w", err)
		}
		var s space
		if err := json.Unmarshal(raw, &s); err != nil || s.ID == "" {
			return connector.Source{}, fmt.Errorf("read a group's space: %w", errShape)
		}
		name, err := json.Marshal(map[string]any{"openConversationId": conv.ID, "title": conv.Title, "private": conv.Private})
		if err != nil {
			return connector.Source{}, err
		}
		return connector.Source{Container: record.Container{Kind: record.Files, ID: s.ID, Title: conv.Title, Dept: conv.Dept, Private: conv.Private}, Via: []string{u.UnionID},
			Describe: []record.Record{
				{Ref: record.Ref{Kind: record.Files, Container: s.ID, ID: "@space"}, Time: epoch, Dept: conv.Dept, Raw: raw},
				{Ref: record.Ref{Kind: record.Files, Container: s.ID, ID: "@"}, Time: epoch, Dept: conv.Dept, Raw: name},
			}}, nil
	}
	return connector.Source{}, fmt.Errorf("find a group's files: %w", dingtalk.ErrConsent)
}

var (
	epoch    = time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)
	errShape = errors.New("the item has an unknown shape")
)

// Entry is a file or folder as the listing shows it.
type Entry struct {
	ID       string `json:"id"`
	UUID     string `json:"uuid"`
	Space    string `json:"spaceId"`
	Parent   string `json:"parentId"`
	Type     string `json:"type"` // FILE, FOLDER
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	Path     string `json:"path"`
	Version  int64  `json:"version"`
	Status   string `json:"status"`
	Creator  string `json:"creatorId"`
	Modifier string `json:"modifierId"`
	Modified string `json:"modifiedTime"`
	Driver   string `json:"storageDriver"` // DINGTALK, ALIDOC, SHANJI
}

// ParseEntry reads the raw bytes of a file record.
func ParseEntry(raw []byte) (Entry, error) {
	var e Entry
	if err := json.Unmarshal(raw, &e); err != nil || e.ID == "" {
		return e, fmt.Errorf("read a file's entry: %w", errors.Join(errShape, err))
	}
	return e, nil
}

// Pull reads the listing from the token on. Going forward may repeat entries
// when files change during the walk; the version hash tells.
func (Files) Pull(ctx context.Context, env *connector.Env, src connector.Source, cursor string, emit func(connector.Page) error) error {
	for {
		raws, next, err := env.Client.Dentries(ctx, reader(env, src), src.ID, cursor)
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		page := connector.Page{Cursor: next, Walked: next == ""}
		if next == "" {
			page.Cursor = cursor // the last page is read again next time: it has no end token
		}
		for _, raw := range raws {
			it, err := item(env, src, raw)
			if err != nil {
				page.Lost = append(page.Lost, connector.Lost{ID: "?", Err: err})
				continue
			}
			page.Items = append(page.Items, it)
		}
		if err := emit(page); err != nil || next == "" {
			return err
		}
		cursor = next
	}
}

func item(env *connector.Env, src connector.Source, raw []byte) (connector.Item, error) {
	e, err := ParseEntry(raw)
	if err != nil {
		return connector.Item{}, err
	}
	at, err := time.Parse(time.RFC3339, e.Modified)
	if err != nil {
		return connector.Item{}, fmt.Errorf("read a file's time: %w", errShape)
	}
	it := connector.Item{Rec: record.Record{Ref: record.Ref{Kind: record.Files, Container: src.ID, ID: e.ID}, Time: at.UTC(), Author: e.Modifier, Dept: src.Dept, Raw: raw}}
	if e.Type == "FILE" {
		it.Attach = []connector.Attachment{{Key: "content", Name: e.Name, Size: e.Size, Open: func(ctx context.Context) (io.ReadCloser, int64, error) {
			if e.Driver != "" && e.Driver != "DINGTALK" {
				return nil, 0, &Online{Driver: e.Driver}
			}
			s, err := env.Client.DownloadInfo(ctx, reader(env, src), src.ID, e.ID, e.Version)
			if err != nil {
				return nil, 0, err
			}
			return env.Client.Fetch(ctx, s)
		}}}
	}
	return it, nil
}

// Online means that the entry is an online document, which DingTalk does not
// give out as a file.
type Online struct{ Driver string }

func (e *Online) Error() string {
	return "an online document cannot be downloaded as a file (" + e.Driver + ")"
}

// Unwrap is [dingtalk.ErrUnavailable].
func (*Online) Unwrap() error { return dingtalk.ErrUnavailable }

// Document shows a file, a folder or the space.
func (Files) Document(rec *record.Record) (connector.Document, error) {
	switch rec.ID {
	case "@":
		var s struct {
			space
			Title   string `json:"title"`
			Private bool   `json:"private"`
		}
		if err := json.Unmarshal(rec.Raw, &s); err != nil {
			return connector.Document{}, fmt.Errorf("read a space: %w", err)
		}
		title := s.Name
		if title == "" {
			title = s.Title
		}
		return connector.Document{Title: title, Container: &record.Container{Kind: record.Files, ID: rec.Container, Title: title, Dept: rec.Dept, Private: s.Private}}, nil
	case "@space":
		return connector.Document{}, nil
	}
	e, err := ParseEntry(rec.Raw)
	if err != nil {
		return connector.Document{}, err
	}
	doc := connector.Document{Title: e.Name, Author: connector.Person{Key: e.Modifier}, Time: rec.Time,
		Fields: []connector.Field{{Label: "field.path", Value: e.Path}}}
	if e.Type == "FILE" {
		doc.Files = []string{e.Name}
	}
	return doc, nil
}

// Hint answers the storage events.
func (Files) Hint(ev dingtalk.Event) (connector.Hint, bool) {
	switch ev.Type {
	case "storage_dentry_create", "storage_dentry_update", "storage_dentry_delete":
	default:
		return connector.Hint{}, false
	}
	var d struct {
		Space  string `json:"spaceId"`
		Dentry string `json:"dentryId"`
	}
	if json.Unmarshal(ev.Data, &d) != nil || d.Space == "" {
		return connector.Hint{}, false
	}
	return connector.Hint{Container: d.Space, Item: d.Dentry}, true
}

// reader is who a space is read as: the first of its readers who is still
// employed. Without one (everybody has left, or a restart knows the space of a
// closed group but not through whom) the employee named for drive access asks,
// and DingTalk decides.
func reader(env *connector.Env, src connector.Source) string {
	for _, u := range src.Via {
		if _, ok := env.People.User(u); ok {
			return u
		}
	}
	return env.Operator
}

// PullItem reads one entry.
func (Files) PullItem(ctx context.Context, env *connector.Env, src connector.Source, id string) (connector.Item, error) {
	raw, err := env.Client.Dentry(ctx, reader(env, src), src.ID, id)
	if err != nil {
		return connector.Item{}, err
	}
	return item(env, src, raw)
}

// Gone asks DingTalk about an entry that a complete walk did not list.
func (Files) Gone(ctx context.Context, env *connector.Env, rec *record.Record) (bool, error) {
	raw, err := env.Client.Dentry(ctx, env.Operator, rec.Container, rec.ID)
	if connector.IsGone(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	e, err := ParseEntry(raw)
	return err == nil && e.Status == "DELETED", nil
}
