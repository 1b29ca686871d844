package restore

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/record"
)

func (x *exporter) batch(hits []catalog.Hit) error {
	items, err := x.d.open(x.ctx, hits)
	if err != nil {
		return err
	}
	for i := range items {
		if err := x.item(&items[i]); err != nil {
			return err
		}
	}
	if x.progress != nil {
		x.progress(x.sum.Items)
	}
	return x.ctx.Err()
}

func (x *exporter) item(it *Item) error {
	if x.cur == nil || x.cur.id != it.Container {
		if err := x.next(it); err != nil {
			return err
		}
	}
	x.commits[it.Seq] = true
	x.touched.add(it.Hit)
	if it.Damage != nil {
		x.sum.Damaged++
		x.damaged = append(x.damaged, fmt.Sprintf("%s\tcommit %d\tindex %d\t%v", it.Kind, it.Seq, it.Index, it.Damage))
		return x.transcriptDamaged()
	}
	if err := x.line(it); err != nil {
		return err
	}
	if it.State&catalog.Describes != 0 {
		return nil
	}
	x.sum.Items++
	x.cur.items++
	names, err := x.blobs(it)
	if err != nil {
		return err
	}
	return x.transcript(it, names)
}

// next closes one container and opens the following.
func (x *exporter) next(it *Item) error {
	if err := x.closeContainer(); err != nil {
		return err
	}
	info, err := x.d.container(x.ctx, x.scope, it.Container, x.asOf)
	if err != nil {
		return err
	}
	title := info.Title
	if title == "" {
		title = string(info.Kind)
	}
	dir := x.free(path.Join(string(it.Kind), safeName(title)))
	c := &exportedContainer{id: it.Container, info: info, dir: dir}
	if c.ndjson, err = x.create(dir+"/records.ndjson", x.began); err != nil {
		return err
	}
	if c.html, err = x.create(dir+"/transcript.html", x.began); err != nil {
		return err
	}
	x.cur = c
	x.sum.Contained++
	return transcriptHead(c.html, x.lang, info)
}

func (x *exporter) closeContainer() error {
	if x.cur == nil {
		return nil
	}
	c := x.cur
	x.cur = nil
	if _, err := c.html.WriteString("</main></body></html>\n"); err != nil {
		return err
	}
	return errors.Join(x.close(c.html), x.close(c.ndjson))
}

// Line is one record of records.ndjson. raw stands last and holds the bytes as
// DingTalk sent them, so that its hash can be taken again.
type Line struct {
	Kind      record.Kind   `json:"kind"`
	Container string        `json:"container"`
	ID        string        `json:"id"`
	Time      time.Time     `json:"time"`
	Author    string        `json:"author,omitempty"`
	Deleted   bool          `json:"deleted,omitempty"`
	SHA256    record.Hash   `json:"sha256"`
	Commit    uint64        `json:"commit"`
	Index     int           `json:"index"`
	Blobs     []record.Blob `json:"blobs,omitempty"`
	Raw       []byte        `json:"-"`
}

func (x *exporter) line(it *Item) error {
	r := &it.Record
	head, err := json.Marshal(Line{Kind: r.Kind, Container: r.Container, ID: r.ID, Time: r.Time, Author: r.Author, Deleted: r.Deleted, SHA256: r.Hash(), Commit: it.Seq, Index: it.Index, Blobs: r.Blobs})
	if err != nil {
		return err
	}
	w := x.cur.ndjson
	w.Write(head[:len(head)-1]) // bufio keeps the first error for Flush
	if json.Valid(r.Raw) && !strings.ContainsAny(string(r.Raw), "\n\r") {
		w.WriteString(`,"raw":`)
		w.Write(r.Raw)
	} else {
		b, err := json.Marshal(r.Raw)
		if err != nil {
			return err
		}
		w.WriteString(`,"raw_base64":`)
		w.Write(b)
	}
	_, err = w.WriteString("}\n")
	return err
}

// blobs writes the attached bytes and returns the names they got, relative to
// the container.
func (x *exporter) blobs(it *Item) ([]string, error) {
	var names []string
	for i, b := range it.Record.Blobs {
		name := b.Name
		if it.Kind == record.Files {
			name = pathOf(&it.Doc)
		} else {
			name = "attachments/" + it.Record.Time.UTC().Format("20060102-150405") + "-" + safeName(name)
		}
		full := x.free(x.cur.dir + "/" + name)
		rd, err := x.d.d.Archive.OpenBlob(x.ctx, b)
		if err == nil {
			err = x.copy(full, it.Record.Time, rd, b)
		}
		if err != nil {
			if x.ctx.Err() != nil || !errors.Is(err, ErrDamaged) {
				return nil, err
			}
			x.sum.Damaged++
			x.damaged = append(x.damaged, fmt.Sprintf("%s\tcommit %d\tindex %d\tattachment %d\t%v", it.Kind, it.Seq, it.Index, i, err))
			continue
		}
		names = append(names, strings.TrimPrefix(full, x.cur.dir+"/"))
	}
	x.sum.Missing += int64(max(0, len(it.Doc.Files)-len(it.Record.Blobs)))
	return names, nil
}

func pathOf(doc *connector.Document) string {
	for _, f := range doc.Fields {
		if f.Label == "field.path" && f.Value != "" {
			return "files/" + safePath(f.Value)
		}
	}
	return "files/" + safeName(doc.Title)
}
