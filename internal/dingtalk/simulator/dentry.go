package simulator

import (
	"path"
	"strings"
	"time"
)

// dentry is a file or folder. Its versions ascend; the last is current.
type dentry struct {
	id, uuid string
	space    *space
	parent   *dentry
	name     string
	folder   bool
	driver   string // DINGTALK or ALIDOC
	creator  string // unionId
	modifier string
	created  int64
	modified int64
	versions []version
	deleted  bool
	cold     bool
}

type version struct {
	n        int64
	content  *content
	modifier string
	modified int64
}

// version returns version n, or the current one for 0.
func (d *dentry) version(n int64) *version {
	if n == 0 && len(d.versions) > 0 {
		return &d.versions[len(d.versions)-1]
	}
	for i := range d.versions {
		if d.versions[i].n == n {
			return &d.versions[i]
		}
	}
	return nil
}

func (d *dentry) path() string {
	if d.parent == nil {
		return "/"
	}
	return path.Join(d.parent.path(), d.name)
}

// gone reports whether it or a folder above it is in the recycle bin.
func (d *dentry) gone() bool {
	for ; d != nil; d = d.parent {
		if d.deleted {
			return true
		}
	}
	return false
}

func (d *dentry) extension() string {
	if d.folder {
		return ""
	}
	return strings.TrimPrefix(path.Ext(d.name), ".")
}

type dentryJSON struct {
	ID            string         `json:"id"`
	UUID          string         `json:"uuid"`
	SpaceID       string         `json:"spaceId"`
	ParentID      string         `json:"parentId"`
	Type          string         `json:"type"`
	Name          string         `json:"name"`
	Size          int64          `json:"size"`
	Path          string         `json:"path"`
	Version       int64          `json:"version"`
	Status        string         `json:"status"`
	Extension     string         `json:"extension"`
	CreatorID     string         `json:"creatorId"`
	ModifierID    string         `json:"modifierId"`
	CreateTime    string         `json:"createTime"`
	ModifiedTime  string         `json:"modifiedTime"`
	Properties    map[string]any `json:"properties"`
	AppProperties map[string]any `json:"appProperties"`
	PartitionType string         `json:"partitionType"`
	StorageDriver string         `json:"storageDriver"`
	Category      string         `json:"category,omitempty"`
}

const isoTime = "2006-01-02T15:04:05Z"

func isoText(ms int64) string { return time.UnixMilli(ms).UTC().Format(isoTime) }

// json is the dentry at version n (0 is current), the same bytes from every
// call; only the one-folder listing and a commit add the category.
func (d *dentry) json(n int64) dentryJSON {
	j := dentryJSON{ID: d.id, UUID: d.uuid, SpaceID: d.space.id, ParentID: "0", Type: "FILE", Name: d.name, Path: d.path(),
		Version: 1, Status: "NORMAL", Extension: d.extension(), CreatorID: d.creator, ModifierID: d.modifier,
		CreateTime: isoText(d.created), ModifiedTime: isoText(d.modified),
		Properties: map[string]any{"readOnly": false}, AppProperties: map[string]any{},
		PartitionType: "PUBLIC_OSS_PARTITION", StorageDriver: d.driver}
	if d.parent != nil {
		j.ParentID = d.parent.id
	}
	if d.folder {
		j.Type = "FOLDER"
		return j
	}
	if v := d.version(n); v != nil {
		j.Version, j.ModifierID, j.ModifiedTime = v.n, v.modifier, isoText(v.modified)
		if d.driver == "DINGTALK" {
			j.Size = v.content.length()
		}
	}
	return j
}

func (d *dentry) category() string {
	switch d.extension() {
	case "":
		return ""
	case "png", "jpg":
		return "IMAGE"
	case "wav":
		return "AUDIO"
	case "adoc", "docx", "xlsx", "pptx", "pdf", "txt", "csv":
		return "DOCUMENT"
	}
	return "OTHER"
}
