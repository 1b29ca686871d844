package simulator

import (
	"bytes"
	"testing"
)

func TestAnAttackIsPlayedAndSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, Options{StateDir: dir})
	hit := w.control("POST", "ransom", map[string]any{"count": 5})
	sp := w.sim.tenant.bySpace[hit["spaceId"].(string)]
	struck := func(sp *space) (files [][]byte, note bool) {
		for _, d := range sp.order {
			if v := d.version(0); v != nil && v.content.kind == "noise" {
				if d.json(0).Size != v.content.length() || v.n < 2 || d.extension() != "lockbit" {
					t.Errorf("struck file: %+v", d.json(0))
				}
				if before := d.version(v.n - 1); before.content.length() != v.content.length() || bytes.Equal(before.content.bytes(), v.content.bytes()) {
					t.Error("the version before is not the file as it was")
				}
				files = append(files, v.content.bytes())
			}
			note = note || d.name == "HOW_TO_DECRYPT_FILES.txt"
		}
		return files, note
	}
	files, note := struck(sp)
	if len(files) != 5 || hit["encrypted"].(float64) != 5 || !note {
		t.Fatalf("%d files struck, note %v, told %v", len(files), note, hit)
	}
	before := len(sp.order)
	gone := w.control("POST", "mass-delete", map[string]any{"spaceId": sp.id, "count": 3})
	if gone["deleted"].(float64) != 3 {
		t.Errorf("told %v", gone)
	}
	if status, _ := w.raw("POST", "/_sim/ransom", map[string]any{"spaceId": "none"}); status != 400 {
		t.Errorf("an attack on nothing answers %d", status)
	}
	w.sim.Close()
	again, err := New(w.sim.opt)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	later, _ := struck(again.tenant.bySpace[sp.id])
	deleted := 0
	for _, d := range again.tenant.bySpace[sp.id].order {
		if d.deleted {
			deleted++
		}
	}
	if len(later) != 5 || len(again.tenant.bySpace[sp.id].order) != before || deleted < 3 {
		t.Fatalf("after a restart %d files are struck, %d deleted", len(later), deleted)
	}
	for i := range later {
		if !bytes.Equal(later[i], files[i]) {
			t.Errorf("file %d has other bytes after a restart", i)
		}
	}
}
