package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"rollcall/perf/graphd"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

// bench starts and ends the processes of one target after the other.
type bench struct {
	stop           context.Context // ends when all that was started must
	rounds, atOnce int
	profile        string // of Rollcall's side
	servers        string // of each server, with its name behind it
	exe, typedExe  string
	dir            string
	started        []*side.Side
	profiled       *side.Side
	profiles       bool // the first comparison of a target, if it has several
}

// errInterrupted is that the user wants no more.
var errInterrupted = errors.New("interrupted")

// newBench is a bench that an interrupt ends in order: the processes are killed,
// which ends what waits for them. Done ends and removes all that is left.
func newBench() (b *bench, done func(error) error) {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	b = &bench{stop: ctx}
	return b, func(err error) error {
		interrupted := ctx.Err() != nil
		err = errors.Join(err, b.close())
		if b.dir != "" {
			err = errors.Join(err, os.RemoveAll(b.dir))
		}
		restore()
		if interrupted { // what failed for that is no news
			return errInterrupted
		}
		return err
	}
}

// build makes the binary of the typed side, if a target needs it. The first
// time that compiles the SDK's models: minutes, and 5 GB of memory.
func (b *bench) build(chosen []target) (err error) {
	if !slices.ContainsFunc(chosen, func(t target) bool { return t.typed }) {
		return nil
	}
	if b.dir, err = os.MkdirTemp("", "rollcall-perf-"); err != nil {
		return err
	}
	b.typedExe = filepath.Join(b.dir, "typed")
	cmd := exec.CommandContext(b.stop, "go", "build", "-o", b.typedExe, "rollcall/perf/typed")
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "GOTMPDIR="+b.dir)                     // an interrupted build leaves things behind
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it ends its compilers
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build the typed side: %w", err)
	}
	return nil
}

// hottest are the places where Rollcall's side spent its time, by the profile.
func (b *bench) hottest() (string, error) {
	out, err := exec.Command("go", "tool", "pprof", "-top", "-nodecount=15", b.exe, b.profile).Output()
	if err != nil {
		return "", fmt.Errorf("pprof: %w", err)
	}
	return string(out), nil
}

func (b *bench) start(name, exe string, args ...string) (*side.Side, error) {
	s, err := side.Start(b.stop, name, exe, args...)
	if err == nil {
		b.started = append(b.started, s)
	}
	return s, err
}

// end ends one process before its target does.
func (b *bench) end(s *side.Side) error {
	b.started = slices.DeleteFunc(b.started, func(o *side.Side) bool { return o == s })
	return s.Close()
}

// close ends what was started.
func (b *bench) close() error {
	var errs []error
	for _, s := range b.started {
		errs = append(errs, s.Close())
	}
	b.started = nil
	return errors.Join(errs...)
}

// ours is a new worker of Rollcall's side.
func (b *bench) ours() (s *side.Side, err error) {
	b.profiled, err = b.start("ours", b.exe, "worker", "shipped")
	return b.profiled, err
}

// other is a new worker of another side, typed one with the SDK's models.
func (b *bench) other() (*side.Side, error) { return b.start("other", b.exe, "worker") }
func (b *bench) typed() (*side.Side, error) { return b.start("typed", b.typedExe) }

// three are the sides of most comparisons: ours, the SDK's and the floor.
func (b *bench) three() (ours, typed, low *side.Side, err error) {
	if ours, err = b.ours(); err != nil {
		return nil, nil, nil, err
	}
	if typed, err = b.typed(); err != nil {
		return nil, nil, nil, err
	}
	low, err = b.other()
	return ours, typed, low, err
}

// timed begins the profile, if one was asked for: from here on Rollcall's side
// does what is timed.
func (b *bench) timed() error {
	if b.profile == "" || b.profiles {
		return nil
	}
	b.profiles = true
	return b.profiled.Profile(b.profile)
}

// server is a started server.
type server struct {
	*side.Side
	graphd.Hello
}

func (b *bench) server(name string, args ...string) (*server, error) {
	s, err := b.start(name, b.exe, append([]string{name}, args...)...)
	if err != nil {
		return nil, err
	}
	out := &server{Side: s}
	if err := s.Hear(&out.Hello); err != nil || b.servers == "" {
		return out, err
	}
	return out, s.Profile(b.servers + "." + name)
}

// graph starts a Graph without TLS.
func (b *bench) graph(c graphd.Config) (*server, error) {
	s, err := b.server("graph-server")
	if err != nil {
		return nil, err
	}
	return s, s.config(c)
}

func (s *server) config(c graphd.Config) error {
	_, err := s.Do("config", c)
	return err
}

// counts is what was asked of a server since the last look.
func (s *server) counts() (map[string]float64, error) {
	r, err := s.Do("counts", struct{}{})
	return r.Values, err
}

// tables starts an empty table server, with TLS if how says so.
func (b *bench) tables(how ...string) (*server, error) { return b.server("table-server", how...) }

// latency is that of a table server from now on.
func (s *server) latency(d time.Duration) error {
	_, err := s.Do("latency", d)
	return err
}

// between are the servers as a worker reaches them.
func between(graph, tables *server) (s wires.Servers) {
	if graph != nil {
		s.Graph, s.Roots = graph.URL, graph.Roots
	}
	if tables != nil {
		s.Tables, s.Sink, s.Roots = tables.URL, tables.Sink, s.Roots+tables.Roots
	}
	s.Plain = s.Roots == ""
	return s
}

// turn is one side's part of a round.
type turn func() (side.Result, error)

// interleave lets the sides take turns, and returns each one's results.
func (b *bench) interleave(turns ...turn) ([][]side.Result, error) {
	if err := b.timed(); err != nil {
		return nil, err
	}
	out := make([][]side.Result, len(turns))
	for range b.rounds {
		for i, do := range turns {
			r, err := do()
			if err != nil {
				return nil, err
			}
			out[i] = append(out[i], r)
		}
	}
	return out, nil
}

// same asserts that two sides have come to the same.
func same(what string, got, want side.Result, digest uint64) error {
	if got.Units != want.Units || got.Digest != want.Digest || want.Digest != digest {
		return fmt.Errorf("%s: one side has %d with digest %x, the other %d with %x, and it should be %x",
			what, got.Units, got.Digest, want.Units, want.Digest, digest)
	}
	return nil
}
