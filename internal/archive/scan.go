package archive

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
)

// scanEnd says how a scan of a file ended.
type scanEnd struct {
	whole int64 // end of the last whole group
	tag   tag   // tag there
	size  int64
	bad   int64 // first unreadable place, -1 when there is none
	more  bool  // authentic frames lie behind bad: it is damage, not a torn tail
	found bool  // stop was met
}

// scan reads the file from off (0: the beginning) and calls fn for each whole
// group in order. It passes over damage where authentic frames follow. When
// stop is given it ends behind the frame with that tag.
func (j *journal) scan(ctx context.Context, file *jfile, off int64, stop *tag, fn func(*group) error) (end scanEnd, err error) {
	r, err := os.Open(j.path(file.name))
	if err != nil {
		return end, err
	}
	defer r.Close()
	fi, err := r.Stat()
	if err != nil {
		return end, err
	}
	end = scanEnd{size: fi.Size(), bad: -1, whole: fileHeaderLen, tag: file.head.chain()}
	var prev *tag
	if off <= fileHeaderLen {
		off = fileHeaderLen
		prev = &end.tag
	}
	if stop != nil && *stop == end.tag {
		end.found = true
		return end, nil
	}
	var g *group
	for {
		if err := ctx.Err(); err != nil {
			return end, err
		}
		f, err := j.codec.readFrame(r, end.size, off, file.aead, prev)
		if err == io.EOF {
			if g != nil && end.bad < 0 {
				end.bad = g.off // a group without its end
			}
			return end, nil
		}
		if errors.Is(err, errShort) || errors.Is(err, errFrame) {
			if end.bad < 0 {
				end.bad = off
				if g != nil {
					end.bad = g.off
				}
			}
			g = nil
			next := j.codec.findFrame(r, end.size, off+1, file.aead)
			if next < 0 {
				return end, nil
			}
			end.more = true
			off, prev = next, nil
			continue
		}
		if err != nil {
			return end, err
		}
		prev, off = &f.tag, f.end
		if g == nil || g.frames[0].seq != f.seq {
			g = &group{file: file, off: f.off}
		}
		g.frames = append(g.frames, f)
		if f.typ == frameCommit || f.typ == frameSealed {
			g.end, g.tag = f.end, f.tag
			if perr := g.parse(); perr != nil {
				if end.bad < 0 { // its first frames were lost
					end.bad = g.off
				}
				end.more = true
			} else {
				end.whole, end.tag = g.end, g.tag
				if err := fn(g); err != nil {
					return end, err
				}
			}
			g = nil
		}
		if stop != nil && f.tag == *stop {
			end.found = true
			return end, nil
		}
	}
}

func (g *group) parse() error {
	last := g.frames[len(g.frames)-1]
	if last.typ == frameSealed {
		s, err := parseSealed(last.plain)
		g.sealed = s
		return err
	}
	if err := json.Unmarshal(last.plain[:headLen(last.plain)], &g.head); err != nil {
		return errFrame
	}
	if g.head.Frames != len(g.frames)-1 || g.head.Seq != last.seq {
		return errFrame
	}
	return nil
}
