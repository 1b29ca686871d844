package simulator

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/xuri/excelize/v2"
)

// part is one member of an Office Open XML package.
type part struct{ name, body string }

// zipParts writes a package without times, so that the same parts always make
// the same bytes.
func zipParts(parts []part) []byte {
	var buf bytes.Buffer
	zw := zip.NewWriter(&buf)
	for _, p := range parts {
		w, err := zw.CreateHeader(&zip.FileHeader{Name: p.name, Method: zip.Deflate})
		if err == nil {
			_, err = w.Write([]byte(p.body))
		}
		if err != nil {
			panic("simulator: zip: " + err.Error()) // a buffer does not fail
		}
	}
	zw.Close()
	return buf.Bytes()
}

const xmlHead = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"

func esc(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

func rels(list ...string) string {
	var b strings.Builder
	b.WriteString(xmlHead + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">`)
	for i := 0; i+1 < len(list); i += 2 {
		fmt.Fprintf(&b, `<Relationship Id="rId%d" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/%s" Target="%s"/>`, i/2+1, list[i], list[i+1])
	}
	b.WriteString(`</Relationships>`)
	return b.String()
}

func contentTypes(overrides ...string) string {
	var b strings.Builder
	b.WriteString(xmlHead + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Default Extension="png" ContentType="image/png"/><Default Extension="jpg" ContentType="image/jpeg"/>`)
	for i := 0; i+1 < len(overrides); i += 2 {
		fmt.Fprintf(&b, `<Override PartName="%s" ContentType="application/vnd.openxmlformats-officedocument.%s+xml"/>`, overrides[i], overrides[i+1])
	}
	b.WriteString(`</Types>`)
	return b.String()
}

// makeDocx is a letter or minutes: a heading, paragraphs, a small table.
func makeDocx(r *rand.Rand, title string) []byte {
	var b strings.Builder
	b.WriteString(xmlHead + `<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>`)
	para := func(text, props string) {
		fmt.Fprintf(&b, `<w:p><w:r>%s<w:t xml:space="preserve">%s</w:t></w:r></w:p>`, props, esc(text))
	}
	para(title, `<w:rPr><w:b/><w:sz w:val="32"/></w:rPr>`)
	for range 4 + r.IntN(30) {
		para(prose(r, 2+r.IntN(4)), "")
	}
	b.WriteString(`<w:tbl><w:tblPr><w:tblW w:w="0" w:type="auto"/></w:tblPr><w:tblGrid><w:gridCol w:w="4000"/><w:gridCol w:w="4000"/></w:tblGrid>`)
	for range 3 + r.IntN(8) {
		f := newFacts(r)
		fmt.Fprintf(&b, `<w:tr><w:tc><w:p><w:r><w:t>%s</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>%s</w:t></w:r></w:p></w:tc></w:tr>`, esc(f["goods"]), esc(f["amt"]))
	}
	b.WriteString(`</w:tbl><w:sectPr><w:pgSz w:w="11906" w:h="16838"/></w:sectPr></w:body></w:document>`)
	parts := []part{
		{"[Content_Types].xml", contentTypes("/word/document.xml", "wordprocessingml.document.main")},
		{"_rels/.rels", rels("officeDocument", "word/document.xml")},
		{"word/document.xml", b.String()},
	}
	if r.IntN(3) == 0 { // an unreferenced picture part, as editors leave behind
		parts = append(parts, part{"word/media/image1.jpg", string(makePicture(r, "jpg"))})
	}
	return zipParts(parts)
}

const (
	pptNS     = `xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"`
	pptGroup  = `<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>`
	pptColors = `<p:clrMap bg1="lt1" tx1="dk1" bg2="lt2" tx2="dk2" accent1="accent1" accent2="accent2" accent3="accent3" accent4="accent4" accent5="accent5" accent6="accent6" hlink="hlink" folHlink="folHlink"/>`
)

// pptTheme is the smallest theme that presentation programs accept.
var pptTheme = func() string {
	var b strings.Builder
	b.WriteString(xmlHead + `<a:theme xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" name="Plain"><a:themeElements><a:clrScheme name="Plain">`)
	for i, c := range []string{"dk1", "lt1", "dk2", "lt2", "accent1", "accent2", "accent3", "accent4", "accent5", "accent6", "hlink", "folHlink"} {
		v := []string{"000000", "FFFFFF", "1F3A5F", "EEEEEE", "0B6BCB", "C8553D", "588157", "8D6A9F", "DDA15E", "457B9D", "0563C1", "954F72"}[i]
		fmt.Fprintf(&b, `<a:%s><a:srgbClr val="%s"/></a:%s>`, c, v, c)
	}
	font := `<a:latin typeface="Arial"/><a:ea typeface=""/><a:cs typeface=""/>`
	fill := strings.Repeat(`<a:solidFill><a:schemeClr val="phClr"/></a:solidFill>`, 3)
	line := strings.Repeat(`<a:ln w="9525"><a:solidFill><a:schemeClr val="phClr"/></a:solidFill></a:ln>`, 3)
	effect := strings.Repeat(`<a:effectStyle><a:effectLst/></a:effectStyle>`, 3)
	fmt.Fprintf(&b, `</a:clrScheme><a:fontScheme name="Plain"><a:majorFont>%s</a:majorFont><a:minorFont>%s</a:minorFont></a:fontScheme><a:fmtScheme name="Plain"><a:fillStyleLst>%s</a:fillStyleLst><a:lnStyleLst>%s</a:lnStyleLst><a:effectStyleLst>%s</a:effectStyleLst><a:bgFillStyleLst>%s</a:bgFillStyleLst></a:fmtScheme></a:themeElements></a:theme>`, font, font, fill, line, effect, fill)
	return b.String()
}()

func pptBox(id, y, h int, text string) string {
	return fmt.Sprintf(`<p:sp><p:nvSpPr><p:cNvPr id="%d" name="Box %d"/><p:cNvSpPr txBox="1"/><p:nvPr/></p:nvSpPr><p:spPr><a:xfrm><a:off x="600000" y="%d"/><a:ext cx="7900000" cy="%d"/></a:xfrm><a:prstGeom prst="rect"><a:avLst/></a:prstGeom></p:spPr><p:txBody><a:bodyPr wrap="square"/><a:lstStyle/><a:p><a:r><a:rPr lang="zh-HK"/><a:t>%s</a:t></a:r></a:p></p:txBody></p:sp>`, id, id, y, h, esc(text))
}

// makePptx is a short deck: one master, one layout, a few slides of text.
func makePptx(r *rand.Rand, title string) []byte {
	const pml = "presentationml."
	n := 3 + r.IntN(9)
	types := []string{"/ppt/presentation.xml", pml + "presentation.main", "/ppt/slideMasters/slideMaster1.xml", pml + "slideMaster",
		"/ppt/slideLayouts/slideLayout1.xml", pml + "slideLayout", "/ppt/theme/theme1.xml", "theme"}
	deckRels := []string{"slideMaster", "slideMasters/slideMaster1.xml"}
	var ids strings.Builder
	var slides []part
	for i := range n {
		name := fmt.Sprintf("slides/slide%d.xml", i+1)
		types = append(types, "/ppt/"+name, pml+"slide")
		deckRels = append(deckRels, "slide", name)
		fmt.Fprintf(&ids, `<p:sldId id="%d" r:id="rId%d"/>`, 256+i, i+2)
		head := title
		if i > 0 {
			head = prose(r, 1)
		}
		body := pptBox(2, 400000, 900000, head) + pptBox(3, 1500000, 4500000, prose(r, 3+r.IntN(4)))
		slides = append(slides,
			part{"ppt/" + name, xmlHead + `<p:sld ` + pptNS + `><p:cSld><p:spTree>` + pptGroup + body + `</p:spTree></p:cSld></p:sld>`},
			part{fmt.Sprintf("ppt/slides/_rels/slide%d.xml.rels", i+1), rels("slideLayout", "../slideLayouts/slideLayout1.xml")})
	}
	empty := `<p:cSld><p:spTree>` + pptGroup + `</p:spTree></p:cSld>`
	parts := []part{
		{"[Content_Types].xml", contentTypes(types...)},
		{"_rels/.rels", rels("officeDocument", "ppt/presentation.xml")},
		{"ppt/presentation.xml", xmlHead + `<p:presentation ` + pptNS + `><p:sldMasterIdLst><p:sldMasterId id="2147483648" r:id="rId1"/></p:sldMasterIdLst><p:sldIdLst>` + ids.String() + `</p:sldIdLst><p:sldSz cx="9144000" cy="6858000"/><p:notesSz cx="6858000" cy="9144000"/></p:presentation>`},
		{"ppt/_rels/presentation.xml.rels", rels(deckRels...)},
		{"ppt/slideMasters/slideMaster1.xml", xmlHead + `<p:sldMaster ` + pptNS + `>` + empty + pptColors + `<p:sldLayoutIdLst><p:sldLayoutId id="2147483649" r:id="rId1"/></p:sldLayoutIdLst></p:sldMaster>`},
		{"ppt/slideMasters/_rels/slideMaster1.xml.rels", rels("slideLayout", "../slideLayouts/slideLayout1.xml", "theme", "../theme/theme1.xml")},
		{"ppt/slideLayouts/slideLayout1.xml", xmlHead + `<p:sldLayout ` + pptNS + ` type="blank">` + empty + `</p:sldLayout>`},
		{"ppt/slideLayouts/_rels/slideLayout1.xml.rels", rels("slideMaster", "../slideMasters/slideMaster1.xml")},
		{"ppt/theme/theme1.xml", pptTheme},
	}
	return zipParts(append(parts, slides...))
}

// makeXlsx is an order list with amounts and a sum.
func makeXlsx(r *rand.Rand, title string) []byte {
	f := excelize.NewFile()
	defer f.Close()
	const sheet = "Sheet1"
	f.SetCellStr(sheet, "A1", title)
	for i, h := range []string{"編號 No.", "貨品 Item", "數量 Qty", "單價 Unit", "金額 MOP"} {
		f.SetCellStr(sheet, string(rune('A'+i))+"2", h)
	}
	n := 15 + r.IntN(120)
	for i := range n {
		x := newFacts(r)
		row := i + 3
		f.SetCellStr(sheet, fmt.Sprintf("A%d", row), x["po"])
		f.SetCellStr(sheet, fmt.Sprintf("B%d", row), x["goods"])
		f.SetCellInt(sheet, fmt.Sprintf("C%d", row), int64(1+r.IntN(400)))
		f.SetCellFloat(sheet, fmt.Sprintf("D%d", row), float64(r.IntN(90000))/100, 2, 64)
		f.SetCellFormula(sheet, fmt.Sprintf("E%d", row), fmt.Sprintf("C%d*D%d", row, row))
	}
	f.SetCellFormula(sheet, fmt.Sprintf("E%d", n+3), fmt.Sprintf("SUM(E3:E%d)", n+2))
	buf, err := f.WriteToBuffer()
	if err != nil {
		panic("simulator: xlsx: " + err.Error())
	}
	return buf.Bytes()
}

// makePDF is a PDF 1.4 with one or more pages of text in Helvetica and a
// correct cross-reference table. Chinese titles go into the information
// dictionary, where no embedded font is needed.
func makePDF(r *rand.Rand, title string) []byte {
	pages := 1 + r.IntN(4)
	var objs []string
	kids := ""
	for i := range pages {
		kids += fmt.Sprintf("%d 0 R ", 4+2*i)
	}
	objs = append(objs, "<< /Type /Catalog /Pages 2 0 R >>",
		fmt.Sprintf("<< /Type /Pages /Kids [%s] /Count %d >>", strings.TrimSpace(kids), pages),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	for i := range pages {
		var s strings.Builder
		s.WriteString("BT /F1 11 Tf 50 790 Td 16 TL\n")
		fmt.Fprintf(&s, "(HOU KONG TRADING LDA.  -  page %d of %d) Tj T* T*\n", i+1, pages)
		for range 30 + r.IntN(15) {
			x := newFacts(r)
			fmt.Fprintf(&s, "(%s) Tj T*\n", pdfText(fmt.Sprintf("%s   %s   %s x %s   %s", x["po"], x["client_en"], x["qty"], x["goods_en"], x["amt_en"])))
		}
		s.WriteString("ET")
		objs = append(objs, fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>", 5+2*i),
			fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", s.Len(), s.String()))
	}
	objs = append(objs, "<< /Title <FEFF"+utf16Hex(title)+"> /Producer (Farol simulator) >>")
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	offsets := make([]int, len(objs))
	for i, o := range objs {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	at := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objs)+1)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objs)+1, len(objs), at)
	return b.Bytes()
}

func pdfText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "(", `\(`, ")", `\)`).Replace(s)
}

func utf16Hex(s string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, "%04X", min(r, 0xffff))
	}
	return b.String()
}

func makeCSV(r *rand.Rand) []byte {
	var b strings.Builder
	b.WriteString("\ufeffPO,客戶,貨品,數量,金額\r\n")
	for range 20 + r.IntN(200) {
		f := newFacts(r)
		fmt.Fprintf(&b, "%s,%s,%s,%s,%q\r\n", f["po"], f["client"], f["goods"], f["qty"], f["amt"])
	}
	return []byte(b.String())
}
