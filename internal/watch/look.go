package watch

import (
	"bytes"
	"io"
	"math"
	"path"
	"strings"
	"unicode/utf8"
)

// Signs are what the bytes and the name of one file say.
type Signs int

// The signs.
const (
	Noise Signs = 1 << iota // bytes like chance, where the name or an earlier version promises something else
	Named                   // the name ends as ransom programs rename files
	Note                    // the name is that of a ransom note
)

// Costs of a Look: however long a file is, no more than this is counted.
const (
	headBytes   = 4 << 10  // looked at whole: the magic lies here, and programs in a hurry encrypt only this
	stretch     = 4 << 10  // length of a later sample
	stretchGap  = 64 << 10 // from one sample to the next, doubled after each
	sampleLimit = 64 << 10
)

// Look is an io.Writer that sees a file pass and remembers how it looks. It
// keeps the first 4 KiB and counts short samples of the rest, ever further
// apart. The zero value is ready.
type Look struct {
	head    []byte
	counts  [256]uint32
	sampled int
	pos     int64 // bytes that have passed
	next    int64 // where the next sample begins
	gap     int64
}

// Write counts the parts of p that fall into a sample. It never fails.
func (l *Look) Write(p []byte) (int, error) {
	if n := min(headBytes-len(l.head), len(p)); n > 0 {
		l.head = append(l.head, p[:n]...)
	}
	start, end := l.pos, l.pos+int64(len(p))
	if l.gap == 0 {
		l.gap = stretchGap
	}
	for l.sampled < sampleLimit && l.next < end {
		from := max(l.next, start)
		to := min(l.next+stretch, end)
		for _, b := range p[from-start : max(to, from)-start] {
			l.counts[b]++
		}
		l.sampled += int(max(to-from, 0))
		if to < l.next+stretch {
			break // the sample goes on in the next p
		}
		l.next += l.gap
		l.gap *= 2
	}
	l.pos = end
	return len(p), nil
}

// LookAt is the look of what r holds, reading no more of it than it must.
func LookAt(r io.Reader) (*Look, error) {
	var l Look
	if _, err := io.CopyN(&l, r, stretchGap); err != nil && err != io.EOF {
		return nil, err
	}
	return &l, nil
}

// Format is the kind of file that the first bytes are of, "" when they are of
// none that is known.
func (l *Look) Format() string { return sniff(l.head) }

// Random reports whether the bytes cannot be told from chance: the samples as
// a whole, or the head alone.
func (l *Look) Random() bool {
	var head [256]uint32
	for _, b := range l.head {
		head[b]++
	}
	return random(&l.counts, l.sampled) || random(&head, len(l.head))
}

// Odd reports bytes of no known format that look like chance.
func (l *Look) Odd() bool { return l.Format() == "" && l.Random() }

// entropy is Shannon's, in bits a byte.
func entropy(counts *[256]uint32, n int) (h float64) {
	for _, c := range counts {
		if c > 0 {
			p := float64(c) / float64(n)
			h -= p * math.Log2(p)
		}
	}
	return h
}

// random compares the entropy with what n bytes of chance have on average: a
// short sample cannot reach 8 bits (Miller and Madow).
func random(counts *[256]uint32, n int) bool {
	if n < 512 {
		return false // too short to tell
	}
	return entropy(counts, n) > 8-255/(2*math.Ln2*float64(n))*1.5-0.02
}

// magics are the first bytes of common formats, at an offset.
var magics = []struct {
	format string
	at     int
	bytes  string
}{
	{"zip", 0, "PK\x03\x04"}, {"zip", 0, "PK\x05\x06"}, {"pdf", 0, "%PDF"}, {"png", 0, "\x89PNG"}, {"jpg", 0, "\xff\xd8\xff"}, {"gif", 0, "GIF8"},
	{"ole", 0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"}, {"rar", 0, "Rar!"}, {"7z", 0, "7z\xbc\xaf\x27\x1c"}, {"gz", 0, "\x1f\x8b"}, {"mp4", 4, "ftyp"},
	{"riff", 0, "RIFF"}, {"mp3", 0, "ID3"}, {"mp3", 0, "\xff\xfb"}, {"mp3", 0, "\xff\xf3"}, {"amr", 0, "#!AMR"}, {"ogg", 0, "OggS"}, {"flac", 0, "fLaC"},
	{"rtf", 0, "{\\rtf"}, {"psd", 0, "8BPS"}, {"dwg", 0, "AC10"}, {"bz2", 0, "BZh"}, {"xz", 0, "\xfd7zXZ"}, {"zst", 0, "\x28\xb5\x2f\xfd"},
	{"bmp", 0, "BM"}, {"tif", 0, "II*\x00"}, {"tif", 0, "MM\x00*"}, {"exe", 0, "MZ"}, {"sqlite", 0, "SQLite format 3\x00"}, {"mkv", 0, "\x1aE\xdf\xa3"},
	{"pgp", 0, "-----BEGIN PGP"}, {"wmv", 0, "\x30\x26\xb2\x75"}, {"cab", 0, "MSCF"}, {"swf", 0, "FWS"}, {"ps", 0, "%!PS"},
}

func sniff(head []byte) string {
	for _, m := range magics {
		// A magic of two bytes comes up by chance in one file of 65,536.
		if len(head) >= m.at+len(m.bytes) && string(head[m.at:m.at+len(m.bytes)]) == m.bytes {
			return m.format
		}
	}
	if text(head) {
		return "text"
	}
	return ""
}

// text reports bytes that a person could read: UTF-8, or UTF-16 with its mark.
func text(head []byte) bool {
	if len(head) == 0 || bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return true
	}
	if len(head) > 3 { // a rune may be cut at the end
		for cut := range 4 {
			if utf8.Valid(head[:len(head)-cut]) {
				head = head[:len(head)-cut]
				break
			}
		}
	}
	return utf8.Valid(head) && bytes.IndexByte(head, 0) < 0
}

// promised are the formats that an extension promises. All of them can be
// told by their first bytes.
var promised = func() map[string]string {
	m := map[string]string{}
	for format, exts := range map[string]string{
		"zip": "docx xlsx pptx docm xlsm pptm odt ods odp zip jar apk epub vsdx", "pdf": "pdf", "png": "png", "jpg": "jpg jpeg", "gif": "gif",
		"ole": "doc xls ppt msg wps et dps", "rar": "rar", "7z": "7z", "gz": "gz tgz", "mp4": "mp4 mov m4a m4v heic", "riff": "wav avi webp", "mp3": "mp3",
		"rtf": "rtf", "psd": "psd", "dwg": "dwg", "bmp": "bmp", "tif": "tif tiff", "text": "txt csv md json xml html htm log eml sql ini yaml yml",
	} {
		for _, e := range strings.Fields(exts) {
			m["."+e] = format
		}
	}
	return m
}()

// chance are extensions of files that look like chance by nature: containers
// and messages that their owner encrypted.
var chance = set(".gpg .pgp .asc .sig .p7m .p7s .p12 .pfx .hc .tc .age .kdbx .key .enc .aes .axx .bin .dat .img .iso .vhd .vmdk .bak")

// taken are extensions that ransom programs give. New programs invent new
// ones; those are found by [Look.Random].
var taken = set(`.locked .lockbit .lock .encrypted .encrypt .crypt .crypted .cryp1 .crypto .cryptolocker .crypz .wncry .wcry .wncryt .wnry .ryk .ryuk .conti .akira
	.phobos .eking .eight .8base .makop .mkp .cerber .cerber3 .locky .zepto .odin .thor .aesir .osiris .djvu .clop .cl0p .hive .medusa .play .rhysida .royal .basta
	.bianlian .blackcat .alphv .darkside .revil .sodinokibi .maze .egregor .netwalker .dharma .wallet .arena .mallox .avos .avos2 .babyk .babuk .cuba .snatch .nemty
	.gandcrab .krab .zzzzz .ecc .exx .xyz .vvv .ttt .micro .mp3encrypted .rsa .fun .keypass .pay2key .ransom .ransomed .rapid .scarab .tesla .venusp .wiki .elbie .devos .faust`)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// renamed reports a name that ends as ransom programs rename: an extension of
// theirs behind the one the file had.
func renamed(name string) bool {
	ext := path.Ext(name)
	return taken[ext] && promised[path.Ext(strings.TrimSuffix(name, ext))] != ""
}

// doubled reports a known extension with an unknown one behind it.
func doubled(name string) bool {
	ext := path.Ext(name)
	inner := path.Ext(strings.TrimSuffix(name, ext))
	return ext != "" && promised[inner] != "" && promised[ext] == "" && !chance[ext]
}

var (
	noteExts  = set(".txt .html .htm .hta .rtf .url .md .png .bmp")
	noteWords = []string{"decrypt", "recover", "restore", "unlock", "ransom", "encrypted", "解密", "勒索", "已加密", "已被加密"}
	noteHows  = []string{"how", "readme", "read_me", "read-me", "instruction", "your", "my", "help", "info", "!!!", "files", "如何", "說明", "说明", "文件", "檔案"}
)

func ransomNote(name string) bool {
	if !noteExts[path.Ext(name)] {
		return false
	}
	in := func(words []string) bool {
		for _, w := range words {
			if strings.Contains(name, w) {
				return true
			}
		}
		return false
	}
	return in(noteWords) && in(noteHows)
}

// Suspect says what a file's name and look say together. was is the look of
// the version before and wasName its name; was is nil when there was none or
// it was not read.
//
// Most of what a firm shares looks like chance to a count of bytes: pictures,
// films, and every modern office file, which is a zip. Such a file says what
// it is in its first bytes, so it is never noise here, and neither is a file
// whose earlier version looked the same.
func Suspect(name string, l *Look, wasName string, was *Look) (s Signs) {
	name, wasName = strings.ToLower(name), strings.ToLower(wasName)
	if ransomNote(name) && (was == nil || wasName != name) {
		return Note
	}
	ext := path.Ext(name)
	odd := l.Odd()
	switch {
	case !odd || chance[ext] && !doubled(name):
	case was != nil:
		if !was.Odd() {
			s |= Noise
		}
	case promised[ext] != "" || renamed(name) || doubled(name):
		s |= Noise
	}
	if renamed(name) && !(was != nil && renamed(wasName)) && (odd || l.Format() == "") {
		s |= Named
	}
	return s
}
