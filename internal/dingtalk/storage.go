package dingtalk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

func (c *Client) api(ctx context.Context, name, method, path string, q url.Values, body, out any) error {
	b, err := c.do(ctx, request{api: name, host: c.cfg.Hosts.API, method: method, path: path, query: q, body: body, auth: appHeader})
	if err != nil {
		return err
	}
	return decode(name, b, out)
}

// Spaces lists the organisation's drive spaces that operator may see.
func (c *Client) Spaces(ctx context.Context, operator string) ([]Raw, error) {
	var out []Raw
	for tok := ""; ; {
		q := url.Values{"unionId": {operator}, "spaceType": {"org"}, "maxResults": {"20"}}
		if tok != "" {
			q.Set("nextToken", tok)
		}
		var a struct {
			Spaces []Raw  `json:"spaces"`
			Next   string `json:"nextToken"`
		}
		if err := c.api(ctx, "drive/spaces", http.MethodGet, "/v1.0/drive/spaces", q, nil, &a); err != nil {
			return nil, err
		}
		out = append(out, a.Spaces...)
		if a.Next == "" || a.Next == tok || len(a.Spaces) == 0 {
			return out, nil
		}
		tok = a.Next
	}
}

// ConversationSpace asks for the file space of a conversation.
func (c *Client) ConversationSpace(ctx context.Context, operator, conversation string) (Raw, error) {
	var a struct {
		Space Raw `json:"space"`
	}
	err := c.api(ctx, "convFile/conversations/spaces/query", http.MethodPost, "/v1.0/convFile/conversations/spaces/query", url.Values{"unionId": {operator}},
		map[string]string{"openConversationId": conversation}, &a)
	return a.Space, err
}

// Dentries lists every file and folder of a space by modification time, from
// token ("" first). next is "" at the end; last is the newest usable token.
func (c *Client) Dentries(ctx context.Context, operator, space, token string) (items []Raw, next string, err error) {
	opt := map[string]any{"maxResults": 50, "order": "ASC"}
	if token != "" {
		opt["nextToken"] = token
	}
	var a struct {
		Dentries []Raw  `json:"dentries"`
		Next     string `json:"nextToken"`
	}
	err = c.api(ctx, "storage/dentries/listAll", http.MethodPost, "/v1.0/storage/spaces/"+url.PathEscape(space)+"/dentries/listAll", url.Values{"unionId": {operator}},
		map[string]any{"option": opt}, &a)
	if err != nil {
		return nil, "", err
	}
	if a.Next == token || len(a.Dentries) == 0 {
		a.Next = "" // loop guard
	}
	return a.Dentries, a.Next, nil
}

// Dentry reads one file's or folder's entry.
func (c *Client) Dentry(ctx context.Context, operator, space, id string) (Raw, error) {
	var a struct {
		Dentry Raw `json:"dentry"`
	}
	err := c.api(ctx, "storage/dentries/query", http.MethodPost, "/v1.0/storage/spaces/"+url.PathEscape(space)+"/dentries/"+url.PathEscape(id)+"/query", url.Values{"unionId": {operator}},
		map[string]any{"option": map[string]any{}}, &a)
	return a.Dentry, err
}

// Signed is where bytes may be fetched or put, for some minutes: exactly these
// headers must go with it.
type Signed struct {
	URLs    []string
	Headers map[string]string
}

type signatureInfo struct {
	Info struct {
		URLs    []string          `json:"resourceUrls"`
		Headers map[string]string `json:"headers"`
	} `json:"headerSignatureInfo"`
	UploadKey string `json:"uploadKey"`
}

// DownloadInfo asks where a file's bytes lie. version 0 is the newest.
func (c *Client) DownloadInfo(ctx context.Context, operator, space, id string, version int64) (Signed, error) {
	opt := map[string]any{}
	if version > 0 {
		opt["version"] = version
	}
	var a signatureInfo
	err := c.api(ctx, "storage/downloadInfos/query", http.MethodPost, "/v1.0/storage/spaces/"+url.PathEscape(space)+"/dentries/"+url.PathEscape(id)+"/downloadInfos/query",
		url.Values{"unionId": {operator}}, map[string]any{"option": opt}, &a)
	return Signed{a.Info.URLs, a.Info.Headers}, err
}

// Fetch opens the bytes at a signed address. The caller closes the reader.
// size is -1 when the server does not say. No token travels with it.
func (c *Client) Fetch(ctx context.Context, s Signed) (body io.ReadCloser, size int64, err error) {
	last := error(&APIError{API: "download", kind: ErrUnreachable, Message: "no address to download from"})
	for _, u := range s.URLs {
		rq, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
		if err != nil {
			last = &APIError{API: "download", kind: ErrRefused, Message: "the download address is malformed"}
			continue
		}
		if err := c.allowed(rq.URL); err != nil {
			return nil, 0, err
		}
		for k, v := range s.Headers {
			rq.Header.Set(k, v)
		}
		if err := c.pace(transfer).wait(ctx); err != nil {
			return nil, 0, err
		}
		resp, err := c.carrier(rq.URL).Do(rq)
		if errors.Is(err, errPrivate) {
			return nil, 0, &APIError{API: "download", kind: ErrRefused, Message: errPrivate.Error()}
		}
		if err != nil {
			last = &APIError{API: "download", kind: ErrUnreachable, Message: stripURL(err).Error()}
			continue
		}
		switch {
		case resp.StatusCode == http.StatusOK:
			return resp.Body, resp.ContentLength, nil
		case resp.StatusCode == http.StatusNotFound:
			last = &APIError{API: "download", Status: resp.StatusCode, kind: ErrNotFound}
		case resp.StatusCode >= 500:
			last = &APIError{API: "download", Status: resp.StatusCode, kind: ErrUnreachable}
		default:
			last = &APIError{API: "download", Status: resp.StatusCode, kind: ErrRefused, Message: "the signed address has lapsed or was refused"}
		}
		resp.Body.Close()
	}
	return nil, 0, last
}

// allowed keeps a download inside https, or inside a configured plain host:
// an address in an answer must not lead the appliance into the local network.
func (c *Client) allowed(u *url.URL) error {
	if u.Scheme == "https" && !privateHost(u.Hostname()) || c.configured(u) {
		return nil
	}
	return &APIError{API: "download", kind: ErrRefused, Message: "the address is not https or leads into a private network"}
}

// Upload is what came of putting a file back.
type Upload struct {
	Raw  Raw
	ID   string
	UUID string
	Name string
	Size int64
}

// Upload puts bytes into the folder with dentryUuid parent as name. An
// existing file is never overwritten: DingTalk then chooses a free name, which
// the answer gives.
func (c *Client) Upload(ctx context.Context, operator, parent, name string, size int64, body io.Reader) (Upload, error) {
	path := "/v2.0/storage/spaces/files/" + url.PathEscape(parent)
	q := url.Values{"unionId": {operator}}
	var info signatureInfo
	err := c.api(ctx, "storage/uploadInfos/query", http.MethodPost, path+"/uploadInfos/query", q,
		map[string]any{"protocol": "HEADER_SIGNATURE", "option": map[string]any{"preCheckParam": map[string]any{"name": name, "size": size}}}, &info)
	if err != nil {
		return Upload{}, err
	}
	if len(info.Info.URLs) == 0 {
		return Upload{}, &APIError{API: "storage/uploadInfos/query", kind: ErrUnreachable, Message: "no address to upload to"}
	}
	if err := c.put(ctx, Signed{info.Info.URLs, info.Info.Headers}, size, body); err != nil {
		return Upload{}, err
	}
	var a struct {
		Dentry Raw `json:"dentry"`
	}
	err = c.api(ctx, "storage/commit", http.MethodPost, path+"/commit", q,
		map[string]any{"uploadKey": info.UploadKey, "name": name, "option": map[string]any{"size": size, "conflictStrategy": "AUTO_RENAME"}}, &a)
	if err != nil {
		return Upload{}, err
	}
	var d struct {
		ID   string `json:"id"`
		UUID string `json:"uuid"`
		Name string `json:"name"`
		Size int64  `json:"size"`
	}
	if err := decode("storage/commit", a.Dentry, &d); err != nil {
		return Upload{}, err
	}
	return Upload{a.Dentry, d.ID, d.UUID, d.Name, d.Size}, nil
}

func (c *Client) put(ctx context.Context, s Signed, size int64, body io.Reader) error {
	rq, err := http.NewRequestWithContext(ctx, http.MethodPut, s.URLs[0], io.NopCloser(body))
	if err != nil {
		return &APIError{API: "upload", kind: ErrRefused, Message: "the upload address is malformed"}
	}
	if err := c.allowed(rq.URL); err != nil {
		return err
	}
	rq.ContentLength = size
	if size == 0 {
		rq.Body = http.NoBody
	}
	for k, v := range s.Headers {
		rq.Header.Set(k, v)
	}
	rq.Header["Content-Type"] = []string{""} // the signature is over an empty one
	resp, err := c.carrier(rq.URL).Do(rq)
	if errors.Is(err, errPrivate) {
		return &APIError{API: "upload", kind: ErrRefused, Message: errPrivate.Error()}
	}
	if err != nil {
		return &APIError{API: "upload", kind: ErrUnreachable, Message: stripURL(err).Error()}
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return &APIError{API: "upload", Status: resp.StatusCode, kind: ErrRefused, Code: strconv.Itoa(resp.StatusCode)}
	}
	return nil
}

// AddFolder makes a folder in a space; parent "0" is the root. An existing one
// of that name is answered.
func (c *Client) AddFolder(ctx context.Context, operator, space, parent, name string) (id, uuid string, err error) {
	var a struct {
		Dentry struct {
			ID   string `json:"id"`
			UUID string `json:"uuid"`
		} `json:"dentry"`
	}
	err = c.api(ctx, "storage/folders", http.MethodPost, "/v1.0/storage/spaces/"+url.PathEscape(space)+"/dentries/"+url.PathEscape(parent)+"/folders",
		url.Values{"unionId": {operator}}, map[string]any{"name": name, "option": map[string]any{"conflictStrategy": "RETURN_DENTRY_IF_EXISTS"}}, &a)
	return a.Dentry.ID, a.Dentry.UUID, err
}

// SubscribeStorage asks for storage events of the whole organisation.
func (c *Client) SubscribeStorage(ctx context.Context, operator, corpID string) error {
	var a json.RawMessage
	return c.api(ctx, "storage/events/subscribe", http.MethodPost, "/v1.0/storage/events/subscribe", url.Values{"unionId": {operator}},
		map[string]string{"scope": "ORG", "scopeId": corpID}, &a)
}
