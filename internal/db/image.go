package db

import (
	"context"
	"database/sql"
	"fmt"
	"io"
)

// Image writes the file as the transaction sees it, page by page, while others
// write on. Unlike [DB.Copy] it needs no second room on disk, and pages that
// did not change since an earlier image lie where they lay: what stores both
// need store them once.
func (tx *Tx) Image(ctx context.Context, w io.Writer) error {
	rows, err := tx.QueryContext(ctx, "SELECT data FROM sqlite_dbpage ORDER BY pgno")
	if err != nil {
		return fmt.Errorf("read the pages: %w", damaged(err))
	}
	defer rows.Close()
	for rows.Next() {
		var page sql.RawBytes // good until the next row
		if err := rows.Scan(&page); err != nil {
			return fmt.Errorf("read the pages: %w", damaged(err))
		}
		if _, err := w.Write(page); err != nil {
			return fmt.Errorf("write the image: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the pages: %w", damaged(err))
	}
	return nil
}
