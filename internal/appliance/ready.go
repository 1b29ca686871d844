package appliance

import (
	"context"
	"errors"

	"farol/internal/archive"
	"farol/internal/db"
)

// Ready says in one word why this appliance does not do its work now, "" when
// it does. Whoever asks is nobody we know: the word names a part and nothing
// about it. A process that answers at all has the root key open.
func (a *Appliance) Ready(ctx context.Context) string {
	err := a.control.View(ctx, func(tx *db.Tx) error {
		var n int
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n)
	})
	if err == nil {
		_, err = a.catalog.Applied(ctx)
	}
	if err != nil {
		return "database"
	}
	if a.audit.Ready() != nil {
		return "log"
	}
	switch err := a.archive.Ready(); {
	case err == nil:
		return ""
	case errors.Is(err, archive.ErrSuperseded):
		return "superseded"
	case errors.Is(err, archive.ErrFull):
		return "full"
	case errors.Is(err, archive.ErrHalted):
		return "journal"
	}
	return "archive"
}
