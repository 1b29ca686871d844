package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"farol/internal/appliance"
)

func mergeCmd(o *options) *cobra.Command {
	var q appliance.MergeAsk
	c := &cobra.Command{Use: "merge DIR", Short: "Take over what a former appliance captured after this one had taken over; DIR is its state folder or a copy of it", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		var err error
		if q.StateDir, err = filepath.Abs(args[0]); err != nil {
			return usageError{err}
		}
		if q.ArchiveDir != "" {
			if q.ArchiveDir, err = filepath.Abs(q.ArchiveDir); err != nil {
				return usageError{err}
			}
		}
		return ask(o, cmd, "merge", q, func(b json.RawMessage) error {
			var r appliance.MergeReport
			if err := json.Unmarshal(b, &r); err != nil {
				return err
			}
			word := "taken over"
			if q.Try {
				word = "missing here"
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "the former appliance (epoch %d) holds %d records\n%s: %d of new items, %d newer versions, %d versions beside a later one here, %d entries of its log, %d bytes\ncould not be read there: %d\n",
				r.Epoch, r.Seen, word, r.Added, r.Newer, r.Older, r.Entries, r.Bytes, r.Damaged)
			return err
		})
	}}
	c.Flags().StringVar(&q.ArchiveDir, "archive-dir", "", "its archive folder, where it lies elsewhere")
	c.Flags().BoolVar(&q.Try, "dry-run", false, "only tell what it has that is missing here")
	return c
}
