package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func (w *world) purpose(ctx context.Context, p *person, why string) error {
	_, err := p.post(ctx, "/purpose", url.Values{"purpose": {why}, "title": {"smoke: " + why}, "next": {"/"}})
	return err
}

// disaster deletes a department in the simulated tenant and puts its files and
// chats back through the console.
func (w *world) disaster(ctx context.Context, p *person) error {
	dept, files, chats, err := w.victim(ctx)
	if err != nil {
		return err
	}
	said, err := w.expected(ctx, "chat")
	if err != nil {
		return err
	}
	var gone map[string]any
	if err := w.ask(ctx, "POST", "/_sim/delete-department", map[string]any{"deptId": dept}, &gone); err != nil {
		return err
	}
	say("department deleted in DingTalk", "%v", compact(gone))
	if !chats && (len(files) == 0 || w.owned(dept, "chat") > 0) {
		if err := w.givenByExport(ctx, dept, said); err != nil {
			return err
		}
	}
	if len(files) == 0 {
		return nil
	}
	if err := w.purpose(ctx, p, "recovery"); err != nil {
		return err
	}
	if err := p.stepUp(ctx); err != nil {
		return err
	}
	kinds := []string{"files"} // an import of very many messages would take hours at DingTalk's pace
	if chats {
		kinds = append(kinds, "chat")
	}
	for _, kind := range kinds {
		start := time.Now()
		if _, err := p.post(ctx, "/restore/run", url.Values{"dept": {strconv.FormatInt(dept, 10)}, "target": {"dingtalk"}, "kind": {kind}}); err != nil {
			return err
		}
		job, err := w.follow(ctx)
		if err != nil {
			return err
		}
		say(kind+" restored into DingTalk", "%s, compared item by item, in %s", job, time.Since(start).Round(time.Millisecond))
	}
	return w.compareFiles(ctx, files)
}

// givenByExport wants every message that the deletion took from DingTalk in an
// export of the department, byte for byte.
func (w *world) givenByExport(ctx context.Context, dept int64, before []truth) error {
	left, err := w.expected(ctx, "chat")
	if err != nil {
		return err
	}
	still := map[string]bool{}
	for _, t := range left {
		still[t.Container+"/"+t.ID] = true
	}
	dir := filepath.Join(w.o.dir, "exports", "department")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	start := time.Now()
	args := []string{"export", dir, "--purpose", "recovery", "--kind", "chat"}
	if w.owned(dept, "chat") > 0 {
		args = append(args, "--dept", strconv.FormatInt(dept, 10))
	}
	if err := w.farol(ctx, nil, args...); err != nil {
		return err
	}
	took := time.Since(start)
	c := newCopied()
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "records.ndjson" {
			return err
		}
		return c.read(path)
	})
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		return err
	}
	n, bad := 0, 0
	for _, t := range before {
		if t.Type != "message" || still[t.Container+"/"+t.ID] {
			continue
		}
		n++
		if l, ok := c.records["chat/"+t.Container+"/"+t.ID]; !ok || hex.EncodeToString(l.raw[:]) != t.SHA256 {
			bad++
		}
	}
	say("deleted messages given back", "%d of %d by export in %s, byte for byte", n-bad, n, took.Round(time.Millisecond))
	if bad > 0 || n == 0 {
		return fmt.Errorf("%d of %d deleted messages are not in the export", bad, n)
	}
	return nil
}

func compact(m map[string]any) string {
	var parts []string
	for _, k := range []string{"departments", "people", "conversations", "messages", "files", "spaces"} {
		if v, ok := m[k]; ok {
			parts = append(parts, fmt.Sprintf("%v %s", v, k))
		}
	}
	if len(parts) == 0 {
		return fmt.Sprint(m)
	}
	return strings.Join(parts, ", ")
}

// victim chooses a department that owns files, and chats when they are few
// enough to be imported at DingTalk's pace. It returns the hashes of the
// files' bytes.
func (w *world) victim(ctx context.Context) (dept int64, files map[string]int, chats bool, err error) {
	var info simInfo
	if err := w.ask(ctx, "GET", "/_sim/info", nil, &info); err != nil {
		return 0, nil, false, err
	}
	best := int64(0)
	bestMessages := 1 << 30
	dir := filepath.Join(w.o.dir, "exports", "victim")
	parents := map[int64]bool{1: true}
	for _, d := range info.Departments {
		parents[d.Parent] = true
	}
	for _, d := range info.Departments {
		if d.ID == 1 || parents[d.ID] && w.o.chats == "" {
			continue // one without departments below it, so that CI's time is bounded
		}
		n := w.owned(d.ID, "files")
		m := w.owned(d.ID, "chat")
		if n >= 1 && m < bestMessages && (m > 20 || w.o.chats != "") {
			best, bestMessages = d.ID, m
		}
	}
	if best == 0 { // everything is the organisation's: a department that has a group then
		for _, d := range info.Departments {
			if d.ID != 1 && d.Groups > 0 {
				return d.ID, nil, false, nil
			}
		}
		return 0, nil, false, errors.New("no department owns files or has a group")
	}
	few := bestMessages > 0 && bestMessages < 3000
	if w.owned(best, "files") == 0 {
		return best, nil, few, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return 0, nil, false, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return 0, nil, false, err
	}
	var sum struct{ Items int64 }
	if err := w.farol(ctx, &sum, "export", dir, "--purpose", "verification", "--kind", "files", "--dept", strconv.FormatInt(best, 10)); err != nil {
		return 0, nil, false, err
	}
	c := newCopied()
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "records.ndjson" {
			return err
		}
		return c.read(path)
	})
	files = map[string]int{}
	for _, l := range c.records {
		for _, b := range l.Blobs {
			files[b.SHA256]++
		}
	}
	return best, files, few, errors.Join(err, os.RemoveAll(dir))
}

// owned asks the appliance how many items of a kind a department owns.
func (w *world) owned(dept int64, kind string) int {
	return w.counts[strconv.FormatInt(dept, 10)+"/"+kind]
}

// follow waits for the newest restore to end.
func (w *world) follow(ctx context.Context) (string, error) {
	for end := time.Now().Add(20 * time.Minute); ; {
		var s struct {
			Jobs []struct {
				State, Problem string
				Done, Total    int64
				Outcomes       map[string]int
			}
		}
		if err := w.farol(ctx, &s, "status"); err != nil {
			return "", err
		}
		if len(s.Jobs) == 0 {
			return "", errors.New("the appliance knows of no restore")
		}
		if j := s.Jobs[0]; j.State != "running" {
			text := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprint(j.Outcomes), "map["), "]")
			if j.State != "done" || j.Outcomes["failed"] > 0 {
				return text, fmt.Errorf("the restore ended %s %s: %s", j.State, j.Problem, text)
			}
			return text, nil
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if time.Now().After(end) {
			return "", errors.New("the restore did not end in 20 minutes")
		}
	}
}

// compareFiles wants every deleted file's bytes in DingTalk again.
func (w *world) compareFiles(ctx context.Context, want map[string]int) error {
	rows, err := w.expected(ctx, "files")
	if err != nil {
		return err
	}
	have := map[string]int{}
	for _, t := range rows {
		if t.Type == "file" {
			have[t.ContentSHA256]++
		}
	}
	n, missing := 0, 0
	for h, c := range want {
		n += c
		missing += max(0, c-have[h])
	}
	say("files in DingTalk again", "%d of %d, byte for byte", n-missing, n)
	if missing > 0 {
		return fmt.Errorf("%d of %d deleted files are not back", missing, n)
	}
	return nil
}
