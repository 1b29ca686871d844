// Package approvals captures OA approvals with their attachments. Permissions:
// Workflow.Form.Read, Workflow.Instance.Read, and Workflow.Instance.Write for
// attachments. DingTalk lists instances by creation time only, 120 days at a
// time, no further back than 365 days; approvals cannot be written back.
//
// The cursor is the end of the last window in epoch milliseconds; instances
// still running are read again in every pull.
package approvals

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

// Approvals is the connector.
type Approvals struct{}

// New returns the connector.
func New() Approvals { return Approvals{} }

// Kind is approvals.
func (Approvals) Kind() record.Kind { return record.Approvals }

type form struct {
	Code string `json:"processCode"`
	Name string `json:"name"`
}

var (
	epoch    = time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)
	errShape = errors.New("the item has an unknown shape")
)

// Sources lists the forms.
func (Approvals) Sources(ctx context.Context, env *connector.Env, found func(connector.Source) error) error {
	raws, err := env.Client.Forms(ctx)
	if err != nil {
		return fmt.Errorf("list approval forms: %w", err)
	}
	for _, raw := range raws {
		var f form
		if err := json.Unmarshal(raw, &f); err != nil || f.Code == "" {
			return fmt.Errorf("read an approval form: %w", errShape)
		}
		err := found(connector.Source{Container: record.Container{Kind: record.Approvals, ID: f.Code, Title: f.Name, Dept: 1},
			Describe: []record.Record{{Ref: record.Ref{Kind: record.Approvals, Container: f.Code, ID: "@"}, Time: epoch, Dept: 1, Raw: raw}}})
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	window = 119 * 24 * time.Hour // DingTalk allows 120 days
	wall   = 364 * 24 * time.Hour // and 365 days back
)

// Pull lists the ids of each window and reads every instance.
func (Approvals) Pull(ctx context.Context, env *connector.Env, src connector.Source, cursor string, emit func(connector.Page) error) error {
	now := env.Now().UTC()
	from := now.Add(-wall)
	if ms, err := strconv.ParseInt(cursor, 10, 64); err == nil {
		// ids of the last hour again: creation time and listing may disagree a little
		from = later(from, time.UnixMilli(ms).Add(-time.Hour))
		if err := running(ctx, env, src, now, from, emit); err != nil {
			return err
		}
	}
	for from.Before(now) {
		to := from.Add(window)
		if to.After(now) {
			to = now
		}
		ids, err := env.Client.Instances(ctx, src.ID, from, to, nil)
		if err != nil {
			return fmt.Errorf("list approvals: %w", err)
		}
		for len(ids) > 0 {
			n := min(len(ids), 20)
			page, err := instances(ctx, env, src, ids[:n])
			if err != nil {
				return err
			}
			if ids = ids[n:]; len(ids) == 0 {
				page.Cursor = strconv.FormatInt(to.UnixMilli(), 10)
			}
			if err := emit(page); err != nil {
				return err
			}
		}
		from = to
	}
	return emit(connector.Page{Cursor: strconv.FormatInt(now.UnixMilli(), 10), Walked: true})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// running reads the instances again that were under way before from: the
// filter by creation time does not show that they were decided.
func running(ctx context.Context, env *connector.Env, src connector.Source, now, until time.Time, emit func(connector.Page) error) error {
	for from := now.Add(-wall); from.Before(until); from = from.Add(window) {
		to := from.Add(window)
		if to.After(until) {
			to = until
		}
		ids, err := env.Client.Instances(ctx, src.ID, from, to, []string{"RUNNING"})
		if err != nil {
			return fmt.Errorf("list running approvals: %w", err)
		}
		for len(ids) > 0 {
			n := min(len(ids), 20)
			page, err := instances(ctx, env, src, ids[:n])
			if err != nil {
				return err
			}
			if err := emit(page); err != nil {
				return err
			}
			ids = ids[n:]
		}
	}
	return nil
}

func instances(ctx context.Context, env *connector.Env, src connector.Source, ids []string) (connector.Page, error) {
	var page connector.Page
	items, errs := make([]connector.Item, len(ids)), make([]error, len(ids))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4) // the client's rate limit decides the pace
	for i, id := range ids {
		g.Go(func() error {
			items[i], errs[i] = read(gctx, env, src, id)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return page, err
	}
	for i, err := range errs {
		switch {
		case err == nil:
			page.Items = append(page.Items, items[i])
		case errors.Is(err, dingtalk.ErrNotFound), errors.Is(err, dingtalk.ErrRefused), errors.Is(err, errShape):
			page.Lost = append(page.Lost, connector.Lost{ID: ids[i], Err: err})
		default:
			return page, err
		}
	}
	return page, nil
}

type instance struct {
	Title    string `json:"title"`
	Created  string `json:"createTime"`
	Finished string `json:"finishTime"`
	Who      string `json:"originatorUserId"`
	DeptID   string `json:"originatorDeptId"`
	Dept     string `json:"originatorDeptName"`
	Status   string `json:"status"`
	Result   string `json:"result"`
	Number   string `json:"businessId"`
	Values   []struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Value string `json:"value"`
		Type  string `json:"componentType"`
	} `json:"formComponentValues"`
	Records []struct {
		UserID string `json:"userId"`
		Date   string `json:"date"`
		Show   string `json:"showName"`
		Result string `json:"result"`
		Remark string `json:"remark"`
		Files  []file `json:"attachments"`
	} `json:"operationRecords"`
}

type file struct {
	ID    string `json:"fileId"`
	Name  string `json:"fileName"`
	Size  any    `json:"fileSize"`
	Space any    `json:"spaceId"`

	comment bool
}

func (f file) size() int64 {
	n, err := strconv.ParseInt(fmt.Sprint(f.Size), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func parse(raw []byte) (instance, error) {
	var in instance
	if err := json.Unmarshal(raw, &in); err != nil {
		return in, fmt.Errorf("read an approval: %w", errors.Join(errShape, err))
	}
	return in, nil
}

// files are the attachments of the form, of table rows, and of comments.
func (in *instance) files() []file {
	var out []file
	for _, v := range in.Values {
		switch v.Type {
		case "DDAttachment":
			var fs []file
			if json.Unmarshal([]byte(v.Value), &fs) == nil {
				out = append(out, fs...)
			}
		case "TableField":
			out = append(out, nested(v.Value)...)
		}
	}
	for _, r := range in.Records {
		for _, f := range r.Files {
			f.comment = true
			out = append(out, f)
		}
	}
	return out
}

// nested finds attachments inside a table's JSON wherever they stand.
func nested(text string) []file {
	var root any
	if json.Unmarshal([]byte(text), &root) != nil {
		return nil
	}
	var out []file
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			if id, ok := v["fileId"].(string); ok {
				name, _ := v["fileName"].(string)
				out = append(out, file{ID: id, Name: name, Size: v["fileSize"]})
				return
			}
			for _, k := range sortedKeys(v) {
				walk(v[k])
			}
		case string:
			if strings.HasPrefix(v, "[{") && strings.Contains(v, "fileId") {
				out = append(out, nested(v)...)
			}
		}
	}
	walk(root)
	return out
}

func read(ctx context.Context, env *connector.Env, src connector.Source, id string) (connector.Item, error) {
	raw, err := env.Client.Instance(ctx, id)
	if err != nil {
		return connector.Item{}, fmt.Errorf("read an approval: %w", err)
	}
	in, err := parse(raw)
	if err != nil {
		return connector.Item{}, err
	}
	at, err := clock(in.Created)
	if err != nil {
		return connector.Item{}, err
	}
	dept, err := strconv.ParseInt(in.DeptID, 10, 64)
	if err != nil || dept < 1 {
		dept = 1 // DingTalk writes -1 for the root
	}
	it := connector.Item{Rec: record.Record{Ref: record.Ref{Kind: record.Approvals, Container: src.ID, ID: id}, Time: at, Author: in.Who, Dept: dept, Raw: raw}}
	for _, f := range in.files() {
		it.Attach = append(it.Attach, connector.Attachment{Key: f.ID, Name: f.Name, Size: f.size(), Open: func(ctx context.Context) (io.ReadCloser, int64, error) {
			s, err := env.Client.ApprovalFile(ctx, id, f.ID, f.comment)
			if err != nil {
				return nil, 0, err
			}
			return env.Client.Fetch(ctx, s)
		}})
	}
	return it, nil
}

// clock reads a time such as 2022-08-31T11:52Z. Whether its Z is honest is
// unknown; the bytes received are kept, so a later answer changes nothing.
func clock(s string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02T15:04Z07:00", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("read an approval's time: %w", errShape)
}

// Document shows an approval or a form.
func (Approvals) Document(rec *record.Record) (connector.Document, error) {
	if rec.ID == "@" {
		var f form
		if err := json.Unmarshal(rec.Raw, &f); err != nil {
			return connector.Document{}, fmt.Errorf("read an approval form: %w", err)
		}
		return connector.Document{Title: f.Name, Container: &record.Container{Kind: record.Approvals, ID: f.Code, Title: f.Name, Dept: rec.Dept}}, nil
	}
	in, err := parse(rec.Raw)
	if err != nil {
		return connector.Document{}, err
	}
	doc := connector.Document{Title: in.Title, Author: connector.Person{Key: in.Who}, Time: rec.Time, State: connector.State{Running: in.Status == "RUNNING"}}
	add := func(label, value string) {
		if value != "" {
			doc.Fields = append(doc.Fields, connector.Field{Label: label, Value: value})
		}
	}
	add("field.number", in.Number)
	add("field.status", in.Status)
	add("field.result", in.Result)
	add("field.department", in.Dept)
	for _, v := range in.Values {
		if v.Type != "DDAttachment" && v.Type != "DDPhotoField" {
			add(v.Name, plain(v.Value))
		}
	}
	var steps []string
	for _, r := range in.Records {
		step := strings.TrimSpace(r.Date + " " + r.Show + " " + r.Result)
		if r.Remark != "" {
			step += ": " + r.Remark
		}
		steps = append(steps, step)
	}
	doc.Body = strings.Join(steps, "\n")
	for _, f := range in.files() {
		doc.Files = append(doc.Files, f.Name)
	}
	return doc, nil
}

// Hint answers the approval events.
func (Approvals) Hint(ev dingtalk.Event) (connector.Hint, bool) {
	if ev.Type != "bpms_instance_change" && ev.Type != "bpms_task_change" {
		return connector.Hint{}, false
	}
	var d struct {
		Instance string `json:"processInstanceId"`
		Form     string `json:"processCode"`
	}
	if json.Unmarshal(ev.Data, &d) != nil || d.Instance == "" || d.Form == "" {
		return connector.Hint{}, false
	}
	return connector.Hint{Container: d.Form, Item: d.Instance}, true
}

// PullItem reads one approval.
func (Approvals) PullItem(ctx context.Context, env *connector.Env, src connector.Source, id string) (connector.Item, error) {
	return read(ctx, env, src, id)
}
