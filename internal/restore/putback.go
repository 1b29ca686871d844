package restore

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"farol/internal/catalog"
	"farol/internal/connector/files"
	"farol/internal/dingtalk"
	"farol/internal/record"
)

// putBack carries out a plan.
type putBack struct {
	d        *Door
	client   *dingtalk.Client
	operator string
	readers  []string // members whose consent stands, for reading back
	job      *Job
	stamp    string
	staff    map[string]bool // who is still there, as far as asked
	fallback string          // an organisation space, for files whose own space is gone
	touched  touched
}

func (b *putBack) run(ctx context.Context, p plan) error {
	for _, c := range p.containers {
		for _, h := range c.hits {
			b.touched.add(h)
		}
		var err error
		switch c.info.Kind {
		case record.Files:
			err = b.files(ctx, c)
		case record.Chat:
			err = b.chat(ctx, c)
		default:
			for range c.hits {
				b.job.item(JobItem{Kind: c.info.Kind, Name: c.info.Title, Container: c.info.Title, Outcome: NotWritable, Detail: "restore.not_writable"})
			}
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// stops are errors that end the whole restore; others end one item.
func stops(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, dingtalk.ErrQuota) || errors.Is(err, dingtalk.ErrPermission) || errors.Is(err, dingtalk.ErrCredentials)
}

// files uploads the files of a space into a new folder of it, with their own
// folders below.
func (b *putBack) files(ctx context.Context, c planned) error {
	space, operator := c.info.ID, b.operator
	root, rootUUID, err := b.folder(ctx, space)
	if err != nil && !stops(ctx, err) { // the space is gone: an organisation space takes the files
		if space, err = b.orgSpace(ctx); err == nil {
			root, rootUUID, err = b.folder(ctx, space)
		}
	}
	if err != nil {
		return fmt.Errorf("make a folder to restore into: %w", err)
	}
	made := map[string][2]string{"": {root, rootUUID}}
	for _, h := range c.hits {
		if err := b.file(ctx, operator, space, c, h, made); err != nil {
			return err
		}
	}
	return nil
}

func (b *putBack) folder(ctx context.Context, space string) (id, uuid string, err error) {
	return b.client.AddFolder(ctx, b.operator, space, "0", "Farol "+b.stamp)
}

func (b *putBack) orgSpace(ctx context.Context) (string, error) {
	if b.fallback != "" {
		return b.fallback, nil
	}
	raws, err := b.client.Spaces(ctx, b.operator)
	if err != nil {
		return "", err
	}
	for _, raw := range raws {
		var s struct {
			ID string `json:"spaceId"`
		}
		if json.Unmarshal(raw, &s) == nil && s.ID != "" {
			b.fallback = s.ID
			return s.ID, nil
		}
	}
	return "", errors.New("the organisation has no drive space")
}

func (b *putBack) file(ctx context.Context, operator, space string, c planned, h catalog.Hit, made map[string][2]string) error {
	out := JobItem{Kind: record.Files, Container: c.info.Title}
	rec, err := b.d.read(ctx, h)
	if err != nil {
		out.Outcome, out.Detail = NotRestored, "restore.damaged"
		b.job.item(out)
		return ctx.Err()
	}
	e, err := files.ParseEntry(rec.Raw)
	if err != nil {
		out.Outcome, out.Detail = NotRestored, "restore.damaged"
		b.job.item(out)
		return nil
	}
	out.Name = e.Name
	if e.Type != "FILE" {
		out.Outcome, out.Detail = NotWritable, "restore.folder" // folders come with their files
		b.job.item(out)
		return nil
	}
	if len(rec.Blobs) == 0 {
		out.Outcome, out.Detail = NotWritable, "restore.no_bytes"
		b.job.item(out)
		return nil
	}
	blob := rec.Blobs[0]
	out.SHA256 = blob.SHA256
	if there, err := b.stillThere(ctx, e); err != nil && stops(ctx, err) {
		return err
	} else if there {
		out.Outcome = StillThere
		b.job.item(out)
		return nil
	}
	if err := b.upload(ctx, operator, space, e, blob, made); err != nil {
		if stops(ctx, err) {
			return err
		}
		out.Outcome, out.Detail = NotRestored, "restore.upload_failed"
		if errors.Is(err, errDiffers) {
			out.Detail = "restore.differs"
		}
		b.d.d.Log.WarnContext(ctx, "a file was not restored", "err", err)
		b.job.item(out)
		return nil
	}
	out.Outcome = Restored
	b.job.item(out)
	return nil
}

// stillThere asks whether upstream still has the very version.
func (b *putBack) stillThere(ctx context.Context, e files.Entry) (bool, error) {
	raw, err := b.client.Dentry(ctx, b.operator, e.Space, e.ID)
	if errors.Is(err, dingtalk.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	now, err := files.ParseEntry(raw)
	return err == nil && now.Version == e.Version && now.Status != "DELETED", nil
}

// errDiffers means that what DingTalk gives back is not what was sent.
var errDiffers = errors.New("the file read back differs")

func (b *putBack) upload(ctx context.Context, operator, space string, e files.Entry, blob record.Blob, made map[string][2]string) error {
	parent, err := b.parent(ctx, space, strings.Trim(path.Dir(e.Path), "/."), made)
	if err != nil {
		return err
	}
	rd, err := b.d.d.Archive.OpenBlob(ctx, blob)
	if err != nil {
		return err
	}
	up, err := b.client.Upload(ctx, operator, parent, e.Name, blob.Size, rd)
	if err = errors.Join(err, rd.Close()); err != nil {
		return err
	}
	s, err := b.client.DownloadInfo(ctx, operator, space, up.ID, 0)
	if err != nil {
		return err
	}
	body, _, err := b.client.Fetch(ctx, s)
	if err != nil {
		return err
	}
	hash := sha256.New()
	_, err = io.Copy(hash, body)
	if err = errors.Join(err, body.Close()); err != nil {
		return err
	}
	if record.Hash(hash.Sum(nil)) != blob.SHA256 {
		return errDiffers
	}
	return nil
}

// parent makes the folders of a path under the restore folder.
func (b *putBack) parent(ctx context.Context, space, dir string, made map[string][2]string) (string, error) {
	if p, ok := made[dir]; ok {
		return p[1], nil
	}
	up := ""
	if i := strings.LastIndexByte(dir, '/'); i >= 0 {
		up = dir[:i]
	}
	if _, err := b.parent(ctx, space, up, made); err != nil {
		return "", err
	}
	id, uuid, err := b.client.AddFolder(ctx, b.operator, space, made[up][0], path.Base(dir))
	if err != nil {
		return "", fmt.Errorf("make a folder: %w", err)
	}
	made[dir] = [2]string{id, uuid}
	return uuid, nil
}
