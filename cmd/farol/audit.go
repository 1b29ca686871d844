package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"farol/internal/appliance"
)

func auditCmd(o *options) *cobra.Command {
	c := &cobra.Command{Use: "audit", Aliases: []string{"log"}, Short: "The audit log"}
	c.AddCommand(&cobra.Command{Use: "verify", Short: "Read the whole log and compare it with every checkpoint kept of it; offline. Says at which entry it differs", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		cfg, err := o.load()
		if err != nil {
			return err
		}
		n, heads, err := appliance.VerifyLog(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "verified: %d entries match the checkpoint and %d kept elsewhere\n", n, heads)
		return nil
	}}, auditPackage(o))
	return c
}

func auditPackage(o *options) *cobra.Command {
	var from, to, out string
	c := &cobra.Command{Use: "package", Short: "Write the package of a period for a regulator: entries, proofs, checkpoints and the program that checks them; the running appliance makes an entry of it",
		Example: "  farol audit package --from 2026-01-01 --to 2026-06-30 --out /mnt/usb/audit-2026-h1.zip", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" || to == "" || out == "" {
				return usageError{errors.New("--from, --to and --out are needed")}
			}
			path, err := filepath.Abs(out)
			if err != nil {
				return usageError{err}
			}
			return ask(o, cmd, "audit-package", map[string]string{"from": from, "to": to, "out": path}, func(b json.RawMessage) error {
				var v struct {
					First, End, Expired int64
					Size                int64 `json:"log_size"`
				}
				if err := json.Unmarshal(b, &v); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %d entries, numbers %d to %d, of a log of %d; %d have expired\n", path, v.End-v.First, v.First, v.End-1, v.Size, v.Expired)
				return nil
			})
		}}
	c.Flags().StringVar(&from, "from", "", "first day, YYYY-MM-DD, in Macau")
	c.Flags().StringVar(&to, "to", "", "last day, YYYY-MM-DD, in Macau")
	c.Flags().StringVar(&out, "out", "", "a new file, outside Farol's own folders")
	return c
}
