package archive

import (
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"farol/internal/record"
)

// prepared is a large batch made ready outside the journal's lock, for the
// commit number it will most likely get.
type prepared struct {
	seq   uint64
	parts []part
}

// part is a frame of record lines.
type part struct {
	first int // record
	n     int
	packed
	locs []record.Loc // Off and Len inside the frame
}

// parts smaller than this are not worth a goroutine.
const minParallel = 64 << 10

// prepare hashes the records of p and, when there are many, writes and
// compresses their lines, on all cores. Other commits go on meanwhile; when
// one takes the number that was reckoned with, the lines are written again.
func (a *Archive) prepare(p *pending) {
	parts := split(p.batch.Records)
	if len(parts) == 1 && parts[0].packed.plain < minParallel {
		p.hash(0, len(p.batch.Records))
		return
	}
	a.mu.Lock()
	r := &prepared{seq: a.lastSeq + 1, parts: parts}
	a.mu.Unlock()
	var g errgroup.Group
	g.SetLimit(workers())
	for i := range r.parts {
		part := &r.parts[i]
		g.Go(func() error {
			p.hash(part.first, part.first+part.n)
			part.write(a.codec, p, r.seq)
			return nil
		})
	}
	_ = g.Wait() // none fails
	p.ready = r
}

func (p *pending) hash(from, to int) {
	for i := from; i < to; i++ {
		r := &p.batch.Records[i]
		p.hashes[i] = r.Hash()
		p.leaves[i] = leafHash(r, p.hashes[i])
	}
}

// split cuts records into frames of about chunkLen.
func split(recs []record.Record) []part {
	parts := []part{{}}
	for i := range recs {
		last := &parts[len(parts)-1]
		if last.packed.plain >= chunkLen {
			parts = append(parts, part{first: i})
			last = &parts[len(parts)-1]
		}
		last.n++
		last.packed.plain += len(recs[i].Raw) + 320 // about; the envelope varies
	}
	return parts
}

// room is used again and again: a batch of 10,000 would leave 15 MB of garbage
// otherwise, and the collector's work shows in the slowest commits.
var linesRoom, bodyRoom = newRoom(), newRoom()

func newRoom() *sync.Pool { return &sync.Pool{New: func() any { return new([]byte) }} }

func (t *part) write(c *codec, p *pending, seq uint64) {
	room, body := linesRoom.Get().(*[]byte), bodyRoom.Get().(*[]byte)
	lines := slices.Grow((*room)[:0], t.packed.plain+t.packed.plain/8)
	t.locs = make([]record.Loc, t.n)
	for i := range t.n {
		off := len(lines)
		lines = appendLine(lines, &p.batch.Records[t.first+i], p.hashes[t.first+i], seq, t.first+i)
		t.locs[i] = record.Loc{Off: int64(off), Len: int64(len(lines) - off)}
	}
	t.packed = c.packIn(*body, lines)
	if t.packed.flags&flagZstd != 0 { // else the lines are what is kept
		*room = lines
		linesRoom.Put(room)
	}
}

// done gives the room of what the journal has taken back.
func (t *part) done() {
	if t.packed.flags&flagZstd != 0 {
		body := t.packed.body
		t.packed.body = nil
		bodyRoom.Put(&body)
	}
}

// size is about what the parts take in the journal.
func (r *prepared) size() (n int) {
	for _, t := range r.parts {
		n += len(t.packed.body) + frameHeadLen + tagLen
	}
	return n
}

// leafHash is record.LeafHash of the record's leaf without hashing its bytes
// a second time.
func leafHash(r *record.Record, h record.Hash) record.Hash {
	var buf [512]byte
	b := append(buf[:0], r.Kind...)
	b = append(append(b, '\n'), r.Container...)
	b = append(append(b, '\n'), r.ID...)
	b = strconv.AppendInt(append(b, '\n'), r.Time.UnixMilli(), 10)
	b = append(appendHash(append(b, '\n'), h), '\n')
	return record.LeafHash(b)
}
