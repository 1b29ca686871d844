package web

import (
	"archive/zip"
	"bytes"
	"io"
	"strconv"
	"strings"
	"testing"

	"farol/internal/catalog"
	"farol/internal/policy"
	"farol/internal/record"
	"farol/internal/restore"
)

// TestAConfidentialFileLeavesOnlyAfterTwoOthersAgreed: taking confidential
// files one by one is no way round the eyes that an export needs; one that is
// not confidential needs nobody.
func TestAConfidentialFileLeavesOnlyAfterTwoOthersAgreed(t *testing.T) {
	h := newHouse(t)
	h.account("maria", "owner")
	h.account("chan", "manager")
	h.account("lei", "legal")
	h.backedUp()
	secret, plain := h.fileOf(true), h.fileOf(false)
	maria := h.login("maria")
	maria.post("/purpose", "purpose", "dispute", "title", "供應商訴訟案", "next", "/")
	at := func(it restore.Item) string { return "/record/" + strconv.FormatInt(it.ID, 10) + "/blob/0/download" }

	if a := maria.get(at(plain)).wants(t, 200); a.head.Get("Content-Type") != "application/octet-stream" {
		t.Fatalf("%v", a.head)
	}
	n := h.logged("export.download")
	why := maria.get(at(secret)).wants(t, 409, "紀錄和附件才可帶走", "機密", `name="ticket"`).lacks(t, escaped(secret.Record.Blobs[0].Name))
	if h.logged("export.download") != n || why.head.Get("Content-Disposition") != "" {
		t.Fatal("it left, or the log says that it did")
	}
	m := ticketField.FindStringSubmatch(why.body)
	if m == nil {
		t.Fatal("no ticket")
	}
	ticket := m[1]
	maria.get(recordPath(secret.ID)+"/proof.json").wants(t, 409, `name="ticket"`) // it holds the record
	maria.get(recordPath(plain.ID)+"/proof.json").wants(t, 200)
	maria.post("/inbox/ask", "ticket", ticket, "reason", "x").wants(t, 422, "需要 2 人同意")
	asked := maria.post("/inbox/ask", "ticket", ticket, "reason", "勞資糾紛的證據").wants(t, 303)
	path := strings.TrimSuffix(asked.to, "?done=asked")
	maria.post(path+"/run").wants(t, 409, "其他人尚未同意")
	chan1, lei := h.login("chan"), h.login("lei")
	chan1.get(path).wants(t, 200, "勞資糾紛的證據", "1 項紀錄連附件").lacks(t, escaped(secret.Record.Blobs[0].Name))
	chan1.post(path+"/decide", "word", "yes").wants(t, 303)
	maria.post(path+"/run").wants(t, 409, "其他人尚未同意")
	lei.post(path+"/decide", "word", "yes").wants(t, 303)
	maria.fresh("maria")
	got := maria.post(path+"/run").wants(t, 200)
	z, err := zip.NewReader(bytes.NewReader([]byte(got.body)), int64(len(got.body)))
	if err != nil {
		t.Fatal(err)
	}
	files, lines := 0, 0
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f.Name, "records.ndjson") {
			lines += bytes.Count(b, []byte("\n"))
		}
		for _, blob := range secret.Record.Blobs {
			if record.HashOf(b) == blob.SHA256 {
				files++
			}
		}
	}
	if files != len(secret.Record.Blobs) || lines != 1 {
		t.Errorf("%d files of %d, %d records", files, len(secret.Record.Blobs), lines)
	}
	maria.post(path+"/run").wants(t, 409, "這項要求已結束")
	if es := h.said("export.run"); len(es) == 0 || es[0].Approval != strings.TrimPrefix(path, "/inbox/") {
		t.Errorf("the log does not name what was agreed to: %+v", es)
	}
}

// fileOf finds a record with an attachment, confidential or not.
func (h *house) fileOf(confidential bool) restore.Item {
	h.t.Helper()
	rq := restore.Request{Subject: policy.Subject{Account: "test", Grants: policy.GrantsOf("owner")}, Purpose: policy.Verification}
	list, err := h.d.Door.Containers(h.t.Context(), rq, "", 0)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, c := range list {
		p, err := h.d.Door.Page(h.t.Context(), rq, catalog.PageQuery{Container: c.CatalogID, Limit: 100})
		if err != nil {
			h.t.Fatal(err)
		}
		for _, it := range p.Items {
			if len(it.Record.Blobs) > 0 && it.Class >= record.Confidential == confidential {
				return it
			}
		}
	}
	h.t.Fatalf("no file, confidential %v", confidential)
	return restore.Item{}
}
