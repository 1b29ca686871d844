package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
)

// The two servers of the members' chat gateway that the official command-line
// client knows.
const (
	chatServer = "0a1609437385696b77fc4771c3ddaf5656b487f809966c0cc8d4755e7b1d3b74"
	imServer   = "450eede6b54d83e030140e66ec77c98a2e89a0869ef4db481f8217a98a42f821"
)

// tool is one MCP tool; required arguments end in "!".
type tool struct {
	server, name, args string
	call               func(*toolCall) (any, error)
}

// toolCall is one tools/call by a member.
type toolCall struct {
	s    *Simulator
	r    *http.Request
	tool *tool
	who  *person
	args args
}

var tools = []tool{
	{imServer, "list_all_conversations", "limit cursor excludeMuted", listConversations},
	{imServer, "list_conversation_members", "openConversationId! limit cursor", listConversationMembers},
	{imServer, "list_messages_by_ids", "openMsgIds!", listMessagesByIDs},
	{imServer, "get_resource_download_url", "resourceType! resourceId! openMessageId! openConversationId!", resourceDownloadURL},
	{chatServer, "list_conversation_message_v2", "openconversation_id! time! forward! limit", listConversationMessages},
	{chatServer, "list_individual_chat_message", "userId openDingTalkId time! forward! limit", listIndividualMessages},
	{chatServer, "search_messages_by_time_range", "startTime! endTime! limit cursor", searchMessages},
	{chatServer, "list_topic_replies", "openConversationId openConvThreadId! limit cursor", listTopicReplies},
}

// toolError is what a tool answers with isError.
type toolError struct{ code, msg string }

func (e toolError) Error() string { return e.code + ": " + e.msg }

// confusingDenial is what the gateway says about a lapsed token: that the
// organisation has not switched the access on. Callers must probe before they
// believe it.
var confusingDenial = toolError{"CLI_ORG_NOT_ENABLED", "该组织尚未开启 CLI 数据访问权限，请联系主管理员开启"}

type rpcRequest struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Method  string          `json:"method"`
	Params  struct {
		Name            string `json:"name"`
		Arguments       args   `json:"arguments"`
		ProtocolVersion string `json:"protocolVersion"`
	} `json:"params"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

type rpcResponse struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result,omitempty"`
	Error   *rpcError       `json:"error,omitempty"`
}

type toolContent struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type toolResult struct {
	Content []toolContent `json:"content"`
	IsError bool          `json:"isError"`
}

// serveRouteA is mcp-gw.dingtalk.com: JSON-RPC 2.0 over POST.
func (s *Simulator) serveRouteA(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return
	}
	s.mu.Lock()
	status, body := s.answerRPC(r, raw)
	s.mu.Unlock()
	writeBody(w, status, body)
}

func (s *Simulator) answerRPC(r *http.Request, raw []byte) (int, []byte) {
	server := strings.TrimPrefix(r.URL.Path, "/server/")
	if r.Method != http.MethodPost || server != chatServer && server != imServer {
		s.violate(r, "no such MCP server")
		return http.StatusNotFound, mustJSON(map[string]any{"code": "serverNotFound", "message": "server not found"})
	}
	var req rpcRequest
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&req); err != nil || req.Version != "2.0" {
		s.violate(r, "not a JSON-RPC 2.0 request")
		return http.StatusOK, mustJSON(rpcResponse{Version: "2.0", Error: &rpcError{-32700, "Parse error"}})
	}
	if req.ID == nil {
		return http.StatusAccepted, []byte("{}") // a notification
	}
	answer := rpcResponse{Version: "2.0", ID: req.ID}
	switch req.Method {
	case "initialize":
		version := "2025-03-26"
		if slices.Contains([]string{"2024-11-05", "2024-06-18"}, req.Params.ProtocolVersion) {
			version = req.Params.ProtocolVersion
		}
		answer.Result = map[string]any{"protocolVersion": version, "capabilities": map[string]any{"tools": map[string]any{}},
			"serverInfo": map[string]any{"name": "dingtalk", "version": "1.0.0"}}
	case "ping":
		answer.Result = map[string]any{}
	case "tools/list":
		answer.Result = map[string]any{"tools": toolList(server)}
	case "tools/call":
		if status := s.callTool(r, server, &req, &answer); status != 0 {
			return status, mustJSON(map[string]any{"code": "systemBusy", "message": "system busy"})
		}
	default:
		s.violate(r, "unknown method "+req.Method)
		answer.Error = &rpcError{-32601, "Method not found"}
	}
	return http.StatusOK, mustJSON(answer)
}

func toolList(server string) []any {
	var out []any
	for _, t := range tools {
		if t.server != server {
			continue
		}
		props, required := map[string]any{}, []string{}
		for f := range strings.FieldsSeq(t.args) {
			name, must := strings.CutSuffix(f, "!")
			props[name] = map[string]any{}
			if must {
				required = append(required, name)
			}
		}
		out = append(out, map[string]any{"name": t.name, "inputSchema": map[string]any{"type": "object", "properties": props, "required": required}})
	}
	return out
}

// callTool runs a tool for the member whose token came in both headers. It
// answers an HTTP status when the gateway itself refuses.
func (s *Simulator) callTool(r *http.Request, server string, req *rpcRequest, answer *rpcResponse) int {
	i := slices.IndexFunc(tools, func(t tool) bool { return t.server == server && t.name == req.Params.Name })
	if i < 0 {
		s.violate(r, "no tool "+req.Params.Name+" on this server")
		answer.Error = &rpcError{-32602, "Unknown tool: " + req.Params.Name}
		return 0
	}
	name := tools[i].name
	s.limits.called("tool " + name)
	if s.limits.over("tool "+name, s.opt.QPS, s.now()) || s.faults.take(s, "qps", name) != nil {
		return http.StatusTooManyRequests
	}
	c := &toolCall{s: s, r: r, tool: &tools[i], args: req.Params.Arguments}
	payload, err := c.run()
	if err == nil {
		answer.Result = toolResult{Content: []toolContent{{"text", string(mustJSON(map[string]any{"success": true, "result": payload}))}}}
		return 0
	}
	var te toolError
	if !errors.As(err, &te) {
		te = toolError{"systemError", err.Error()}
	}
	answer.Result = toolResult{IsError: true, Content: []toolContent{{"text",
		string(mustJSON(map[string]any{"success": false, "errorCode": te.code, "errorMsg": te.msg}))}}}
	return 0
}

func (c *toolCall) run() (any, error) {
	s := c.s
	bearer := strings.TrimPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	user := c.r.Header.Get("x-user-access-token")
	if user == "" || bearer != user {
		s.violate(c.r, "Authorization and x-user-access-token must carry the same member's token")
		return nil, toolError{"InvalidAuthentication", "缺少或不一致的用户 token"}
	}
	if s.faults.take(s, "expired_token", c.tool.name) != nil || s.refused["cli"] {
		return nil, confusingDenial
	}
	if c.who = s.tokens.member(user, s.now()); c.who == nil {
		return nil, toolError{"InvalidAuthentication", "用户 token 无效或已过期"}
	}
	known := map[string]bool{}
	for f := range strings.FieldsSeq(c.tool.args) {
		name, must := strings.CutSuffix(f, "!")
		known[name] = true
		if must && c.args[name] == nil {
			return nil, c.bad("missing argument " + name)
		}
	}
	for k := range c.args {
		if !known[k] {
			s.violate(c.r, c.tool.name+" has no argument "+k)
		}
	}
	return c.tool.call(c)
}

func (c *toolCall) bad(reason string) error {
	c.s.violate(c.r, c.tool.name+": "+reason)
	return toolError{"PARAM_ERROR", reason}
}

func (c *toolCall) limit() (int, error) {
	n, err := c.args.num("limit", 20)
	if err != nil || n < 1 || n > 100 {
		return 0, c.bad("limit must be 1 to 100")
	}
	return int(n), nil
}

// conversation is the one the arguments name, if the member is in it.
func (c *toolCall) conversation(key string) (*conversation, error) {
	v := c.s.tenant.byConv[c.args.str(key)]
	if v == nil || !v.has(c.who) {
		return nil, toolError{"CONVERSATION_NOT_FOUND", "会话不存在或无权访问"}
	}
	return v, nil
}
