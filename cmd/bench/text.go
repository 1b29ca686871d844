package main

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// text gives the words of messages.
type text struct {
	about string
	lines []string
}

// loadText reads real conversations from dir, or makes words up.
func loadText(dir string) (*text, error) {
	t := &text{}
	names, _ := filepath.Glob(filepath.Join(dir, "*.ndjson.gz"))
	for _, name := range names {
		if err := t.read(name); err != nil {
			return nil, fmt.Errorf("read %s: %w", filepath.Base(name), err)
		}
	}
	if len(t.lines) > 0 {
		t.about = fmt.Sprintf("%d real messages in English and Chinese, ids and times made up", len(t.lines))
		return t, nil
	}
	t.about = "generated (no real conversations found)"
	rng := rand.New(rand.NewPCG(1, 2))
	words := []string{"報價單", "已付款", "please", "check", "the invoice", "送貨", "下午三點", "order", "PO-2026", "客戶", "多謝", "ok", "會議", "contrato", "amanhã", "倉庫", "delivery"}
	for range 20000 {
		s := ""
		for range 2 + rng.IntN(18) {
			s += words[rng.IntN(len(words))] + strconv.Itoa(rng.IntN(90)) + " "
		}
		t.lines = append(t.lines, s)
	}
	return t, nil
}

func (t *text) read(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	sc := bufio.NewScanner(z)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var m struct{ Text string }
		if json.Unmarshal(sc.Bytes(), &m) == nil && m.Text != "" {
			t.lines = append(t.lines, m.Text)
		}
	}
	return sc.Err()
}

// message is message n of a conversation as DingTalk would give it. Ids are
// unlike each other, so that nothing is stored twice for nothing.
func (t *text) message(dst []byte, container string, n uint64, rng *rand.Rand) []byte {
	var id [18]byte
	binary.BigEndian.PutUint64(id[:], rng.Uint64())
	binary.BigEndian.PutUint64(id[8:], n)
	body, _ := json.Marshal(t.lines[rng.IntN(len(t.lines))])
	at := epoch.Add(time.Duration(n) * 7 * time.Second)
	dst = append(dst, `{"openMessageId":"msg`...)
	dst = hex.AppendEncode(dst, id[:])
	dst = append(append(dst, `","openConversationId":"`...), container...)
	dst = append(dst, `","createTime":`...)
	dst = strconv.AppendInt(dst, at.UnixMilli(), 10)
	dst = append(dst, `,"senderId":"user`...)
	dst = strconv.AppendInt(dst, rng.Int64N(186), 10)
	dst = append(append(dst, `","msgType":"text","content":{"text":`...), body...)
	return append(dst, "}}"...)
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// writeSegments makes chat segments of about 256 KiB, mb megabytes together.
func (t *text) writeSegments(dir string, mb int) (n int, bytes int64, err error) {
	rng := rand.New(rand.NewPCG(3, 4))
	var msg uint64
	for bytes < int64(mb)<<20 {
		container := fmt.Sprintf("cid%04x", n/10)
		sub := filepath.Join(dir, "chats", container[3:5], container)
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return n, bytes, err
		}
		var seg []byte
		for len(seg) < 256<<10 {
			seg = append(t.message(seg, container, msg, rng), '\n')
			msg++
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("%04d.ndjson", n%10)), seg, 0o600); err != nil {
			return n, bytes, err
		}
		n++
		bytes += int64(len(seg))
	}
	return n, bytes, nil
}

// writeFiles makes n files of 100 kB that do not compress, as pictures and
// office documents do not.
func writeFiles(dir string, n int) (bytes int64, err error) {
	var seed [32]byte
	src := rand.NewChaCha8(seed)
	buf := make([]byte, 100_000)
	for i := range n {
		sub := filepath.Join(dir, "files", fmt.Sprintf("%02x", i%256))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return bytes, err
		}
		_, _ = src.Read(buf)
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("%05d.bin", i)), buf, 0o600); err != nil {
			return bytes, err
		}
		bytes += int64(len(buf))
	}
	return bytes, nil
}

// writeContainers makes one file a container, of n messages.
func (t *text) writeContainers(dir string, containers, n int) error {
	rng := rand.New(rand.NewPCG(5, 6))
	for c := range containers {
		name := fmt.Sprintf("cid%06x", c)
		sub := filepath.Join(dir, fmt.Sprintf("%02x", c%256))
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return err
		}
		var b []byte
		for i := range n {
			b = append(t.message(b, name, uint64(i), rng), '\n')
		}
		if err := os.WriteFile(filepath.Join(sub, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}
