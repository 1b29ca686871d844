package dingtalk

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Raw is one item exactly as it stood in the answer.
type Raw = json.RawMessage

func (c *Client) legacy(ctx context.Context, path string, body, out any) error {
	b, err := c.do(ctx, request{api: path[1:], host: c.cfg.Hosts.OAPI, method: http.MethodPost, path: path, body: body, auth: appQuery, free: true})
	if err != nil {
		return err
	}
	return decode(path, b, out)
}

func decode(api string, b []byte, out any) error {
	if err := json.Unmarshal(b, out); err != nil {
		return &APIError{API: api, kind: ErrUnreachable, Message: "the answer has an unknown shape"}
	}
	return nil
}

// SubDepartments lists the departments right under parent (1 is the root).
func (c *Client) SubDepartments(ctx context.Context, parent int64) ([]Raw, error) {
	var a struct{ Result []Raw }
	err := c.legacy(ctx, "/topapi/v2/department/listsub", map[string]any{"dept_id": parent}, &a)
	return a.Result, err
}

// Department reads one department.
func (c *Client) Department(ctx context.Context, id int64) (Raw, error) {
	var a struct{ Result Raw }
	err := c.legacy(ctx, "/topapi/v2/department/get", map[string]any{"dept_id": id}, &a)
	return a.Result, err
}

// Users lists the people right in a department, from cursor (0 first). next is
// -1 at the end.
func (c *Client) Users(ctx context.Context, dept, cursor int64) (users []Raw, next int64, err error) {
	var a struct {
		Result struct {
			HasMore bool  `json:"has_more"`
			Next    int64 `json:"next_cursor"`
			List    []Raw `json:"list"`
		}
	}
	err = c.legacy(ctx, "/topapi/v2/user/list", map[string]any{"dept_id": dept, "cursor": cursor, "size": 100, "contain_access_limit": false}, &a)
	if err != nil {
		return nil, 0, err
	}
	next = a.Result.Next
	if !a.Result.HasMore || len(a.Result.List) == 0 || next == cursor {
		next = -1 // loop guard: a cursor that stands still is the end
	}
	return a.Result.List, next, nil
}

// User reads one person.
func (c *Client) User(ctx context.Context, userID string) (Raw, error) {
	var a struct{ Result Raw }
	err := c.legacy(ctx, "/topapi/v2/user/get", map[string]any{"userid": userID}, &a)
	return a.Result, err
}

// UserByUnion finds the employee that a unionId stands for: [ErrNotFound] when
// this company has none, which a contact from outside is too.
func (c *Client) UserByUnion(ctx context.Context, unionID string) (userID string, err error) {
	var a struct {
		Result struct {
			Type   int    `json:"contact_type"` // 0 employee, 1 external contact
			UserID string `json:"userid"`
		}
	}
	const path = "/topapi/user/getbyunionid"
	if err := c.legacy(ctx, path, map[string]any{"unionid": unionID}, &a); err != nil {
		return "", err
	}
	if a.Result.UserID == "" || a.Result.Type != 0 {
		return "", &APIError{API: path[1:], kind: ErrNotFound}
	}
	return a.Result.UserID, nil
}

// Visible is the part of the organisation that the app may see.
type Visible struct {
	Depts []int64  `json:"authed_dept"`
	Users []string `json:"authed_user"`
}

// Visible asks which departments the app may see.
func (c *Client) Visible(ctx context.Context) (Visible, error) {
	b, err := c.do(ctx, request{api: "auth/scopes", host: c.cfg.Hosts.OAPI, method: http.MethodGet, path: "/auth/scopes", auth: appQuery, free: true})
	if err != nil {
		return Visible{}, err
	}
	var a struct {
		Scopes Visible `json:"auth_org_scopes"`
	}
	if err := decode("auth/scopes", b, &a); err != nil {
		return Visible{}, fmt.Errorf("visible range: %w", err)
	}
	return a.Scopes, nil
}
