package web

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/i18n"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/templates"
	"farol/templates/ui"
)

// itemColumns are the fields a list of a kind shows.
var itemColumns = map[record.Kind][]string{
	record.Files:     {"field.path", "archive.size", "items.author"},
	record.Approvals: {"field.number", "items.author", "field.result"},
	record.Contacts:  {"field.department", "field.title", "field.job_number"},
}

func recordPath(id int64) string { return "/record/" + strconv.FormatInt(id, 10) }

// item is an item of a list.
func (w words) item(it restore.Item, asOf string) templates.ItemRow {
	row := templates.ItemRow{Href: query(recordPath(it.ID), "as_of", asOf), Icon: hitIcons[it.Kind], Title: or(it.Doc.Title, w.t("items.untitled")), When: w.moment(it.Time), State: ui.Safe, Word: w.t("state.kept")}
	var size int64
	for _, b := range it.Record.Blobs {
		size += b.Size
	}
	for _, id := range itemColumns[it.Kind] {
		v := ""
		switch id {
		case "archive.size":
			if v = "–"; len(it.Record.Blobs) > 0 {
				v = w.l.Size(size)
			}
		case "items.author":
			v = it.Author
		default:
			for _, f := range it.Doc.Fields {
				if f.Label == id {
					v = f.Value
				}
			}
		}
		row.Cells = append(row.Cells, v)
	}
	switch {
	case it.Damage != nil:
		row.State, row.Word, row.Title = ui.Danger, w.t("state.damaged"), w.t("items.untitled")
	case it.State&catalog.Tombstone != 0:
		row.State, row.Word = ui.Signal, w.t("state.deleted")
	case it.State&catalog.Incomplete != 0:
		row.State, row.Word = ui.Signal, w.t("state.incomplete")
	case it.Doc.State.Running:
		row.State, row.Word = ui.Run, w.t("state.running")
	}
	return row
}

// message is an item as a line of a talk. spans are search hits in its text.
func (w words) message(it restore.Item, reveal func(string) string, asOf string) templates.Message {
	if reveal == nil {
		reveal = mask
	}
	d := it.Doc
	m := templates.Message{ID: strconv.FormatInt(it.ID, 10), Anchor: "m" + strconv.FormatInt(it.ID, 10), Author: it.Author, When: w.moment(it.Time), Title: reveal(d.Title), Href: query(recordPath(it.ID), "as_of", asOf)}
	m.When.Text = w.l.Clock(it.Time)
	if it.Damage != nil {
		m.Author, m.Damage = or(m.Author, w.t("thread.unknown")), w.t("thread.damaged")
		return m
	}
	if d.Body != "" {
		m.Body = []ui.Part{{Text: reveal(d.Body)}}
	}
	m.Note = it.Author == "" && len(d.Files) == 0 && it.Kind == record.Chat && !d.State.Recalled
	if m.Author == "" {
		m.Author = w.t("thread.unknown")
	}
	if r := d.Reply; r != nil {
		m.Quote = w.t("thread.quote", "who", or(r.Author, w.t("thread.unknown")), "text", reveal(r.Text))
	}
	m.Fields = w.fields(d.Fields, reveal)
	if d.State.Recalled {
		m.Recalled = w.t("thread.recalled")
	}
	if it.Record.Deleted {
		m.Deleted = w.t("thread.deleted")
	}
	if !d.State.Edited.IsZero() {
		m.Edited = w.t("thread.edited", "when", w.moment(d.State.Edited).Text)
	}
	for i, b := range it.Record.Blobs {
		m.Files = append(m.Files, w.attachment(it.ID, i, b))
	}
	if n := len(d.Files) - len(it.Record.Blobs); n > 0 {
		m.Missing = w.t("thread.missing", "names", strings.Join(d.Files[len(it.Record.Blobs):], w.t("list.comma")))
	}
	return m
}

func (w words) attachment(id int64, n int, b record.Blob) templates.Attached {
	at := fmt.Sprintf("%s/blob/%d", recordPath(id), n)
	out := templates.Attached{Name: or(b.Name, w.t("items.untitled")), Meta: w.t("file.meta", "size", w.l.Size(b.Size), "type", or(strings.ToUpper(strings.TrimPrefix(path.Ext(b.Name), ".")), "–")), Href: at + "/download", Icon: "file-text"}
	if showable(b) != "" {
		out.Image = at
	}
	return out
}

// showable is the picture type that may be shown inside a page, "" for others.
func showable(b record.Blob) string {
	switch strings.ToLower(path.Ext(b.Name)) {
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".gif":
		return "image/gif"
	case ".webp":
		return "image/webp"
	}
	return ""
}

func (w words) fields(list []connector.Field, reveal func(string) string) []templates.Pair {
	var out []templates.Pair
	for _, f := range list {
		if f.Value == "" {
			continue
		}
		p := templates.Pair{Label: f.Label, Value: reveal(f.Value)}
		if strings.HasPrefix(f.Label, "field.") && i18n.Has(f.Label) {
			p.Label = w.t(f.Label)
		}
		if f.Label == "field.mobile" && reveal(" 13800000000 ") != " 13800000000 " {
			p.Value = strings.Repeat("•", 8)
		}
		out = append(out, p)
	}
	return out
}
