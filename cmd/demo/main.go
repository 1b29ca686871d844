// Command demo starts a whole Farol on loopback: simulated DingTalk, appliance
// and off-site node, set up through the same pages as a person uses. With
// -smoke it then checks the main job end to end and prints each figure.
//
// It is a tool of the repository and not part of the packages.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

type options struct {
	dir, bin, chats string
	port            int
	traffic         float64
	people, msgs    int
	smoke           bool
	fresh           bool
	kills           int
	keep            bool
	installed       string
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", ".demo", "folder of all state")
	flag.StringVar(&o.bin, "bin", "bin", "folder of the built programs")
	flag.StringVar(&o.chats, "chats", "", "real conversations to play, NDJSON, gzipped")
	flag.IntVar(&o.port, "port", 8443, "port of the console; the simulator and the node take the two after it")
	flag.Float64Var(&o.traffic, "traffic", 0.5, "live changes a second, 0 for none")
	flag.IntVar(&o.people, "people", 186, "people of the simulated company")
	flag.IntVar(&o.msgs, "messages", 12000, "messages of the simulated company")
	flag.BoolVar(&o.smoke, "smoke", false, "check the main job, print figures, end with 0 or 1")
	flag.BoolVar(&o.fresh, "fresh", false, "remove the folder first")
	flag.IntVar(&o.kills, "kills", 0, "kill -9 the appliance so many times during the first backup, and again during live traffic")
	flag.BoolVar(&o.keep, "keep", false, "keep the folder after a good smoke run")
	flag.StringVar(&o.installed, "installed", "", "configuration of a Farol that runs here already: set it up, or sign in where that was done, and print what it holds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, o)
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.fresh {
		if err := os.RemoveAll(o.dir); err != nil {
			return fmt.Errorf("remove the old state: %w", err)
		}
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	if o.smoke || o.installed != "" {
		o.traffic = 0
	}
	w := newWorld(o)
	defer func() { err = errors.Join(err, w.stopAll()) }()
	began := time.Now()
	if err := w.start(ctx); err != nil {
		return err
	}
	p, err := w.person(ctx)
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	if err := w.firstBackup(ctx, p); err != nil {
		return fmt.Errorf("first backup: %w", err)
	}
	if o.installed != "" {
		return w.sayHeld(ctx)
	}
	if o.smoke {
		err := w.smoke(ctx, p, began)
		if err == nil && !o.keep {
			return errors.Join(w.stopAll(), os.RemoveAll(o.dir))
		}
		return err
	}
	fmt.Printf("ready %s user=%s password=%s totp=%s\n", w.url(), p.Name, p.Password, p.URL)
	fmt.Fprintf(os.Stderr, "started in %s; the company talks on; Ctrl-C stops everything, `make demo` continues from here\n", time.Since(began).Round(time.Second))
	return w.wait(ctx)
}

// say prints one figure on a line, aligned, as smoke promises.
func say(name, format string, args ...any) {
	fmt.Printf("%-34s %s\n", name, fmt.Sprintf(format, args...))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
