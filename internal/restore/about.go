package restore

import (
	"context"
	"strconv"
)

// aboutRecord names, for the log, where a record lies and who made it, so that
// an auditor finds who looked into a department, a conversation or a person's
// records. It names no content, and is empty for what is not there.
func (d *Door) aboutRecord(ctx context.Context, id int64) map[string]string {
	h, err := d.d.Catalog.Get(ctx, everywhere, id, 0)
	if err != nil {
		return map[string]string{}
	}
	out := map[string]string{"dept": strconv.FormatInt(h.Dept, 10), "container": strconv.FormatInt(h.Container, 36)}
	if h.Author != 0 {
		out["person"] = strconv.FormatInt(h.Author, 36)
	}
	return out
}

// aboutContainer names the department of a container.
func (d *Door) aboutContainer(ctx context.Context, id int64) map[string]string {
	dept, err := d.d.Catalog.ContainerDept(ctx, id)
	if err != nil {
		return nil
	}
	return map[string]string{"dept": strconv.FormatInt(dept, 10)}
}

// Person is how the log names the person with an upstream key (userId, unionId,
// openDingTalkId) in entries about records of his.
func (d *Door) Person(key string) string { return strconv.FormatInt(d.d.Catalog.PersonID(key), 36) }
