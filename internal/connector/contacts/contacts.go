// Package contacts captures departments and people. Permissions:
// qyapi_get_department_list, qyapi_get_member, qyapi_get_department_member.
// There is no filter by change: every pull walks the tree, which costs no
// quota. Only what the app's visible range shows can be had.
package contacts

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"farol/internal/connector"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

// Org is the one container of this kind.
const Org = "org"

// Contacts is the connector.
type Contacts struct{}

// New returns the connector.
func New() Contacts { return Contacts{} }

// Kind is contacts.
func (Contacts) Kind() record.Kind { return record.Contacts }

// Sources is the organisation itself.
func (Contacts) Sources(_ context.Context, _ *connector.Env, found func(connector.Source) error) error {
	return found(connector.Source{Container: record.Container{Kind: record.Contacts, ID: Org, Title: Org, Dept: 1}})
}

type department struct {
	ID     int64  `json:"dept_id"`
	Parent int64  `json:"parent_id"`
	Name   string `json:"name"`
}

type user struct {
	UserID  string  `json:"userid"`
	UnionID string  `json:"unionid"`
	Name    string  `json:"name"`
	Title   string  `json:"title"`
	Email   string  `json:"email"`
	Mobile  string  `json:"mobile"`
	Job     string  `json:"job_number"`
	Depts   []int64 `json:"dept_id_list"`
	Hired   int64   `json:"hired_date"`
}

// first is the department that owns the person's record.
func (u *user) first(listed int64) int64 {
	if len(u.Depts) > 0 {
		return u.Depts[0]
	}
	return listed
}

// Learn fills the directory from a person's record.
func (Contacts) Learn(rec *record.Record, people *connector.Directory) {
	var u user
	if strings.HasPrefix(rec.ID, "user-") && json.Unmarshal(rec.Raw, &u) == nil {
		if rec.Deleted {
			people.Remove(u.UserID)
			return
		}
		people.Add(connector.User{UserID: u.UserID, UnionID: u.UnionID, Name: u.Name, Dept: u.first(rec.Dept)})
	}
}

// Pull walks the departments from the root and the people of each. A person in
// two departments is one record.
func (Contacts) Pull(ctx context.Context, env *connector.Env, _ connector.Source, _ string, emit func(connector.Page) error) error {
	seen, later := map[string]bool{}, map[string]connector.Item{}
	root, err := env.Client.Department(ctx, 1)
	if err != nil {
		return fmt.Errorf("read the root department: %w", err)
	}
	queue := []dingtalk.Raw{root}
	for len(queue) > 0 {
		raw := queue[0]
		queue = queue[1:]
		var d department
		if err := json.Unmarshal(raw, &d); err != nil {
			return fmt.Errorf("read a department: %w", err)
		}
		subs, err := env.Client.SubDepartments(ctx, d.ID)
		if err != nil {
			return fmt.Errorf("list departments: %w", err)
		}
		queue = append(queue, subs...)
		page := connector.Page{Items: []connector.Item{{Rec: record.Record{
			Ref: record.Ref{Kind: record.Contacts, Container: Org, ID: deptID(d.ID)}, Time: epoch, Dept: d.ID, Raw: raw}}}}
		if err := addUsers(ctx, env, d.ID, seen, later, &page); err != nil {
			return err
		}
		if len(queue) == 0 {
			page.Walked = true
			for id, it := range later { // their first department is out of the app's sight
				if !seen[id] {
					page.Items = append(page.Items, it)
				}
			}
		}
		if err := emit(page); err != nil {
			return err
		}
	}
	return nil
}

// epoch stands for records that upstream gives no time for.
var epoch = time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)

func deptID(id int64) string { return "dept-" + strconv.FormatInt(id, 10) }

func addUsers(ctx context.Context, env *connector.Env, dept int64, seen map[string]bool, later map[string]connector.Item, page *connector.Page) error {
	for cursor := int64(0); cursor >= 0; {
		users, next, err := env.Client.Users(ctx, dept, cursor)
		if err != nil {
			return fmt.Errorf("list people: %w", err)
		}
		for _, raw := range users {
			var u user
			if err := json.Unmarshal(raw, &u); err != nil || u.UserID == "" {
				return fmt.Errorf("read a person: %w", err)
			}
			first := u.first(dept)
			env.People.Add(connector.User{UserID: u.UserID, UnionID: u.UnionID, Name: u.Name, Dept: first})
			if seen[u.UserID] {
				continue
			}
			at := epoch
			if u.Hired > 0 {
				at = time.UnixMilli(u.Hired).UTC()
			}
			it := connector.Item{Rec: record.Record{
				Ref: record.Ref{Kind: record.Contacts, Container: Org, ID: "user-" + u.UserID}, Time: at, Author: u.UserID, Dept: first, Raw: raw}}
			if first != dept {
				later[u.UserID] = it // taken where it is at home, so that its bytes are one version
				continue
			}
			seen[u.UserID] = true
			page.Items = append(page.Items, it)
		}
		cursor = next
	}
	return nil
}

// Document shows a department or a person.
func (Contacts) Document(rec *record.Record) (connector.Document, error) {
	if id, ok := strings.CutPrefix(rec.ID, "dept-"); ok {
		var d department
		if err := json.Unmarshal(rec.Raw, &d); err != nil {
			return connector.Document{}, fmt.Errorf("read department %s: %w", id, err)
		}
		return connector.Document{Title: d.Name, Time: rec.Time, Dept: &record.Dept{ID: d.ID, Parent: d.Parent, Name: d.Name}}, nil
	}
	var u user
	if err := json.Unmarshal(rec.Raw, &u); err != nil {
		return connector.Document{}, fmt.Errorf("read person: %w", err)
	}
	doc := connector.Document{Title: u.Name, Author: connector.Person{Key: u.UserID, Name: u.Name}, Time: rec.Time}
	for _, f := range []connector.Field{{Label: "field.title", Value: u.Title}, {Label: "field.job_number", Value: u.Job}, {Label: "field.mobile", Value: u.Mobile}, {Label: "field.email", Value: u.Email}} {
		if f.Value != "" {
			doc.Fields = append(doc.Fields, f)
		}
	}
	return doc, nil
}

// Hint answers the contact events: all of them mean, walk again.
func (Contacts) Hint(ev dingtalk.Event) (connector.Hint, bool) {
	switch ev.Type {
	case "user_add_org", "user_modify_org", "user_leave_org", "user_active_org", "org_dept_create", "org_dept_modify", "org_dept_remove", "org_change":
		return connector.Hint{Container: Org}, true
	}
	return connector.Hint{}, false
}

// PullItem is not needed: no hint of this kind names one item.
func (Contacts) PullItem(context.Context, *connector.Env, connector.Source, string) (connector.Item, error) {
	return connector.Item{}, dingtalk.ErrNotFound
}

// Gone asks DingTalk about a person or department that the walk did not list.
func (Contacts) Gone(ctx context.Context, env *connector.Env, rec *record.Record) (bool, error) {
	var err error
	if id, ok := strings.CutPrefix(rec.ID, "dept-"); ok {
		n, perr := strconv.ParseInt(id, 10, 64)
		if perr != nil {
			return false, nil
		}
		_, err = env.Client.Department(ctx, n)
	} else {
		_, err = env.Client.User(ctx, strings.TrimPrefix(rec.ID, "user-"))
	}
	return gone(err)
}

func gone(err error) (bool, error) {
	if connector.IsGone(err) {
		return true, nil
	}
	return false, err
}
