package dingtalk

import (
	"context"
	"net/http"
	"time"
)

// ImportGroup makes a new group to put messages back into. uuid makes a
// repeated call the same group.
func (c *Client) ImportGroup(ctx context.Context, uuid, title, owner string, members []string, at time.Time) (conversation string, err error) {
	users := map[string]any{}
	for _, m := range members {
		users[m] = map[string]any{"joinTime": at.UnixMilli(), "modifyTime": at.UnixMilli(), "mute": true, "topRank": false, "visible": true}
	}
	var a struct {
		Result struct {
			ID string `json:"openConversationId"`
		} `json:"result"`
	}
	err = c.api(ctx, "im/groupChats/import", http.MethodPost, "/v1.0/im/groupChats/import", nil,
		map[string]any{"importUuid": uuid, "title": title, "owner": owner, "userList": users, "createAt": at.UnixMilli()}, &a)
	return a.Result.ID, err
}

// ImportMessage puts one message into an imported group under its sender and
// time. uuid makes a repeated call the same message.
func (c *Client) ImportMessage(ctx context.Context, uuid, conversation, sender, msgType, content string, at time.Time) (task string, err error) {
	var a struct {
		Result struct {
			ID string `json:"openTaskId"`
		} `json:"result"`
	}
	err = c.api(ctx, "im/messages/import", http.MethodPost, "/v1.0/im/messages/import", nil,
		map[string]any{"importUuid": uuid, "openConversationId": conversation, "senderId": sender, "msgType": msgType, "content": content, "createTime": at.UnixMilli()}, &a)
	return a.Result.ID, err
}
