package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Expiry says that the content of an entry is gone, and by which rule.
type Expiry struct {
	Time  time.Time `json:"time_utc"` // of the entry
	Class string    `json:"log_class"`
	At    time.Time `json:"expired_utc"`
}

// A tomb takes the place of an entry's sealed bytes, as long as they were: the
// mark, a length of two bytes, what is sealed, zeros. Sealed are the leaf of 32
// bytes, the entry's time and that of the expiry in milliseconds, and the class.
// It is sealed so that nobody without the key can bury an entry.
const tombMark = "\x00FAROL\xffX"

func tombAAD(seq int64) []byte { return fmt.Appendf(nil, "farol audit expired %d", seq) }

var errTombSize = errors.New("the entry is too short to be replaced")

// tomb makes the bytes that replace size bytes of entry seq.
func (l *Log) tomb(seq int64, leaf []byte, x Expiry, size int) ([]byte, error) {
	plain := append([]byte{}, leaf...)
	plain = binary.BigEndian.AppendUint64(plain, uint64(x.Time.UnixMilli()))
	plain = binary.BigEndian.AppendUint64(plain, uint64(x.At.UnixMilli()))
	plain = append(plain, x.Class...)
	sealed := l.box.Seal(plain, tombAAD(seq))
	out := append([]byte(tombMark), binary.BigEndian.AppendUint16(nil, uint16(len(sealed)))...)
	out = append(out, sealed...)
	if len(out) > size {
		return nil, fmt.Errorf("expire audit entry %d: %w", seq, errTombSize)
	}
	return append(out, make([]byte, size-len(out))...), nil
}

func (l *Log) openTomb(seq int64, b []byte) (opened, error) {
	var o opened
	bad := func(why error) (opened, error) {
		return o, fmt.Errorf("%w: what says that audit entry %d has expired was not written by this log: %w", ErrTampered, seq, why)
	}
	rest := b[len(tombMark):]
	if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
		return bad(io.ErrUnexpectedEOF)
	}
	plain, err := l.box.Open(rest[2:2+binary.BigEndian.Uint16(rest)], tombAAD(seq))
	if err != nil {
		return bad(err)
	}
	if len(plain) < 48 {
		return bad(io.ErrUnexpectedEOF)
	}
	ms := func(b []byte) time.Time { return time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC() }
	return opened{leaf: plain[:32], gone: &Expiry{Time: ms(plain[32:]), At: ms(plain[40:]), Class: string(plain[48:])}}, nil
}
