package backup

import (
	"time"

	"farol/internal/catalog"
	"farol/internal/record"
)

// origin says where a page comes from.
type origin struct {
	born  time.Time // of the event behind it, zero without one
	asked time.Time // when upstream was asked for it
}

// recent remembers what was committed last, because two lanes may read the same
// item at the same time: the second would commit the same version again, or
// an older one after a newer. It is owned by the committer.
type recent struct{ now, before map[record.Ref]reading }

type reading struct {
	ver   int64
	asked time.Time
}

// buried stands for the version of a tombstone: it is none of those that were
// listed, and who lists the item afterwards has another again.
const buried = -1

// manyRecent outlasts the seconds between reading a page and committing it.
const manyRecent = 50_000

func (r *recent) find(ref record.Ref) (reading, bool) {
	v, ok := r.now[ref]
	if !ok {
		v, ok = r.before[ref]
	}
	return v, ok
}

// note takes in what is about to be committed. It reports false for what
// another lane committed already, or a newer reading of it.
func (r *recent) note(ref record.Ref, ver int64, asked time.Time, missing bool) bool {
	if asked.IsZero() {
		return true
	}
	if v, ok := r.find(ref); ok && (v.ver == ver || v.asked.After(asked)) {
		return false
	}
	if missing {
		delete(r.now, ref)
		delete(r.before, ref)
		return true // whoever brings the attachment must get through
	}
	if len(r.now) >= manyRecent {
		r.before, r.now = r.now, nil
	}
	if r.now == nil {
		r.now = map[record.Ref]reading{}
	}
	r.now[ref] = reading{ver, asked}
	return true
}

// drop takes out of a batch what raced.
func (r *recent) drop(batch []*work) {
	for _, w := range batch {
		keep := 0
		for i := range w.recs {
			ver := catalog.Ver(record.HashOf(w.recs[i].Raw))
			if w.recs[i].Deleted {
				ver = buried
			}
			if !r.note(w.recs[i].Ref, ver, w.asked, w.missing[i]) {
				w.dropped++
				continue
			}
			w.recs[keep], w.missing[keep] = w.recs[i], w.missing[i]
			keep++
		}
		w.recs, w.missing = w.recs[:keep], w.missing[:keep]
	}
}

// forget is for a batch that was not committed after all.
func (r *recent) forget(batch []*work) {
	for _, w := range batch {
		for i := range w.recs {
			delete(r.now, w.recs[i].Ref)
			delete(r.before, w.recs[i].Ref)
		}
	}
}
