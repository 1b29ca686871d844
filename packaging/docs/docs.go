// Package docs is the manual: one file a topic and language, in the program as
// well as in the packages. Whoever has to look something up on a bad day reads it
// at /help without signing in, or as files where no Farol runs any more. A test
// of the appliance runs every command that stands in it.
package docs

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// Files are the pages as they were written: <topic>.<language>.md.
//
//go:embed *.md
var Files embed.FS

// Topics are the pages in the order in which one reads them.
var Topics = []string{"install", "first-backup", "restore", "total-loss", "offsite"}

// Langs are the languages of the manual, the one it is written in first.
var Langs = []string{"zh-Hant", "en"}

// Page is one topic, drawn.
type Page struct {
	Topic string
	Title string
	Lead  string // its first sentence, for the list of topics
	HTML  string // without the title; nothing in it was HTML before
	Parts []Part
}

// Part is a section that a reader can go to. Its id is the same in both
// languages.
type Part struct{ ID, Title string }

var markdown = goldmark.New(
	goldmark.WithExtensions(extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute))),
	goldmark.WithParserOptions(parser.WithAutoHeadingID()))

var drawn = sync.OnceValue(func() map[string]Page {
	out := map[string]Page{}
	for _, t := range Topics {
		_, en := parse(t, "en", nil)
		for _, l := range Langs {
			p, err := draw(t, l, en)
			if err != nil {
				panic(err) // embedded: wrong only if the build is
			}
			out[t+"."+l] = p
		}
	}
	return out
})

// Of is a topic in a language; ok is false when there is none.
func Of(topic, lang string) (p Page, ok bool) {
	p, ok = drawn()[topic+"."+lang]
	return p, ok
}

// ids gives headings their names: those of the English page, one after the
// other, so that a link into a page leads to the same place in every language.
type ids struct {
	given []string
	from  []string
}

func (i *ids) Generate(value []byte, _ ast.NodeKind) []byte {
	var name string
	if len(i.given) < len(i.from) {
		name = i.from[len(i.given)]
	} else {
		name = slug(string(value))
		for n := 2; slices.Contains(i.given, name); n++ {
			name = fmt.Sprintf("%s-%d", slug(string(value)), n)
		}
	}
	i.given = append(i.given, name)
	return []byte(name)
}

func (i *ids) Put([]byte) {}

func slug(title string) string {
	words := strings.FieldsFunc(strings.ToLower(title), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(words, "-")
}

func parse(topic, lang string, from []string) (ast.Node, []string) {
	src := source(topic, lang)
	names := &ids{from: from}
	doc := markdown.Parser().Parse(text.NewReader(src), parser.WithContext(parser.NewContext(parser.WithIDs(names))))
	return doc, names.given
}

func source(topic, lang string) []byte {
	b, err := Files.ReadFile(topic + "." + lang + ".md")
	if err != nil {
		panic(err) // embedded: a topic without its file
	}
	return b
}

func draw(topic, lang string, names []string) (Page, error) {
	p, src := Page{Topic: topic}, source(topic, lang)
	doc, _ := parse(topic, lang, names)
	var title ast.Node
	err := ast.Walk(doc, func(n ast.Node, in bool) (ast.WalkStatus, error) {
		if !in {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			if n.Level == 1 {
				title, p.Title = n, plain(n, src)
			} else if id, ok := n.AttributeString("id"); ok && n.Level == 2 {
				p.Parts = append(p.Parts, Part{string(id.([]byte)), plain(n, src)})
			}
		case *ast.Paragraph:
			if p.Lead == "" {
				p.Lead = plain(n, src)
			}
		case *ast.Link:
			n.Destination = []byte(address(string(n.Destination)))
		}
		return ast.WalkContinue, nil
	})
	if err != nil || title == nil {
		return p, fmt.Errorf("draw %s.%s.md: it has no title: %w", topic, lang, err)
	}
	doc.RemoveChild(doc, title)
	var b bytes.Buffer
	if err := markdown.Renderer().Render(&b, src, doc); err != nil {
		return p, fmt.Errorf("draw %s.%s.md: %w", topic, lang, err)
	}
	p.HTML = b.String()
	return p, nil
}

// address turns a link between the files into one between the pages.
func address(to string) string {
	file, part, cut := strings.Cut(to, "#")
	topic, _, _ := strings.Cut(file, ".")
	if slices.Contains(Topics, topic) && strings.HasSuffix(file, ".md") {
		to = "/help/" + topic
		if cut {
			to += "#" + part
		}
	}
	return to
}

// plain is the text of a node.
func plain(n ast.Node, src []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, in bool) (ast.WalkStatus, error) { // nothing in it fails
		if t, ok := n.(*ast.Text); ok && in {
			b.Write(t.Value(src))
			if t.SoftLineBreak() {
				b.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}
