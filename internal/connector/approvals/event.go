package approvals

import (
	"context"
	"encoding/json"

	"farol/internal/connector"
	"farol/internal/dingtalk"
)

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
