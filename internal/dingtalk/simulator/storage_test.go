package simulator

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"
)

// download follows a download info with exactly the headers it gives.
func (w *world) download(info map[string]any, more ...string) (int, []byte) {
	w.t.Helper()
	sig := info["headerSignatureInfo"].(map[string]any)
	for k, v := range sig["headers"].(map[string]any) {
		more = append(more, k, v.(string))
	}
	return w.raw("GET", sig["resourceUrls"].([]any)[0].(string), nil, more...)
}

func TestEveryListedFileDownloadsWithTheSizeItWasListedWith(t *testing.T) {
	w := newWorld(t, Options{})
	sp := w.sim.tenant.spaces[0]
	q := "?unionId=" + w.sim.tenant.admin.unionID
	for _, v := range w.sim.tenant.spaces {
		if v.conv == nil {
			sp = v
		}
	}
	seen, token := 0, ""
	for {
		page := w.api("POST", "/v1.0/storage/spaces/"+sp.id+"/dentries/listAll"+q, map[string]any{"option": map[string]any{"maxResults": 7, "nextToken": token}})
		for _, x := range page["dentries"].([]any) {
			d := x.(map[string]any)
			seen++
			path := "/v1.0/storage/spaces/" + sp.id + "/dentries/" + d["id"].(string) + "/downloadInfos/query" + q
			status, info := w.call("POST", path, map[string]any{})
			if d["type"] == "FOLDER" || d["storageDriver"] == "ALIDOC" {
				if info["code"] != "operationNotSupported" {
					t.Errorf("%v: %v", d["name"], info)
				}
				continue
			}
			if status != 200 {
				t.Fatalf("%v: %v", d["name"], info)
			}
			_, body := w.download(info)
			if float64(len(body)) != d["size"].(float64) {
				t.Errorf("%v: %d bytes, listed %v", d["name"], len(body), d["size"])
			}
		}
		if token = page["nextToken"].(string); token == "" {
			break
		}
	}
	if seen != len(sp.order)-len(w.sim.tenant.bin) && seen != len(sp.order) {
		t.Errorf("walked %d of %d", seen, len(sp.order))
	}
}

func TestSignedDownloadsAreExactAndLapse(t *testing.T) {
	w := newWorld(t, Options{})
	sp := w.sim.tenant.spaces[0]
	var d *dentry
	for _, sp2 := range w.sim.tenant.spaces {
		for _, x := range sp2.order {
			if sp2.conv == nil && !x.folder && x.driver == "DINGTALK" && len(x.versions) > 1 && !x.gone() {
				sp, d = sp2, x
			}
		}
	}
	path := "/v1.0/storage/spaces/" + sp.id + "/dentries/" + d.id + "/downloadInfos/query?unionId=" + w.sim.tenant.admin.unionID
	info := w.api("POST", path, map[string]any{"option": map[string]any{"version": 1}})
	status, whole := w.download(info)
	sum := sha256.Sum256(whole)
	if status != 200 || hex.EncodeToString(sum[:]) != d.version(1).content.digest() {
		t.Fatalf("status %d", status)
	}
	if status, part := w.download(info, "Range", "bytes=100-"); status != http.StatusPartialContent || !bytes.Equal(part, whole[100:]) {
		t.Errorf("range: %d, %d bytes", status, len(part))
	}
	for _, extra := range [][2]string{{"x-acs-dingtalk-access-token", w.token}, {"Content-Type", "application/json"}} {
		if status, _ := w.download(info, extra[0], extra[1]); status != 403 {
			t.Errorf("with %s: %d", extra[0], status)
		}
	}
	w.control("POST", "clock", map[string]any{"advanceSeconds": 900})
	if status, _ := w.download(info); status != 403 {
		t.Errorf("after 900 s: %d", status)
	}
}

func TestAnUploadComesBackAndGoesThroughTheRecycleBin(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, Options{StateDir: dir})
	sp := w.sim.tenant.spaces[len(w.sim.tenant.spaces)-1]
	q := "?unionId=" + w.sim.tenant.admin.unionID
	if sp.conv != nil {
		q = "?unionId=" + sp.conv.members[0].unionID
	}
	data := []byte("還原的檔案")
	upload := func(name, strategy string) (int, map[string]any) {
		info := w.api("POST", "/v2.0/storage/spaces/files/"+sp.root.uuid+"/uploadInfos/query"+q, map[string]any{"protocol": "HEADER_SIGNATURE", "option": map[string]any{"preCheckParam": map[string]any{"name": name, "size": len(data)}}})
		sig := info["headerSignatureInfo"].(map[string]any)
		req, _ := http.NewRequest("PUT", sig["resourceUrls"].([]any)[0].(string), bytes.NewReader(data))
		for k, v := range sig["headers"].(map[string]any) {
			req.Header.Set(k, v.(string))
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != 200 {
			t.Fatal(err, resp)
		}
		resp.Body.Close()
		return w.call("POST", "/v2.0/storage/spaces/files/"+sp.root.uuid+"/commit"+q, map[string]any{"uploadKey": info["uploadKey"], "name": name, "option": map[string]any{"size": len(data), "conflictStrategy": strategy}})
	}
	_, a := upload("還原.txt", "")
	_, b := upload("還原.txt", "AUTO_RENAME")
	if name := b["dentry"].(map[string]any)["name"]; name != "還原(1).txt" {
		t.Errorf("second name %v", name)
	}
	_, c := upload("還原.txt", "OVERWRITE")
	if v := c["dentry"].(map[string]any); v["version"].(float64) != 2 || v["id"] != a["dentry"].(map[string]any)["id"] {
		t.Errorf("overwrite gave %v", v)
	}
	if _, e := upload("還原.txt", "RETURN_ERROR_IF_EXISTS"); e["code"] != "dentryNameConflict" {
		t.Errorf("%v", e)
	}
	if _, e := w.call("POST", "/v2.0/storage/spaces/files/"+sp.root.uuid+"/commit"+q, map[string]any{"uploadKey": "x", "name": "a|b"}); e["code"] == nil {
		t.Error("a commit without an upload went through")
	}
	id := b["dentry"].(map[string]any)["id"].(string)
	w.control("POST", "delete-file", map[string]any{"spaceId": sp.id, "dentryId": id})
	one := "/v1.0/storage/spaces/" + sp.id + "/dentries/" + id + "/query" + q
	if _, v := w.call("POST", one, map[string]any{}); v["code"] != "dentryNotExist" {
		t.Errorf("deleted: %v", v)
	}
	items := w.api("GET", "/v1.0/storage/recycleBins/"+recycleBinID+"/recycleItems"+q, nil)["recycleItems"].([]any)
	w.api("POST", "/v1.0/storage/recycleBins/"+recycleBinID+"/recycleItems/"+items[0].(map[string]any)["id"].(string)+"/restore"+q, map[string]any{})
	before := w.api("POST", one, map[string]any{})

	// A second simulator on the same state goes on where this one stopped.
	sum := hashJSON(before["dentry"])
	w.sim.Close()
	w2 := newWorld(t, Options{StateDir: dir})
	after := w2.api("POST", one, map[string]any{})
	if hashJSON(after["dentry"]) != sum {
		t.Errorf("after a restart: %v", after)
	}
	if _, got := w2.download(w2.api("POST", strings.Replace(one, "/query?", "/downloadInfos/query?", 1), map[string]any{})); !bytes.Equal(got, data) {
		t.Errorf("after a restart: %q", got)
	}
}

func TestGeneratedFilesAreWhatTheirNamesSay(t *testing.T) {
	for _, kind := range []string{"docx", "pptx", "xlsx", "pdf", "png", "jpg", "wav", "csv", "txt"} {
		for seed := range uint64(5) {
			a, b := generate(kind, seed, "會議紀錄 ata"), generate(kind, seed, "會議紀錄 ata")
			if !bytes.Equal(a, b) {
				t.Fatalf("%s: two makings differ", kind)
			}
			switch kind {
			case "docx", "pptx":
				zr, err := zip.NewReader(bytes.NewReader(a), int64(len(a)))
				if err != nil || zr.File[0].Name != "[Content_Types].xml" {
					t.Fatalf("%s: %v", kind, err)
				}
			case "xlsx":
				f, err := excelize.OpenReader(bytes.NewReader(a))
				if err != nil {
					t.Fatal(err)
				}
				if v, _ := f.GetCellValue("Sheet1", "A1"); v != "會議紀錄 ata" {
					t.Errorf("A1 is %q", v)
				}
				f.Close()
			case "pdf":
				checkPDF(t, a)
			case "png", "jpg":
				if _, _, err := image.Decode(bytes.NewReader(a)); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
		}
	}
}

func checkPDF(t *testing.T, b []byte) {
	t.Helper()
	m := regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`).FindSubmatch(b)
	if m == nil {
		t.Fatal("no startxref")
	}
	at, _ := strconv.Atoi(string(m[1]))
	if !bytes.HasPrefix(b[at:], []byte("xref\n")) {
		t.Fatal("startxref does not point at xref")
	}
	for i, line := range strings.Split(string(b[at:]), "\n")[3:] {
		if !strings.HasSuffix(line, " n ") {
			break
		}
		off, _ := strconv.Atoi(line[:10])
		if !bytes.HasPrefix(b[off:], []byte(fmt.Sprintf("%d 0 obj", i+1))) {
			t.Fatalf("object %d is not at %d", i+1, off)
		}
	}
}

func TestOnlyMembersReadAConversationsFiles(t *testing.T) {
	w := newWorld(t, Options{})
	for _, v := range w.sim.tenant.convs {
		for _, p := range w.sim.tenant.working() {
			if !v.single && !v.has(p) {
				status, e := w.call("POST", "/v1.0/convFile/conversations/spaces/query?unionId="+url.QueryEscape(p.unionID), map[string]any{"openConversationId": v.id})
				if status != 403 || e["code"] != "permissionDenied" {
					t.Errorf("%d %v", status, e)
				}
				return
			}
		}
	}
}
