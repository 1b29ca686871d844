//go:build docs

// The manual pages are made by this program, built with -tags docs, so that
// they say what the verbs say. What the packages hold is built without.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"farol/internal/appliance"
)

func init() { further = append(further, docsCmd) }

// docsCmd writes one page a verb, section 1, and farol.yaml(5).
func docsCmd() *cobra.Command {
	return &cobra.Command{Use: "docs FOLDER", Short: "Write the manual pages", Hidden: true, Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		all := cmd.Root()
		all.DisableAutoGenTag = true
		if err := doc.GenManTree(all, &doc.GenManHeader{Section: "1", Source: "Farol", Manual: "Farol"}, args[0]); err != nil {
			return fmt.Errorf("write the manual pages: %w", err)
		}
		var b bytes.Buffer
		b.WriteString("% \"FAROL.YAML\" \"5\" \"\" \"Farol\" \"Farol\"\n# NAME\nfarol.yaml - configuration of farol\n\n# DESCRIPTION\nEvery key is optional, an unknown one is an error. With the defaults:\n\n```\n")
		if err := appliance.ConfigDoc(&b); err != nil {
			return err
		}
		b.WriteString("```\n\n# SEE ALSO\nfarol(1), farol-serve(1)\n")
		return os.WriteFile(filepath.Join(args[0], "farol.yaml.5"), md2man.Render(b.Bytes()), 0o644)
	}}
}
