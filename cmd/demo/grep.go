package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// grep looks for plaintext in everything the appliance and the node keep:
// message text, file content, names, the password, the app secret, tokens.
func (w *world) grep(ctx context.Context, p *person) error {
	var info simInfo
	if err := w.ask(ctx, "GET", "/_sim/info", nil, &info); err != nil {
		return err
	}
	needles := map[string][]byte{"the password": []byte(p.Password), "the one-time-code secret": []byte(p.Secret), "the app secret": []byte(info.ClientSecret), "the company's name": []byte(info.CorpName)}
	for i, s := range p.Shares {
		needles[fmt.Sprintf("share %d", i+1)] = []byte(s)
	}
	for i, d := range info.Departments {
		if len([]rune(d.Name)) >= 4 {
			needles[fmt.Sprintf("department name %d", i)] = []byte(d.Name)
		}
	}
	for i, text := range w.samples {
		needles[fmt.Sprintf("text %d", i)] = text
	}
	var files, size int64
	for _, dir := range []string{"appliance", "node"} {
		err := filepath.WalkDir(filepath.Join(w.o.dir, dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Type()&os.ModeSocket != 0 {
				return err
			}
			b, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) {
				return nil // folded away since it was listed
			}
			if err != nil {
				return err
			}
			files++
			size += int64(len(b))
			for name, n := range needles {
				if bytes.Contains(b, n) {
					return fmt.Errorf("%s holds %s", d.Name(), name)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, name := range []string{"appliance.log", "node.log"} {
		b, err := os.ReadFile(filepath.Join(w.o.dir, name))
		if err != nil {
			return err
		}
		for what, n := range needles {
			if bytes.Contains(b, n) {
				return fmt.Errorf("%s holds %s", name, what)
			}
		}
	}
	say("no plaintext at rest", "%d texts and secrets looked for in %d files, %d MB: none found", len(needles), files, size>>20)
	return nil
}
