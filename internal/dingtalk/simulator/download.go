package simulator

import (
	"net/url"
	"strconv"
	"time"
)

// signatureInfo is how a caller reaches the object store.
type signatureInfo struct {
	ResourceURLs []string          `json:"resourceUrls"`
	InternalURLs []string          `json:"internalResourceUrls"`
	Headers      map[string]string `json:"headers"`
	Expiration   int               `json:"expirationSeconds"`
	Region       string            `json:"region"`
}

func (c *call) signed(method, path string) signatureInfo {
	u := url.URL{Path: path}
	return signatureInfo{[]string{origin(c.s, c.r) + u.EscapedPath()}, []string{}, c.s.sign(method, path, c.s.opt.DownloadSeconds), c.s.opt.DownloadSeconds, "ZHANGJIAKOU"}
}

func downloadInfo(c *call) (any, error) {
	d, _, err := c.dentry()
	if err != nil {
		return nil, err
	}
	n, err := c.args.obj("option").num("version", 0)
	if err != nil {
		return nil, c.bad("paramError.version", "version")
	}
	switch {
	case d.folder || d.driver != "DINGTALK":
		return nil, apiError{status: 400, code: "operationNotSupported", msg: "operation not supported"}
	case d.version(n) == nil:
		return nil, notFound("dentryNotExist", "version not exist")
	case d.cold && !c.s.thaw(d.id):
		return nil, apiError{status: 400, code: "fileArchived", msg: "file is archived, thawing has started"}
	}
	p := "/yundisk0/" + d.uuid + "/" + strconv.FormatInt(d.version(n).n, 10)
	return struct {
		Protocol string        `json:"protocol"`
		Info     signatureInfo `json:"headerSignatureInfo"`
	}{"HEADER_SIGNATURE", c.signed("GET", p)}, nil
}

// thaw starts warming a cold file on the first call; it is ready 60 s later.
func (s *Simulator) thaw(id string) bool {
	at, ok := s.thawed[id]
	if !ok {
		s.thawed[id] = s.now()
		return false
	}
	return s.now().Sub(at) >= time.Minute
}
