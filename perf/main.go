// Command perf holds Rollcall to its targets of speed: it runs the product and
// what could be used instead side by side, and compares them.
//
// Both sides of a comparison run in the same minutes on the same machine, take
// turns, and must have understood or stored the same before either is timed.
package main

import (
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"rollcall/perf/azure"
	"rollcall/perf/floor"
	"rollcall/perf/graphd"
	"rollcall/perf/ours"
	"rollcall/perf/side"
	"rollcall/perf/tabled"
)

const usage = `usage: perf [-rounds 5] [-write page.md] [-cpuprofile file] [P1 P2 ... P11 | all]
       perf scale -people N -teams N -memberships N
       perf fairness [-tenants N] [-seed N]

Run it in this folder, with go run . or the built binary.
`

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "perf:", err)
		os.Exit(1)
	}
}

// command is what was asked for. The first four are processes that this
// program starts of itself.
func command(args []string) error {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	switch name {
	case "worker":
		if slices.Contains(args, "shipped") {
			debug.SetGCPercent(300) // as the handler does
			debug.SetMemoryLimit(256 << 20)
		}
		tasks := map[string]side.Prepare{}
		for _, more := range []map[string]side.Prepare{ours.Tasks, azure.Tasks, floor.Tasks} {
			maps.Copy(tasks, more)
		}
		return side.Serve(tasks, os.Stdin, os.Stdout)
	case "graph-server":
		return graphd.Serve(slices.Contains(args, "tls"), os.Stdin, os.Stdout)
	case "table-server":
		return tabled.Serve(slices.Contains(args, "tls"), os.Stdin, os.Stdout)
	case "microsoft-server":
		return serveMicrosoft(os.Stdin, os.Stdout)
	case "scale":
		return scale(args[1:])
	case "fairness":
		return fairness(args[1:])
	default:
		return compare(args)
	}
}

// notes is what a reader should know beside the figures of the day.
//
//go:embed notes.md
var notes []byte

// errShort is that a target that counts was missed.
var errShort = errors.New("a target that must be met falls short")

// compare runs targets, prints what they came to, and writes it down.
func compare(args []string) (err error) {
	flags := flag.NewFlagSet("perf", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage); flags.PrintDefaults() }
	b, done := newBench()
	defer func() { err = done(err) }()
	flags.IntVar(&b.rounds, "rounds", 5, "how often the sides take turns")
	page := flags.String("write", "", "write the figures to this `page` too")
	flags.StringVar(&b.profile, "cpuprofile", "", "write a processor profile of Rollcall's side to this `file`, and tell the hottest places: with one target")
	flags.StringVar(&b.servers, "serverprofile", "", "write processor profiles of the servers to this `file`, with their names behind it")
	flags.IntVar(&b.atOnce, "atonce", 512, "how many tenants P9 looks after at once")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(flags.Args())
	if err != nil {
		return err
	}
	if b.profile != "" && len(chosen) != 1 {
		return errors.New("-cpuprofile takes one target")
	}
	if b.exe, err = os.Executable(); err != nil {
		return err
	}
	if err := b.build(chosen); err != nil {
		return err
	}
	r := report{command: "perf " + strings.Join(args, " "), began: time.Now(), rounds: b.rounds}
	short := false
	for _, t := range chosen {
		began := time.Now()
		fmt.Printf("%s  %s\n", t.id, t.what)
		found, err := t.run(b)
		if err = errors.Join(err, b.close()); err != nil {
			return fmt.Errorf("%s: %w", t.id, err)
		}
		for i := range found {
			found[i].gated = t.gated && found[i].limit != 0
			short = short || found[i].gated && !found[i].ok()
			fmt.Println("   ", found[i].line())
		}
		r.add(t, found, time.Since(began))
		if b.profile != "" {
			top, err := b.hottest()
			if err != nil {
				return err
			}
			fmt.Print(top)
			r.text("The hottest places of Rollcall's side", top)
		}
	}
	if *page != "" {
		if err := os.WriteFile(*page, append(r.page(), notes...), 0o644); err != nil {
			return err
		}
	}
	if short {
		return errShort
	}
	return nil
}

// target is one comparison.
type target struct {
	id, what string
	// gated targets must be met: latency or counts decide them, not the
	// machine's neighbors.
	gated bool
	// typed is true if it needs the SDK's models.
	typed bool
	run   func(*bench) ([]metric, error)
}

var targets = []target{
	{"P1", "pages of people to records with fingerprints, against the SDK's typed page iterator", false, true, decodePeople},
	{"P2", "pages of group memberships, against the SDK's typed page iterator", false, true, decodeGroups},
	{"P3", "writing people to tables, against aztables' transactions and upserts", false, false, writeTables},
	{"P4", "what is stored, for a full run's comparison, against listing entities", false, false, readPrior},
	{"P5", "first sync of 50,949 people, pages without latency, against page iterator and upserts", false, true, firstSync},
	{"P6", "the same with 100 ms a page", true, false, firstSyncSlow},
	{"P7", "peak memory with 500,000 people, against 50,000", false, false, memory},
	{"P8", "first sync by a sharded list and the delta since, against the delta chain of 200 a page", true, false, sharded},
	{"P9", "sweep of 10,000 tenants in which nothing has changed, against one new client each", true, true, sweepTenants},
	{"P10", "requests of a run", true, false, countRequests},
	{"P11", "the shipped package", false, false, weighPackage},
}

func choose(names []string) ([]target, error) {
	if len(names) == 0 || slices.Equal(names, []string{"all"}) {
		return targets, nil
	}
	var out []target
	for _, n := range names {
		i := slices.IndexFunc(targets, func(t target) bool { return strings.EqualFold(t.id, n) })
		if i < 0 {
			return nil, fmt.Errorf("no target %q", n)
		}
		out = append(out, targets[i])
	}
	return out, nil
}
