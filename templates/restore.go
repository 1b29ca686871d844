package templates

import (
	"context"

	"farol/internal/i18n"
)

func (p RestoreNew) heading(ctx context.Context) string {
	if p.Step == 1 {
		return i18n.T(ctx, "restore.title.what")
	}
	return i18n.T(ctx, "restore.title.where")
}
