// Package connector is the contract that every kind of data meets: how to list
// what holds it, how to read it from cursor to cursor, and what an item looks
// like to a person. One folder below holds one kind; all lists them.
//
// A connector reads upstream and shapes records. It decides nothing about
// storage, keeps no state between calls, and never treats absence from a page
// as a deletion.
package connector

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"farol/internal/dingtalk"
	"farol/internal/record"
)

// Connector is one kind of data.
type Connector interface {
	Kind() record.Kind
	// Sources lists what holds items of this kind now, with the records that
	// describe each, and calls found for each as soon as it is known, one at a
	// time. A listing that is incomplete goes on with the rest and returns the
	// error at the end; an error of found ends it at once.
	Sources(ctx context.Context, env *Env, found func(Source) error) error
	// Pull reads one source from cursor on and hands over pages, oldest first.
	// cursor is the Cursor of an earlier page; "" reads everything. emit returns
	// after the page is durable; when it fails Pull returns that error at once.
	Pull(ctx context.Context, env *Env, src Source, cursor string, emit func(Page) error) error
	// Document shows an item of this kind.
	Document(rec *record.Record) (Document, error)
}

// Eventer is implemented by kinds that DingTalk sends events for.
type Eventer interface {
	// Hint says what an event makes worth reading; ok is false when the event
	// is of another kind.
	Hint(ev dingtalk.Event) (h Hint, ok bool)
	// PullItem reads one item that a hint named.
	PullItem(ctx context.Context, env *Env, src Source, id string) (Item, error)
}

// Learner is implemented by kinds whose records fill the [Directory].
type Learner interface {
	Learn(rec *record.Record, people *Directory)
}

// Confirmer is implemented by kinds whose full listing can show that an item
// is gone. Gone asks about one item that a complete walk did not list.
type Confirmer interface {
	Gone(ctx context.Context, env *Env, rec *record.Record) (bool, error)
}

// Personal is implemented by kinds of which something can be one person's own.
type Personal interface {
	// Own shows an item as the person who made it may have it back: without a
	// word that others wrote in it. him tells his keys from others'. ok is false
	// when the item is not his alone.
	Own(rec *record.Record, him func(key string) bool) (own Own, ok bool)
}

// Own is an item as its maker sees it.
type Own struct {
	Document       // without what others wrote
	Blobs    []int // the numbers of the record's attachments that are his
	Omitted  bool  // others wrote something in it that is left out
}

// Hint is what an event is worth: read this source on from its cursor, or this
// one item of it.
type Hint struct {
	Container string // "" = list the sources anew
	Item      string
	Fresh     bool // the item is new: reading on from the cursor finds it too
}

// Namer is implemented by kinds whose items can be read by name, many in one
// call, through a reader who sees all of them. The page has no cursor, and
// lacks the items that upstream does not give. NamesPerCall may be exceeded,
// which takes more calls.
type Namer interface {
	PullNamed(ctx context.Context, env *Env, reader string, want []Named) (Page, error)
}

// NamesPerCall is how many items a call may name (list_messages_by_ids).
const NamesPerCall = 50

// Named is one item to be read.
type Named struct {
	Source Source
	ID     string
}

// Env is what a connector may use during one run.
type Env struct {
	Client   *dingtalk.Client
	CorpID   string
	Operator string   // unionId of the employee named for drive access
	Readers  []string // userIds of members whose consent stands
	People   *Directory
	Log      *slog.Logger
	Now      func() time.Time
	// Conversations calls fn for every conversation that the chat kind finds,
	// as it finds them, and returns when its listing has ended.
	Conversations func(ctx context.Context, fn func(Source) error) error
}

// Source is a container with how to read it.
type Source struct {
	record.Container
	Describe []record.Record // the listing's own rows: ID "@" and the like
	Via      []string        // members who can read it, first choice first
}

// Item is a record whose attached bytes are still upstream.
type Item struct {
	Rec    record.Record
	Attach []Attachment
}

// Attachment is bytes that belong to an item.
type Attachment struct {
	Key  string // stable upstream name inside the item, for gaps
	Name string
	Size int64 // as listed upstream, -1 unknown
	Open func(ctx context.Context) (io.ReadCloser, int64, error)
}

// Page is some items and the cursor that stands after them.
type Page struct {
	Items  []Item
	Cursor string    // "" leaves the stored cursor as it is
	Asked  time.Time // when upstream was asked for it
	Walked bool      // the walk from beginning to end is complete
	Lost   []Lost    // items that were listed but could not be read
	Done   float64   // how much of the source is read, 0 to 1, an estimate; 0 unknown
}

// Lost is a listed item that this page does not hold, with the reason.
type Lost struct {
	ID  string
	Err error
}

// Describing is the prefix of the ids of records that describe a container.
const Describing = "@"

// IsDescribing reports whether a record describes its container.
func IsDescribing(ref record.Ref) bool { return len(ref.ID) > 0 && ref.ID[0] == '@' }

// Document is an item as a person sees it. Every kind fills the same fields,
// so no other package learns the kind.
type Document struct {
	Title  string
	Body   string
	Author Person
	Time   time.Time
	Fields []Field
	Files  []string // names of attachments, in the order of the record's blobs
	Reply  *Quote
	State  State
	// set on records that describe something
	Container *record.Container
	Dept      *record.Dept
}

// Person is an upstream person key with the name seen with it.
type Person struct{ Key, Name string }

// Field is a labelled value. Label is a message id of the catalogs when it
// begins with "field.", else upstream's own words.
type Field struct{ Label, Value string }

// Quote is the message an item answers.
type Quote struct{ Author, Text string }

// State is what happened to an item upstream.
type State struct {
	Edited   time.Time
	Recalled bool
	Running  bool // an approval still under way
}

// Text is what search finds of a document.
func (d *Document) Text() string {
	n := len(d.Title) + len(d.Body) + 2
	for _, f := range d.Fields {
		n += len(f.Value) + 1
	}
	b := make([]byte, 0, n)
	add := func(s string) {
		if s == "" {
			return
		}
		if len(b) > 0 {
			b = append(b, '\n')
		}
		b = append(b, s...)
	}
	add(d.Title)
	add(d.Body)
	for _, f := range d.Fields {
		add(f.Value)
	}
	for _, f := range d.Files {
		add(f)
	}
	return string(b)
}

// IsGone reports whether err says that upstream no longer has the item.
func IsGone(err error) bool { return errors.Is(err, dingtalk.ErrNotFound) }
