//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"ws-fpm/bench/report"
	"ws-fpm/bench/suite"
)

// runSuite is the commands that compare.
func runSuite(command string, args []string, out io.Writer) error {
	o := suite.Options{Log: os.Stderr}
	f := flag.NewFlagSet("bench "+command, flag.ContinueOnError)
	f.StringVar(&o.Root, "root", "..", "the repository's `directory`, with ws-fpm built in it")
	f.StringVar(&o.Golang, "golang", "", "`directory` of the peers in Go, built")
	f.IntVar(&o.Rounds, "rounds", 9, "rounds; each measures everything once")
	f.IntVar(&o.Conns, "conns", 4, "connections to php-fpm, and its children")
	save := f.String("save", "", "`file` to save all figures in, for bench report")
	f.Func("only", "`targets` to measure, such as ws-fpm,gws,floor", func(s string) error {
		o.Only = strings.Split(s, ",")
		return nil
	})
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || o.Rounds < 1 || o.Conns < 1 {
		return fmt.Errorf("%s takes flags only, with numbers from 1 on", command)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	measure := map[string]func(context.Context, suite.Options) (report.Data, error){
		"quick":  suite.Quick,
		"full":   suite.Full,
		"crowd":  suite.Crowd,
		"fanout": suite.Fanout,
	}[command]
	data, err := measure(ctx, o)
	if len(data.Samples) == 0 || err != nil && ctx.Err() == nil {
		return err
	}
	data.Text(out) // of a run that was interrupted, what there is
	if err != nil {
		return err
	}
	if *save != "" {
		if err := data.Save(*save); err != nil {
			return err
		}
	}
	if command != "full" && command != "fanout" || len(o.Only) > 0 {
		return nil
	}
	return publish(data, o.Root)
}

// publish writes what the repository shows of the figures.
func publish(data report.Data, root string) error {
	if slices.ContainsFunc(data.Cells(), func(c report.Cell) bool { return c.Mode == "broadcast" }) {
		return data.WriteReadme(filepath.Join(root, "README.md"), "fanout")
	}
	if err := data.WritePictures(filepath.Join(root, "bench/cpu.svg"), filepath.Join(root, "bench/memory.svg")); err != nil {
		return err
	}
	return data.WriteReadme(filepath.Join(root, "README.md"), "bench")
}

// showSaved is the command report: tables and pictures of a run that was saved.
func showSaved(args []string, out io.Writer) error {
	f := flag.NewFlagSet("bench report", flag.ContinueOnError)
	root := f.String("root", "", "the repository's `directory`: write its README and pictures")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() != 1 {
		return errors.New("report wants one file")
	}
	data, err := report.Load(f.Arg(0))
	if err != nil {
		return err
	}
	data.Text(out)
	if *root == "" {
		return nil
	}
	return publish(data, *root)
}
