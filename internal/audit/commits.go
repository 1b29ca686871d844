package audit

import (
	"fmt"
	"strconv"
	"strings"
)

// commits finds the entry that witnesses a commit. It is filled while the log
// is read or written; numbers are the entries' own.
type commits map[uint64]int64

func (c commits) note(e *Entry) {
	if e.Operation != OperationCommit {
		return
	}
	if n, err := strconv.ParseUint(strings.TrimPrefix(e.Object, "commit/"), 10, 64); err == nil {
		c[n] = e.Seq
	}
}

// FindCommit returns the number of the entry that witnesses commit seq.
func (l *Log) FindCommit(seq uint64) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.commits == nil { // first question: one pass over the log
		l.commits = commits{}
		for i := range l.tree.N {
			_, e, err := l.entryAt(i)
			if err != nil {
				return 0, err
			}
			l.commits.note(&e)
		}
	}
	n, ok := l.commits[seq]
	if !ok {
		return 0, fmt.Errorf("the entry of commit %d: %w", seq, ErrNotFound)
	}
	return n, nil
}
