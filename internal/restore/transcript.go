package restore

import (
	"html/template"
	"io"
	"time"

	"farol/internal/catalog"
	"farol/internal/i18n"
	"farol/internal/record"
)

// The transcript stands alone: no script, no outside file, printable.
var headTemplate = template.Must(template.New("head").Parse(`<!doctype html>
<html lang="{{.Lang}}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Title}}</title>
<style>body{font:15px/1.6 system-ui,"PingFang HK","Microsoft JhengHei","Noto Sans CJK HK",sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#0a2136}
h1{font-size:1.4rem}h2{font-size:1rem;border-bottom:1px solid #d5dfe7;margin-top:2rem}article{margin:.8rem 0;break-inside:avoid}
header{font-size:.85rem;color:#3c5369}b{color:#0a2136}p{margin:.1rem 0;white-space:pre-wrap;overflow-wrap:anywhere}blockquote{margin:.2rem 0;padding-left:.7rem;border-left:3px solid #73889b;color:#3c5369}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:.2rem 0}dt{color:#3c5369}dd{margin:0;overflow-wrap:anywhere}em{font-style:normal;color:#804a00}</style></head>
<body><main><h1>{{.Title}}</h1>
`))

var itemTemplate = template.Must(template.New("item").Parse(`{{with .Day}}<h2>{{.}}</h2>
{{end}}<article id="m{{.ID}}"><header><b>{{.Author}}</b> <time datetime="{{.UTC}}" title="{{.UTC}}">{{.Clock}}</time>{{range .Marks}} <em>{{.}}</em>{{end}}</header>
{{with .Reply}}<blockquote>{{$.ReplyLabel}} {{.Author}}: {{.Text}}</blockquote>
{{end}}{{with .Title}}<p><b>{{.}}</b></p>
{{end}}{{with .Fields}}<dl>{{range .}}<dt>{{.Label}}</dt><dd>{{.Value}}</dd>{{end}}</dl>
{{end}}{{with .Body}}<p>{{.}}</p>
{{end}}{{range .Files}}<p>📎 <a href="{{.}}">{{.}}</a></p>
{{end}}</article>
`))

func transcriptHead(w io.Writer, l i18n.Lang, info catalog.ContainerInfo) error {
	title := info.Title
	if info.Kind == record.Contacts {
		title = l.T("kind.contacts")
	}
	return headTemplate.Execute(w, map[string]string{"Lang": string(l), "Title": l.T("export.transcript", "title", title)})
}

type transcriptItem struct {
	ID, Day, Author, UTC, Clock, Title, Body, ReplyLabel string
	Marks, Files                                         []string
	Fields                                               []struct{ Label, Value string }
	Reply                                                *struct{ Author, Text string }
}

func (x *exporter) transcript(it *Item, files []string) error {
	l := x.lang
	t := transcriptItem{ID: itoa(it.ID), Author: it.Author, UTC: it.Doc.Time.UTC().Format(time.RFC3339), Clock: l.Clock(it.Doc.Time), Title: it.Doc.Title, Body: it.Doc.Body,
		ReplyLabel: l.T("export.reply"), Files: files}
	if day := l.Date(it.Doc.Time); day != x.cur.last {
		t.Day, x.cur.last = day, day
	}
	if !it.Doc.State.Edited.IsZero() {
		t.Marks = append(t.Marks, l.T("export.edited")+" "+l.Time(it.Doc.State.Edited))
	}
	if it.Doc.State.Recalled {
		t.Marks = append(t.Marks, l.T("export.recalled"))
	}
	if it.Record.Deleted {
		t.Marks = append(t.Marks, l.T("export.deleted"))
	}
	if len(it.Doc.Files) > len(it.Record.Blobs) {
		t.Marks = append(t.Marks, l.T("export.missing"))
	}
	for _, f := range it.Doc.Fields {
		label := f.Label
		if i18n.Has(label) {
			label = l.T(label)
		}
		t.Fields = append(t.Fields, struct{ Label, Value string }{label, f.Value})
	}
	if r := it.Doc.Reply; r != nil {
		t.Reply = &struct{ Author, Text string }{r.Author, r.Text}
	}
	return itemTemplate.Execute(x.cur.html, t)
}

func (x *exporter) transcriptDamaged() error {
	return itemTemplate.Execute(x.cur.html, transcriptItem{Marks: []string{x.lang.T("export.damaged")}})
}
