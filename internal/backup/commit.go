package backup

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/watch"
)

// work is a page ready to be committed: only new versions, bytes fetched.
type work struct {
	ctx     context.Context
	recs    []record.Record
	missing []bool // an attachment of the record is missing
	facts   []watch.Fact
	cursors map[string]string
	origin
	dropped int64 // taken out, because another lane had committed it
	done    chan error
}

// maxMerge bounds how many records share a commit.
const maxMerge = 4000

// commitLoop takes whatever pages wait and makes them one commit.
func (e *Engine) commitLoop(ctx context.Context) error {
	for {
		var batch []*work
		select {
		case <-ctx.Done():
			return ctx.Err()
		case w := <-e.queue:
			batch = append(batch, w)
		}
		n := len(batch[0].recs)
	gather:
		for n < maxMerge {
			select {
			case w := <-e.queue:
				batch = append(batch, w)
				n += len(w.recs)
			default:
				break gather
			}
		}
		err := e.commit(ctx, batch)
		for _, w := range batch {
			w.done <- err
		}
		if errors.Is(err, errAfterArchive) {
			return err // the views are behind the archive: stop, restart repairs
		}
	}
}

// submit hands a page to the committer and waits until it is durable.
func (e *Engine) submit(ctx context.Context, w *work) error {
	if len(w.recs) == 0 && len(w.cursors) == 0 {
		return nil
	}
	w.ctx, w.done = ctx, make(chan error, 1)
	select {
	case e.queue <- w:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err() // the commit may still happen; work repeats, nothing is lost
	}
}

// errAfterArchive marks a failure after the archive had acknowledged.
var errAfterArchive = errors.New("the archive is ahead of its views")

func (e *Engine) commit(ctx context.Context, batch []*work) error {
	b := archive.Batch{Cursors: map[string]string{}}
	e.recent.drop(batch)
	var missing []bool
	for _, w := range batch {
		b.Records = append(b.Records, w.recs...)
		missing = append(missing, w.missing...)
		for k, v := range w.cursors {
			b.Cursors[k] = v
		}
	}
	if len(b.Records) == 0 && len(b.Cursors) == 0 {
		return nil
	}
	c, err := e.d.Archive.Commit(ctx, b)
	if err != nil {
		e.recent.forget(batch)
		return fmt.Errorf("commit to the archive: %w", err)
	}
	// From here on the records are safe; a person's cancel must not stop the
	// two views half way.
	ctx = context.WithoutCancel(ctx)
	if err := e.witness(ctx, c); err != nil {
		return errors.Join(errAfterArchive, err)
	}
	if err := e.apply(ctx, c, missing); err != nil {
		return errors.Join(errAfterArchive, err)
	}
	e.d.Archive.Applied(c.Seq)
	e.tellCommitted(ctx, c.Seq, batch)
	now := e.d.Now()
	for _, w := range batch {
		if !w.born.IsZero() {
			e.lag.add(now.Sub(w.born))
		}
	}
	return nil
}

// witness binds the commit's root into the audit log, once.
func (e *Engine) witness(ctx context.Context, c *archive.Commit) error {
	if c.Seq <= e.witnessed || len(c.Records) == 0 {
		return nil
	}
	_, err := e.d.Audit.Append(ctx, audit.Event{Actor: "system", Operation: audit.OperationCommit, Object: "commit/" + strconv.FormatUint(c.Seq, 10), Hash: c.Root.String(),
		Outcome: "ok", Detail: map[string]string{"records": strconv.Itoa(len(c.Records))}})
	if err != nil {
		return fmt.Errorf("witness commit %d: %w", c.Seq, err)
	}
	e.witnessed = c.Seq
	return nil
}

// apply brings the catalog forward by one commit.
func (e *Engine) apply(ctx context.Context, c *archive.Commit, missing []bool) error {
	rows := make([]catalog.Row, len(c.Records))
	depts := false
	for i := range c.Records {
		rows[i] = e.Row(&c.Records[i], c.Locs[i], i)
		e.described(&rows[i])
		if missing != nil && missing[i] {
			rows[i].State |= catalog.Incomplete
		}
		depts = depts || rows[i].OfDept != nil
	}
	if err := e.d.Catalog.Apply(ctx, c.Seq, rows); err != nil {
		return err
	}
	if depts {
		return e.loadDepts(ctx)
	}
	return nil
}

// Row is a record as the catalog takes it. It depends on the record alone and
// on the departments, so that a rebuilt catalog equals the one lost. An
// attachment is missing when the item names more files than the record holds.
func (e *Engine) Row(rec *record.Record, loc record.Loc, index int) catalog.Row {
	return e.row(rec, loc, index, e.deptNames)
}

func (e *Engine) row(rec *record.Record, loc record.Loc, index int, names func(dept int64) []string) catalog.Row {
	row := catalog.Row{Ref: rec.Ref, Ver: record.HashOf(rec.Raw), Time: rec.Time, Author: catalog.Person{Key: rec.Author}, Class: record.Internal,
		Bytes: int64(len(rec.Raw)), Index: index, Loc: loc, Dept: rec.Dept}
	for _, b := range rec.Blobs {
		row.Bytes += b.Size
	}
	if rec.Deleted {
		row.State |= catalog.Tombstone
	}
	if connector.IsDescribing(rec.Ref) {
		row.State |= catalog.Describes
	}
	conn := e.kinds[rec.Kind]
	doc, err := conn.Document(rec)
	if err != nil {
		doc = connector.Document{} // shown as raw bytes; the record itself is safe
	}
	if doc.Author.Name != "" {
		row.Author = catalog.Person{Key: rec.Author, Name: doc.Author.Name}
	} else if u, ok := e.people.User(rec.Author); ok {
		row.Author.Name = u.Name
	}
	row.Container, row.OfDept, row.Gone = doc.Container, doc.Dept, rec.Deleted
	private := doc.Container != nil && doc.Container.Private || e.private(rec)
	if private {
		row.State |= catalog.Private
	}
	if !connector.IsDescribing(rec.Ref) {
		row.Text = doc.Text()
	}
	if len(doc.Files) > len(rec.Blobs) {
		row.State |= catalog.Incomplete
	}
	facts := policy.Facts{Kind: rec.Kind, Private: private, DeptNames: names(rec.Dept), Title: doc.Title, Text: doc.Body}
	row.Class = policy.Classify(facts)
	if err != nil { // nobody knows what it says
		row.Class = max(row.Class, record.Confidential)
	}
	row.State |= int(policy.RealmsOf(facts)) * catalog.Finance
	if l, ok := conn.(connector.Learner); ok {
		l.Learn(rec, e.people)
	}
	return row
}

// private tells whether a record belongs to a 1:1 conversation. The record
// that describes a conversation is committed before what it holds.
func (e *Engine) private(rec *record.Record) bool {
	src, ok := e.source(rec.Kind, rec.Container)
	return ok && src.Private
}
