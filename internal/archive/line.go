package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"farol/internal/record"
)

// A record is one line of NDJSON, the same bytes in the journal and in a
// segment. Raw stands last and verbatim, so it is sliced out and never
// re-marshalled; an envelope field cannot imitate its key, because a quote
// inside a JSON string is escaped.
const (
	rawKey    = `,"raw":`
	base64Key = `,"raw_base64":`
	timeForm  = "2006-01-02T15:04:05.000Z"

	// bytesPrefix marks a string that is not valid UTF-8 (or begins with the
	// prefix itself): JSON could not carry it byte by byte.
	bytesPrefix = "base64:"
)

type envelope struct {
	Kind      record.Kind `json:"kind"`
	Container string      `json:"container"`
	ID        string      `json:"id"`
	Time      time.Time   `json:"time"`
	Author    string      `json:"author"`
	Dept      int64       `json:"dept"`
	Commit    uint64      `json:"commit"`
	Index     int         `json:"index"`
	SHA256    record.Hash `json:"sha256"`
	Deleted   bool        `json:"deleted"`
	Blobs     []blobLine  `json:"blobs"`
}

type blobLine struct {
	Name   string      `json:"name"`
	Size   int64       `json:"size"`
	SHA256 record.Hash `json:"sha256"`
	Object string      `json:"object"`
	MIME   string      `json:"mime,omitempty"`
}

// entry is a record with its place among the commits.
type entry struct {
	rec    record.Record
	hash   record.Hash
	commit uint64
	index  int
}

func safeString(s string) string {
	if utf8.ValidString(s) && !strings.HasPrefix(s, bytesPrefix) {
		return s
	}
	return bytesPrefix + base64.StdEncoding.EncodeToString([]byte(s))
}

func plainString(s string) (string, error) {
	rest, ok := strings.CutPrefix(s, bytesPrefix)
	if !ok {
		return s, nil
	}
	b, err := base64.StdEncoding.DecodeString(rest)
	return string(b), err
}

func appendString(dst []byte, s string) []byte {
	s = safeString(s)
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			b, _ := json.Marshal(s) // a valid string always marshals
			return append(dst, b...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendHash(dst []byte, h record.Hash) []byte { return hex.AppendEncode(dst, h[:]) }

// appendLine appends record number index of a commit as one line, newline
// included.
func appendLine(dst []byte, r *record.Record, h record.Hash, commit uint64, index int) []byte {
	dst = appendString(append(dst, `{"kind":`...), string(r.Kind))
	dst = appendString(append(dst, `,"container":`...), r.Container)
	dst = appendString(append(dst, `,"id":`...), r.ID)
	dst = r.Time.UTC().AppendFormat(append(dst, `,"time":"`...), timeForm)
	dst = appendString(append(dst, `","author":`...), r.Author)
	dst = strconv.AppendInt(append(dst, `,"dept":`...), r.Dept, 10)
	dst = strconv.AppendUint(append(dst, `,"commit":`...), commit, 10)
	dst = strconv.AppendInt(append(dst, `,"index":`...), int64(index), 10)
	dst = appendHash(append(dst, `,"sha256":"`...), h)
	dst = append(dst, '"')
	if r.Deleted {
		dst = append(dst, `,"deleted":true`...)
	}
	if len(r.Blobs) > 0 {
		lines := make([]blobLine, len(r.Blobs))
		for i, b := range r.Blobs {
			lines[i] = blobLine{safeString(b.Name), b.Size, b.SHA256, b.Object, safeString(b.MIME)}
		}
		b, _ := json.Marshal(lines)
		dst = append(append(dst, `,"blobs":`...), b...)
	}
	if json.Valid(r.Raw) && bytes.IndexByte(r.Raw, '\n') < 0 {
		dst = append(append(dst, rawKey...), r.Raw...)
	} else {
		dst = append(append(dst, base64Key...), '"')
		dst = base64.StdEncoding.AppendEncode(dst, r.Raw)
		dst = append(dst, '"')
	}
	return append(dst, "}\n"...)
}

func badLine(what string) error { return fmt.Errorf("record line: %s: %w", what, ErrCorrupt) }

// splitLine slices a line into envelope and raw; both share its memory.
func splitLine(line []byte) (head, raw []byte, base64ed bool, err error) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	if len(line) < 2 || line[len(line)-1] != '}' {
		return nil, nil, false, badLine("cut")
	}
	line = line[:len(line)-1]
	head, raw, ok := bytes.Cut(line, []byte(rawKey))
	if h64, r64, ok64 := bytes.Cut(line, []byte(base64Key)); ok64 && (!ok || len(h64) < len(head)) {
		if len(r64) < 2 {
			return nil, nil, false, badLine("cut")
		}
		return h64, r64[1 : len(r64)-1], true, nil
	}
	if !ok {
		return nil, nil, false, badLine("no raw")
	}
	return head, raw, false, nil
}

// quickHead reads an envelope that is written exactly as appendLine does, with
// no string that needed an escape. It is ten times as fast as parseHead's way
// for the rest.
func quickHead(head []byte) (e entry, ok bool) {
	q := quick{head, true}
	q.expect(`{"kind":"`)
	e.rec.Kind = record.Kind(q.text())
	q.expect(`,"container":"`)
	e.rec.Container = q.text()
	q.expect(`,"id":"`)
	e.rec.ID = q.text()
	q.expect(`,"time":"`)
	at := q.text()
	q.expect(`,"author":"`)
	e.rec.Author = q.text()
	q.expect(`,"dept":`)
	e.rec.Dept = q.number()
	q.expect(`,"commit":`)
	e.commit = uint64(q.number())
	q.expect(`,"index":`)
	e.index = int(q.number())
	q.expect(`,"sha256":"`)
	sum := q.text()
	if len(q.b) > 0 && q.ok && string(q.b) == `,"deleted":true` {
		e.rec.Deleted, q.b = true, nil
	}
	if !q.ok || len(q.b) > 0 || len(sum) != 2*len(e.hash) || e.commit > 1<<62 {
		return e, false
	}
	if _, err := hex.Decode(e.hash[:], []byte(sum)); err != nil {
		return e, false
	}
	var err error
	e.rec.Time, err = time.Parse(timeForm, at)
	return e, err == nil
}

type quick struct {
	b  []byte
	ok bool
}

func (q *quick) expect(s string) {
	if q.ok = q.ok && len(q.b) >= len(s) && string(q.b[:len(s)]) == s; q.ok {
		q.b = q.b[len(s):]
	}
}

// text is a string up to its closing quote.
func (q *quick) text() string {
	for i, c := range q.b {
		if c == '"' {
			s := string(q.b[:i])
			q.b = q.b[i+1:]
			q.ok = q.ok && utf8.ValidString(s) && !strings.HasPrefix(s, bytesPrefix)
			return s
		}
		if c == '\\' || c < 0x20 {
			break
		}
	}
	q.ok = false
	return ""
}

func (q *quick) number() int64 {
	n := 0
	for n < len(q.b) && (q.b[n] == '-' || q.b[n] >= '0' && q.b[n] <= '9') {
		n++
	}
	v, err := strconv.ParseInt(string(q.b[:n]), 10, 64)
	q.b = q.b[n:]
	q.ok = q.ok && err == nil
	return v
}

// parseHead reads everything but the raw bytes.
func parseHead(head []byte) (e entry, err error) {
	if e, ok := quickHead(head); ok {
		return e, nil
	}
	var v envelope
	if err := json.Unmarshal(append(head[:len(head):len(head)], '}'), &v); err != nil {
		return e, badLine("envelope")
	}
	r := record.Record{
		Ref:  record.Ref{Kind: v.Kind, Container: v.Container, ID: v.ID},
		Time: v.Time.UTC(), Author: v.Author, Dept: v.Dept, Deleted: v.Deleted,
	}
	for _, s := range []*string{&r.Container, &r.ID, &r.Author} {
		if *s, err = plainString(*s); err != nil {
			return e, badLine("string")
		}
	}
	for _, b := range v.Blobs {
		name, err1 := plainString(b.Name)
		mime, err2 := plainString(b.MIME)
		if err1 != nil || err2 != nil {
			return e, badLine("string")
		}
		r.Blobs = append(r.Blobs, record.Blob{Name: name, Size: b.Size, SHA256: b.SHA256, Object: b.Object, MIME: mime})
	}
	return entry{rec: r, hash: v.SHA256, commit: v.Commit, index: v.Index}, nil
}

// parseLine is the inverse of appendLine, with or without the newline. The
// record shares no memory with line. It returns ErrCorrupt when the line is
// not one or when the record is not the one that was hashed.
func parseLine(line []byte) (e entry, err error) {
	e, _, err = parseWanted(line, nil)
	return e, err
}

// parseWanted is parseLine for lines whose name want accepts, all when nil.
func parseWanted(line []byte, want func(record.Ref) bool) (e entry, ok bool, err error) {
	head, raw, base64ed, err := splitLine(line)
	if err != nil {
		return e, false, err
	}
	if e, err = parseHead(head); err != nil {
		return e, false, err
	}
	if want != nil && !want(e.rec.Ref) {
		return e, false, nil
	}
	if !base64ed {
		e.rec.Raw = bytes.Clone(raw)
	} else if e.rec.Raw, err = base64.StdEncoding.AppendDecode([]byte{}, raw); err != nil {
		return e, false, badLine("base64")
	}
	if e.rec.Hash() != e.hash {
		return e, false, fmt.Errorf("record %d of commit %d differs from its hash: %w", e.index, e.commit, ErrCorrupt)
	}
	return e, true, nil
}

// eachLine calls fn for every line with its place.
func eachLine(plain []byte, base int64, fn func(line []byte, off int64) error) error {
	for off := 0; off < len(plain); {
		n := bytes.IndexByte(plain[off:], '\n')
		if n < 0 {
			return fmt.Errorf("the last record line is cut: %w", ErrCorrupt)
		}
		if err := fn(plain[off:off+n+1], base+int64(off)); err != nil {
			return err
		}
		off += n + 1
	}
	return nil
}
