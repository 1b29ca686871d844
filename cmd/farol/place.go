package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"farol/internal/appliance"
)

func placeCmd(o *options) *cobra.Command {
	c := &cobra.Command{Use: "place", Short: "Further copies: a second disk, a NAS, S3-compatible storage, SFTP",
		Long: "Further copies. To move one: add the new place, wait until `farol place list` calls it current, retire the old one."}
	c.AddCommand(placeAdd(o), placeList(o), placeVerify(o), placeRetire(o))
	return c
}

// placeFlags are the flags that say where a place is. What it returns reads
// them, once they are set, for a kind.
func placeFlags(f *pflag.FlagSet) func(kind string) (appliance.PlaceConfig, error) {
	var p appliance.PlaceConfig
	var secret, hostKey, ca string
	f.StringVar(&p.Path, "path", "", "folder (absolute), or prefix in the bucket")
	f.StringVar(&p.Host, "host", "", "s3, sftp: host:port")
	f.StringVar(&p.Bucket, "bucket", "", "s3: bucket, which must exist")
	f.StringVar(&p.Region, "region", "", "s3: region")
	f.StringVar(&p.User, "user", "", "sftp: user; s3: access key")
	f.StringVar(&secret, "secret-file", "", "file with the password, the private key or the secret key")
	f.StringVar(&hostKey, "host-key-file", "", "sftp: file with the server's public key, such as its ssh_host_ed25519_key.pub")
	f.StringVar(&ca, "ca-file", "", "s3: certificate of a private server, PEM")
	f.BoolVar(&p.Plain, "plain", false, "s3: without TLS, a server on this machine only")
	return func(kind string) (appliance.PlaceConfig, error) {
		p.Kind = kind
		if kind != "dir" && kind != "s3" && kind != "sftp" || p.Path == "" && kind != "s3" {
			return p, usageError{errors.New("a kind (dir, s3 or sftp) and --path are needed")}
		}
		for file, to := range map[string]*string{secret: &p.Secret, hostKey: &p.HostKey, ca: &p.CA} {
			if file == "" {
				continue
			}
			b, err := os.ReadFile(file)
			if err != nil {
				return p, usageError{err}
			}
			*to = strings.TrimSpace(string(b))
		}
		return p, nil
	}
}

func placeAdd(o *options) *cobra.Command {
	var kind, name, price string
	var to appliance.Transfer
	var lock appliance.Lock
	var place func(kind string) (appliance.PlaceConfig, error)
	c := &cobra.Command{Use: "add", Short: "Take a storage place into use; it is filled in the background", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		in, err := place(kind)
		if err != nil {
			return err
		}
		in.Name, in.Transfer, in.Lock = name, to, lock
		if lock.Strict && lock.Days == 0 {
			return usageError{errors.New("--lock-compliance needs --lock-days")}
		}
		if in.Price, err = appliance.ParsePrice(price); err != nil {
			return usageError{err}
		}
		return ask(o, cmd, "place-add", in, nil)
	}}
	f := c.Flags()
	f.StringVar(&kind, "kind", "", "dir, s3 or sftp")
	place = placeFlags(f)
	f.StringVar(&name, "name", "", "what people call it")
	f.IntVar(&lock.Days, "lock-days", 0, "s3: object lock: for so many days nobody with the access key can delete what was written; extended while it is needed")
	f.BoolVar(&lock.Strict, "lock-compliance", false, "s3: COMPLIANCE in place of GOVERNANCE: nobody lifts the lock before its date, not even the owner of the account")
	f.StringVar(&price, "price", "", "what a GB costs there a month, as 0.18 (MOP) or \"0.023 USD\"; the console shows what that comes to")
	transferFlags(f, &to)
	return c
}

// transferFlags are the flags that say where bytes lie and what lets them leave.
func transferFlags(f *pflag.FlagSet, to *appliance.Transfer) {
	f.StringVar(&to.Country, "country", "MO", "where the bytes lie; outside Macau all of the following is needed")
	f.StringVar(&to.Basis, "basis", "", "what lets them leave: consent, authorisation, or contract for the mainland")
	f.StringVar(&to.City, "city", "", "mainland: a city of the Greater Bay Area, as zhuhai")
	f.StringVar(&to.Filing, "filing", "", "number of the notification, authorisation or contract")
	f.StringVar(&to.Filed, "filed", "", "day of the filing, as 2026-11-29")
	f.StringVar(&to.Until, "until", "", "last day on which it holds")
	f.StringVar(&to.Reviewer, "reviewer", "", "who looked at it")
}

func placeList(o *options) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "How the further copies stand", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return ask(o, cmd, "places", nil, func(b json.RawMessage) error {
			var rows []appliance.PlaceRow
			if err := json.Unmarshal(b, &rows); err != nil {
				return err
			}
			for _, r := range rows {
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %-5s %-8s %d of %d MB  last complete %s  %s %s\n", r.ID, r.Kind, r.State, r.Done>>20, r.Total>>20, r.LastOK.Format(time.RFC3339), r.Name, r.Problem)
			}
			return nil
		})
	}}
}

func placeVerify(o *options) *cobra.Command {
	return &cobra.Command{Use: "verify ID", Short: "Read a copy again and compare every file with its hash; what differs is written again", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		damaged := 0
		err := ask(o, cmd, "place-verify", map[string]string{"id": args[0]}, func(b json.RawMessage) error {
			var r struct {
				Files, Bytes int64
				Damaged      []string
				Lock         appliance.LockReport
			}
			if err := json.Unmarshal(b, &r); err != nil {
				return err
			}
			damaged = len(r.Damaged)
			fmt.Fprintf(cmd.OutOrStdout(), "read %d files, %d bytes; differed and written again: %d\n", r.Files, r.Bytes, damaged)
			if l := r.Lock; l.Asked > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "of %d files %d are not locked; the first lock ends %s, the last %s\n", l.Asked, l.Open, l.First.Format(time.RFC3339), l.Last.Format(time.RFC3339))
			}
			return nil
		})
		if err == nil && damaged > 0 {
			return fmt.Errorf("%w: %d files of the copy differed", appliance.ErrNotVerified, damaged)
		}
		return err
	}}
}

func placeRetire(o *options) *cobra.Command {
	var erase, force bool
	c := &cobra.Command{Use: "retire ID", Short: "End the use of a place; another copy must be complete", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		return ask(o, cmd, "place-retire", map[string]any{"id": args[0], "erase": erase, "force": force}, nil)
	}}
	c.Flags().BoolVar(&erase, "erase", false, "remove the copy too")
	c.Flags().BoolVar(&force, "force", false, "even if it is the only copy, or is gone for ever")
	return c
}
