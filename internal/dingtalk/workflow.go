package dingtalk

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Forms lists the approval forms of the organisation.
func (c *Client) Forms(ctx context.Context) ([]Raw, error) {
	var out []Raw
	for tok := int64(0); ; {
		var a struct {
			Result struct {
				Next *int64 `json:"nextToken"`
				List []Raw  `json:"processList"`
			} `json:"result"`
		}
		q := url.Values{"maxResults": {"100"}, "nextToken": {strconv.FormatInt(tok, 10)}}
		if err := c.api(ctx, "workflow/userVisibilities/templates", http.MethodGet, "/v1.0/workflow/processes/userVisibilities/templates", q, nil, &a); err != nil {
			return nil, err
		}
		out = append(out, a.Result.List...)
		if a.Result.Next == nil || *a.Result.Next == tok || len(a.Result.List) == 0 {
			return out, nil
		}
		tok = *a.Result.Next
	}
}

// Instances lists the ids of a form's instances made in [from, to), at most
// 120 days wide and not before 365 days ago.
func (c *Client) Instances(ctx context.Context, form string, from, to time.Time, statuses []string) ([]string, error) {
	var out []string
	for tok := int64(0); ; {
		body := map[string]any{"processCode": form, "startTime": from.UnixMilli(), "endTime": to.UnixMilli(), "maxResults": 20, "nextToken": tok}
		if len(statuses) > 0 {
			body["statuses"] = statuses
		}
		var a struct {
			Result struct {
				List []string `json:"list"`
				Next string   `json:"nextToken"`
			} `json:"result"`
		}
		if err := c.api(ctx, "workflow/instanceIds/query", http.MethodPost, "/v1.0/workflow/processes/instanceIds/query", nil, body, &a); err != nil {
			return nil, err
		}
		out = append(out, a.Result.List...)
		next, err := strconv.ParseInt(a.Result.Next, 10, 64)
		if err != nil || next == tok || len(a.Result.List) == 0 {
			return out, nil
		}
		tok = next
	}
}

// Instance reads one approval.
func (c *Client) Instance(ctx context.Context, id string) (Raw, error) {
	var a struct {
		Result Raw `json:"result"`
	}
	err := c.api(ctx, "workflow/processInstances", http.MethodGet, "/v1.0/workflow/processInstances", url.Values{"processInstanceId": {id}}, nil, &a)
	return a.Result, err
}

// ApprovalFile asks where an approval's attachment lies, for 15 minutes.
func (c *Client) ApprovalFile(ctx context.Context, instance, file string, comment bool) (Signed, error) {
	var a struct {
		Result struct {
			URL string `json:"downloadUri"`
		} `json:"result"`
	}
	err := c.api(ctx, "workflow/processInstances/spaces/files/urls/download", http.MethodPost, "/v1.0/workflow/processInstances/spaces/files/urls/download", nil,
		map[string]any{"processInstanceId": instance, "fileId": file, "withCommentAttatchment": comment}, &a)
	return Signed{URLs: []string{a.Result.URL}}, err
}
