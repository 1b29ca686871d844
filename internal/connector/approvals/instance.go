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

	"farol/internal/connector"
	"farol/internal/record"
)

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
