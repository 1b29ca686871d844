package chat

import (
	"context"
	"encoding/json"
	"strings"

	"farol/internal/connector"
	"farol/internal/dingtalk"
)

// Hint answers the members' personal events.
func (Chat) Hint(ev dingtalk.Event) (connector.Hint, bool) {
	if !strings.HasPrefix(ev.Type, "user_im_message_") && !strings.HasPrefix(ev.Type, "chat_") {
		return connector.Hint{}, false
	}
	var d struct {
		Conversation string `json:"openConversationId"`
		Message      string `json:"openMessageId"`
	}
	if json.Unmarshal(ev.Data, &d) != nil || d.Conversation == "" {
		return connector.Hint{}, false
	}
	// Not new: an edit or recall of something already captured.
	return connector.Hint{Container: d.Conversation, Item: d.Message, Fresh: d.Message != "" && strings.Contains(ev.Type, "_receive_")}, true
}

// PullItem reads one message again.
func (Chat) PullItem(ctx context.Context, env *connector.Env, src connector.Source, id string) (connector.Item, error) {
	if len(src.Via) == 0 {
		return connector.Item{}, dingtalk.ErrConsent
	}
	raws, err := env.Client.MessagesByID(ctx, src.Via[0], []string{id})
	if err != nil {
		return connector.Item{}, err
	}
	if len(raws) == 0 {
		return connector.Item{}, dingtalk.ErrNotFound
	}
	return item(env, src, src.Via[0], raws[0])
}
