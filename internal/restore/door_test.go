package restore_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"farol/internal/archive"
	"farol/internal/audit"
	"farol/internal/backup"
	"farol/internal/catalog"
	"farol/internal/connector"
	"farol/internal/connector/all"
	"farol/internal/db"
	"farol/internal/dingtalk"
	"farol/internal/i18n"
	"farol/internal/keys"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
	"farol/internal/settings"
)

// house is an archive with its views and the door, without any upstream.
type house struct {
	*restore.Door
	archive *archive.Archive
	audit   *audit.Log
	catalog *catalog.Catalog
	engine  *backup.Engine
	key     string
}

func newHouse(t testing.TB) *house {
	t.Helper()
	ctx := t.Context()
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	root, err := keys.New()
	must(err)
	box := keys.NewBox(root.Derive("control"))
	h := &house{}
	sk, vk, err := note.GenerateKey(rand.Reader, "farol.test")
	must(err)
	h.key = vk
	signer, _ := note.NewSigner(sk)
	verifier, _ := note.NewVerifier(vk)
	h.audit, err = audit.Open(filepath.Join(dir, "log"), audit.Options{Box: box, Signer: signer, Verify: verifier})
	must(err)
	h.archive, err = archive.Create(ctx, filepath.Join(dir, "archive"), root, archive.Options{})
	must(err)
	h.catalog, err = catalog.Open(ctx, filepath.Join(dir, "catalog.db"), catalog.Keys{Words: root.Derive("search"), Names: root.Derive("names")}, box, nil)
	must(err)
	control, err := db.Open(ctx, filepath.Join(dir, "control.db"), db.Control, nil)
	must(err)
	t.Cleanup(func() { h.catalog.Close(); h.archive.Close(); h.audit.Close(); control.Close() })
	conns := map[record.Kind]connector.Connector{}
	for _, c := range all.Connectors() {
		conns[c.Kind()] = c
	}
	none := func() *dingtalk.Client { return nil }
	h.engine = backup.New(backup.Deps{Archive: h.archive, Audit: h.audit, Catalog: h.catalog, Control: control, Settings: settings.New(control, box), Connectors: all.Connectors(), Client: none})
	must(h.engine.Repair(ctx))
	h.Door = restore.New(restore.Deps{Archive: h.archive, Audit: h.audit, Catalog: h.catalog, Connectors: conns, People: h.engine.People(), Client: none, LogKey: vk})
	return h
}

// put commits records in the order of the architecture.
func (h *house) put(t testing.TB, recs []record.Record) {
	t.Helper()
	c, err := h.archive.Commit(t.Context(), archive.Batch{Records: recs})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.audit.Append(t.Context(), audit.Event{Actor: "system", Operation: audit.OperationCommit, Object: fmt.Sprint("commit/", c.Seq), Hash: c.Root.String(), Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	rows := make([]catalog.Row, len(recs))
	for i := range c.Records {
		rows[i] = h.engine.Row(&c.Records[i], c.Locs[i], i)
	}
	if err := h.catalog.Apply(t.Context(), c.Seq, rows); err != nil {
		t.Fatal(err)
	}
	h.archive.Applied(c.Seq)
}

func group(id, title string, dept int64) record.Record {
	raw, _ := json.Marshal(map[string]any{"openConversationId": id, "title": title, "conversationType": 2})
	return record.Record{Ref: record.Ref{Kind: record.Chat, Container: id, ID: "@"}, Time: time.Unix(1.2e9, 0).UTC(), Dept: dept, Raw: raw}
}

var zone = time.FixedZone("UTC+8", 8*3600)

func message(conv, id, author, text string, at time.Time, dept int64) record.Record {
	raw, _ := json.Marshal(map[string]any{"openMessageId": id, "openConversationId": conv, "sender": map[string]string{"name": author, "openDingTalkId": "D" + author}, "msgType": "text", "content": text, "createTime": at.In(zone).Format(time.DateTime)})
	return record.Record{Ref: record.Ref{Kind: record.Chat, Container: conv, ID: id}, Time: at.UTC().Truncate(time.Second), Author: "D" + author, Dept: dept, Raw: raw}
}

func owner(p policy.Purpose) restore.Request {
	return restore.Request{Subject: policy.Subject{Account: "maria", Role: "owner", Grants: policy.GrantsOf("owner")}, Purpose: p, Fresh: true}
}

func small(t *testing.T) *house {
	h := newHouse(t)
	at := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	recs := []record.Record{group("cid1", "氹仔工地協調群", 7)}
	for i := range 30 {
		recs = append(recs, message("cid1", fmt.Sprint("m", i), "李偉強", fmt.Sprintf("第 %d 批報價單已付款 <script>alert(1)</script>", i), at.Add(time.Duration(i)*time.Minute), 7))
	}
	blob, err := h.archive.PutBlob(t.Context(), "../../地盤\x00.pdf", -1, strings.NewReader("%PDF content"))
	if err != nil {
		t.Fatal(err)
	}
	file := record.Record{Ref: record.Ref{Kind: record.Files, Container: "space1", ID: "f1"}, Time: at, Dept: 8, Blobs: []record.Blob{blob},
		Raw: []byte(`{"id":"f1","spaceId":"space1","type":"FILE","name":"../../地盤.pdf","path":"/a/../../地盤.pdf","size":12,"version":1,"modifiedTime":"2026-03-02T01:00:00Z"}`)}
	h.put(t, append(recs, file))
	return h
}

func TestNoEntryNoContent(t *testing.T) {
	h := small(t)
	before := h.audit.Size()
	id := h.catalog.ContainerID(record.Chat, "cid1")
	p, err := h.Page(t.Context(), owner(policy.Recovery), catalog.PageQuery{Container: id, Limit: 10})
	if err != nil || len(p.Items) != 10 || p.Older == 0 || p.Newer != 0 {
		t.Fatalf("%d items, %v", len(p.Items), err)
	}
	e, err := h.audit.Entry(before)
	if err != nil || e.Operation != "view" || e.Purpose != "recovery" || e.Actor != "maria" {
		t.Fatalf("%+v %v", e, err)
	}
	h.audit.Close() // the log cannot be written any more
	if _, err := h.Page(t.Context(), owner(policy.Recovery), catalog.PageQuery{Container: id, Limit: 10}); err == nil {
		t.Fatal("content was opened without an entry")
	}
}

func TestTheDoorRefusesWithoutRightPurposeOrFreshCode(t *testing.T) {
	h := small(t)
	it := restore.Request{Subject: policy.Subject{Account: "it", Role: "it", Grants: policy.GrantsOf("it")}, Purpose: policy.Recovery, Fresh: true}
	if _, err := h.Search(t.Context(), it, "報價", catalog.Query{Limit: 5}); !errors.Is(err, policy.ErrDenied) {
		t.Errorf("it: %v", err)
	}
	es, _, _ := h.audit.List(audit.Filter{Operation: "access.denied"}, 0, 5)
	if len(es) != 1 {
		t.Errorf("%d entries of the refusal", len(es))
	}
	if _, err := h.Search(t.Context(), owner(""), "報價", catalog.Query{Limit: 5}); !errors.Is(err, policy.ErrPurpose) {
		t.Errorf("no purpose: %v", err)
	}
	stale := owner(policy.Recovery)
	stale.Fresh = false
	if _, err := h.Export(t.Context(), stale, restore.Selection{}, i18n.EN, restore.NewZip(io.Discard), nil); !errors.Is(err, restore.ErrStepUp) {
		t.Errorf("no fresh code: %v", err)
	}
}

func TestEveryHitIsVerifiedAndPagesOn(t *testing.T) {
	h := small(t)
	seen := map[int64]bool{}
	q := catalog.Query{Limit: 7}
	for {
		r, err := h.Search(t.Context(), owner(policy.Dispute), "报价单", q)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range r.Items {
			if seen[it.ID] || len(it.Spans) == 0 {
				t.Fatalf("hit %d twice or without a place", it.ID)
			}
			seen[it.ID] = true
		}
		if r.Next == 0 {
			break
		}
		q.Before = r.Next
	}
	if len(seen) != 30 {
		t.Fatalf("%d of 30 hits", len(seen))
	}
	if r, err := h.Search(t.Context(), owner(policy.Dispute), `"單報"`, catalog.Query{Limit: 7}); err != nil || len(r.Items) != 0 {
		t.Fatalf("%d hits of what nobody wrote, %v", len(r.Items), err)
	}
	es, _, _ := h.audit.List(audit.Filter{Operation: "search"}, 0, 1)
	if b, _ := json.Marshal(es); bytes.Contains(b, []byte("單報")) {
		t.Error("the words of a query are in the log")
	}
}

func TestAnExportVerifiesLineByLineAndHoldsNoWayOut(t *testing.T) {
	h := small(t)
	var buf bytes.Buffer
	z := restore.NewZip(&buf)
	sum, err := h.Export(t.Context(), owner(policy.Handover), restore.Selection{}, i18n.ZhHant, z, nil)
	if err != nil || sum.Items != 31 {
		t.Fatalf("%+v %v", sum, err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	zr, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	v, _ := note.NewVerifier(h.key)
	trees, commits, lines := map[string]tlog.Tree{}, map[uint64]*restore.Commitment{}, 0
	var ndjson [][]byte
	for _, f := range zr.File {
		if !filepath.IsLocal(f.Name) || strings.Contains(f.Name, "..") {
			t.Errorf("a name that leads out: %q", f.Name)
		}
		rd, _ := f.Open()
		b, _ := io.ReadAll(rd)
		switch filepath.Base(f.Name) {
		case "transcript.html":
			if bytes.Contains(b, []byte("<script>alert")) {
				t.Error("message text is markup in the transcript")
			}
		case "commits.ndjson":
			var c restore.Commitment
			if err := json.Unmarshal(b, &c); err != nil {
				t.Fatal(err)
			}
			if err := c.Verify(v, trees); err != nil {
				t.Fatal(err)
			}
			commits[c.Seq] = &c
		case "records.ndjson":
			ndjson = append(ndjson, bytes.Split(bytes.TrimSpace(b), []byte("\n"))...)
		}
	}
	for _, b := range ndjson {
		l, err := restore.ParseLine(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Verify(commits[l.Commit]); err != nil {
			t.Fatal(err)
		}
		l.Raw = append(bytes.Clone(l.Raw), ' ')
		if l.Verify(commits[l.Commit]) == nil {
			t.Fatal("a changed line verified")
		}
		lines++
	}
	if lines != 32 {
		t.Errorf("%d lines", lines)
	}
}

func TestAProofOfEveryRecordVerifiesAfterAFold(t *testing.T) {
	h := small(t)
	if _, err := h.archive.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := h.Search(t.Context(), owner(policy.Dispute), "報價單", catalog.Query{Limit: 30})
	if err != nil || len(r.Items) != 30 {
		t.Fatal(len(r.Items), err)
	}
	for _, it := range r.Items {
		p, err := h.Proof(t.Context(), owner(policy.Dispute), it.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.VerifyProof(p, h.key); err != nil {
			t.Fatal(err)
		}
	}
}

// real loads the real English conversation, if it is there.
func (h *house) real(b *testing.B, n int) {
	b.Helper()
	f, err := os.Open("../../../shared/realdata/groupchat-en.ndjson.gz")
	if err != nil {
		b.Skip("the real conversations are not there: ", err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	h.put(b, []record.Record{group("ubuntu", "ubuntu", 7)})
	var recs []record.Record
	dec := json.NewDecoder(zr)
	for i := 0; n == 0 || i < n; i++ {
		var m struct {
			Sender, Text string
			Time         time.Time
		}
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			b.Fatal(err)
		}
		recs = append(recs, message("ubuntu", fmt.Sprint("m", i), m.Sender, m.Text, m.Time, 7))
		if len(recs) == 5000 {
			h.put(b, recs)
			recs = nil
		}
	}
	if len(recs) > 0 {
		h.put(b, recs)
	}
}

// TestAMessageOfAMegabyteComesOutWhole goes from commit through catalog, fold
// and reading to an export.
func TestAMessageOfAMegabyteComesOutWhole(t *testing.T) {
	h := newHouse(t)
	long := strings.Repeat("倉😀\u2028報價 ", 70_000)
	at := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	r := message("cid1", "long", "李偉強", long, at, 7)
	if len(r.Raw) < 1<<20 {
		t.Fatalf("only %d bytes", len(r.Raw))
	}
	h.put(t, []record.Record{group("cid1", "倉", 7), message("cid1", "before", "李偉強", "短", at.Add(-time.Minute), 7), r})
	if _, err := h.archive.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := h.Page(t.Context(), owner(policy.Recovery), catalog.PageQuery{Container: h.catalog.ContainerID(record.Chat, "cid1"), Limit: 10})
	if err != nil || len(p.Items) != 2 {
		t.Fatalf("%d items, %v", len(p.Items), err)
	}
	var out bytes.Buffer
	w := restore.NewZip(&out)
	if _, err := h.Export(t.Context(), owner(policy.Handover), restore.Selection{}, i18n.ZhHant, w, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range z.File {
		if filepath.Base(f.Name) != "records.ndjson" {
			continue
		}
		rc, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
			l, err := restore.ParseLine(line)
			if err != nil {
				t.Fatal(err)
			}
			found = found || bytes.Equal(l.Raw, r.Raw)
		}
	}
	if !found {
		t.Error("no line of the export holds the message as it came")
	}
}
