package simulator

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"
)

// content is the bytes of a file, a picture or a voice message. Generated
// content is made again whenever it is asked for: a tenant's files would
// otherwise fill the memory of every test.
type content struct {
	kind  string // docx, xlsx, pptx, pdf, png, jpg, wav, csv, txt, noise
	seed  uint64
	title string
	data  []byte // uploaded bytes; nil when generated

	once sync.Once
	size int64
	sum  string
}

func (c *content) bytes() []byte {
	if c.data != nil {
		return c.data
	}
	return generate(c.kind, c.seed, c.title)
}

func (c *content) measure() {
	c.once.Do(func() {
		b := c.bytes()
		sum := sha256.Sum256(b)
		c.size, c.sum = int64(len(b)), hex.EncodeToString(sum[:])
	})
}

func (c *content) length() int64 { c.measure(); return c.size }

func (c *content) digest() string { c.measure(); return c.sum }

// media is a picture or a voice message inside a chat.
type media struct {
	id, name string
	content  *content
}

func (t *tenant) newMedia(id, kind string, seed uint64) *media {
	m := &media{id: id, content: &content{kind: "wav", seed: seed}}
	switch {
	case kind == "voice":
	case seed%3 == 0:
		m.content.kind = "png"
	default:
		m.content.kind = "jpg"
	}
	m.name = "IMG_" + hex.EncodeToString([]byte{byte(seed >> 16), byte(seed >> 8), byte(seed)}) + "." + m.content.kind
	if kind == "voice" {
		m.name = "voice_" + hex.EncodeToString([]byte{byte(seed >> 8), byte(seed)}) + ".wav"
	}
	t.media[id] = m
	return m
}

// generate makes the bytes of one file from nothing but its arguments.
func generate(kind string, seed uint64, title string) []byte {
	r := newRand(seed, "content:"+kind)
	switch kind {
	case "docx":
		return makeDocx(r, title)
	case "pptx":
		return makePptx(r, title)
	case "xlsx":
		return makeXlsx(r, title)
	case "pdf":
		return makePDF(r, title)
	case "png", "jpg":
		return makePicture(r, kind)
	case "wav":
		return makeVoice(r)
	case "csv":
		return makeCSV(r)
	case "noise":
		return makeNoise(r, title)
	}
	return []byte(title + "\r\n\r\n" + prose(r, 12))
}
