package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"farol/internal/appliance"
)

func rebuildCmd(o *options) *cobra.Command {
	return &cobra.Command{Use: "rebuild", Short: "Make the catalog anew from the archive alone; the appliance must be stopped", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		cfg, err := o.load()
		if err != nil {
			return err
		}
		last := time.Now()
		r, err := appliance.RebuildCatalog(cmd.Context(), cfg, appliance.Logger(cfg.LogLevel), func(n int64) {
			if time.Since(last) > 2*time.Second {
				last = time.Now()
				fmt.Fprintf(cmd.ErrOrStderr(), "%d records\n", n)
			}
		})
		if err != nil {
			return err
		}
		if o.json {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "rebuilt: %d records in %s, %.0f a second\n", r.Records, r.Took.Round(time.Millisecond), r.Rate)
		return nil
	}}
}
