package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const opsUsage = `Usage: go run ./handler ops COMMAND [flags]

  dead-letters [-connection ID]                      list them, one JSON object a line
  resubmit     -connection ID [-sequence N] | -all   put them on the queue again
  requeue      -connection ID | -all [-spread 10m]   start a run out of turn
  pause        -connection ID | -all                 stop syncs
  resume       -connection ID | -all                 let them go on
  export       -connection ID                        write how it is set to standard output
  import                                             make a connection of that, from standard input

It asks the API of a deployment: what it does is checked, bounded and audited
there, and needs no rights on storage or queue. The address is in PUBLIC_URL or
ROLLCALL_PUBLIC_URL, as azd has it, the function key in ROLLCALL_FUNCTION_KEY:
a command line can be read by others. With -all it goes through everything, call
by call, and repeats what fails for now.

`

// command is one of ops, as it was typed.
type command struct {
	name, connection, sequence, actor, continuation string
	all                                             bool
	spread                                          time.Duration
	caller
}

// flagsOf are the flags that each command takes beside -actor.
var flagsOf = map[string][]string{
	"dead-letters": {"connection"}, "resubmit": {"connection", "sequence", "all"}, "requeue": {"connection", "all", "spread", "continuation"},
	"pause": {"connection", "all", "continuation"}, "resume": {"connection", "all", "continuation"}, "export": {"connection"}, "import": nil,
}

// ops is the subcommand ops; it returns the exit status.
func ops(args []string, getenv func(string) string, in io.Reader, out, report io.Writer) int {
	c, err := parseOps(args, getenv, report)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		for _, e := range mistakes(err) {
			fmt.Fprintln(report, "ops:", e)
		}
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := c.run(ctx, in, out, report); err != nil {
		fmt.Fprintln(report, err)
		return 1
	}
	return 0
}

// opsID is an ID as it may stand in a path.
var opsID = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// parseOps reads flags and environment, or says everything that is wrong.
func parseOps(args []string, getenv func(string) string, report io.Writer) (c command, err error) {
	r := &reader{get: func(name string) string {
		if v := strings.TrimSpace(getenv(name)); v != "" {
			return v
		}
		return getenv("ROLLCALL_" + name)
	}}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		fmt.Fprint(report, opsUsage)
		if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
			return c, flag.ErrHelp
		}
		return c, errors.New("want a command")
	}
	c.name = args[0]
	takes, ok := flagsOf[c.name]
	if !ok {
		return c, fmt.Errorf("%q is no command: see -help", c.name)
	}
	f := flag.NewFlagSet("ops "+c.name, flag.ContinueOnError)
	f.SetOutput(report)
	f.Usage = func() {
		fmt.Fprint(report, opsUsage)
		f.PrintDefaults()
	}
	f.StringVar(&c.actor, "actor", getenv("USER"), "who asks, for the audit log")
	for _, name := range takes {
		switch name {
		case "connection":
			f.StringVar(&c.connection, name, "", "the connection's ID")
		case "sequence":
			f.StringVar(&c.sequence, name, "", "only this dead letter of the connection, by its sequence")
		case "all":
			f.BoolVar(&c.all, name, false, "all connections")
		case "spread":
			f.DurationVar(&c.spread, name, 10*time.Minute, "over how long the runs of all are spread, at most 6h")
		case "continuation":
			f.StringVar(&c.continuation, name, "", "where to go on with -all, as a run that failed has said")
		}
	}
	if err := f.Parse(args[1:]); err != nil {
		return c, err
	}
	if f.NArg() > 0 {
		r.wrong("ops", "does not understand %q: see -help", f.Arg(0))
	}
	if c.all == (c.connection != "") && slices.Contains(takes, "all") {
		r.wrong(c.name, "wants either -connection or -all")
	}
	if c.connection == "" && c.name == "export" {
		r.wrong(c.name, "wants -connection")
	}
	if c.connection != "" && !opsID.MatchString(c.connection) {
		r.wrong("-connection", "is %q: want a connection's ID", c.connection)
	}
	if c.connection == "" && (c.sequence != "") || !c.all && c.continuation != "" {
		r.wrong(c.name, "wants -sequence with -connection, and -continuation with -all")
	}
	if c.spread < 0 || c.spread > 6*time.Hour {
		r.wrong("-spread", "is %s: want 0s to 6h", c.spread)
	}
	c.caller = newCaller(r, getenv, c.actor, report)
	return c, r.err()
}

func (c command) run(ctx context.Context, in io.Reader, out, report io.Writer) error {
	at := "/v1/connections/" + c.connection
	switch {
	case c.name == "dead-letters":
		return c.letters(ctx, c.connection, func(raw []byte, _ letterID) {
			fmt.Fprintf(out, "%s\n", raw)
		})
	case c.name == "resubmit" && c.all:
		return c.resubmitAll(ctx, out, report)
	case c.name == "resubmit":
		return c.resubmit(ctx, c.connection, out)
	case c.name == "export":
		return c.print(ctx, out, "GET", at+"/export", nil)
	case c.name == "import":
		body, err := io.ReadAll(io.LimitReader(in, maxAnswer))
		if err != nil {
			return err
		}
		return c.print(ctx, out, "POST", "/v1/operations/import", body)
	case c.all:
		return c.sweep(ctx, out)
	default: // requeue, pause or resume one
		return c.print(ctx, out, "POST", at+"/"+c.name, nil)
	}
}

// print does one call and writes its answer. It is not repeated: it may have
// been done.
func (c command) print(ctx context.Context, out io.Writer, method, path string, body []byte) error {
	answer, err := c.once(ctx, method, path, body)
	if err == nil {
		_, err = out.Write(answer)
	}
	return err
}

// sweep does a command to all connections, call by call.
func (c command) sweep(ctx context.Context, out io.Writer) error {
	done, skipped, refused := 0, map[string]int{}, map[string]int{}
	for after := c.continuation; ; {
		query := url.Values{}
		if c.name == "requeue" {
			query.Set("spread", strconv.Itoa(int(c.spread.Seconds())))
		}
		if after != "" {
			query.Set("continuation", after)
		}
		var s struct {
			Done             int
			Skipped, Refused map[string]int
			Continuation     string
		}
		err := c.ask(ctx, "POST", "/v1/operations/"+c.name+"?"+query.Encode(), &s)
		done += s.Done
		add(skipped, s.Skipped)
		add(refused, s.Refused)
		if err != nil || s.Continuation == "" {
			fmt.Fprintf(out, "%s: done %d, skipped %v, refused %v\n", c.name, done, skipped, refused)
			if err != nil && after != "" {
				err = fmt.Errorf("%w\nGo on with -continuation %s", err, after)
			}
			return err
		}
		after = s.Continuation
	}
}

func add(to, more map[string]int) {
	for k, n := range more {
		to[k] += n
	}
}

// letterID is what the command itself needs to know of a dead letter.
type letterID struct{ Connection string }

// letters hands on all dead letters, of one connection unless that is empty.
func (c command) letters(ctx context.Context, connection string, see func(raw []byte, id letterID)) error {
	for after := ""; ; {
		query := url.Values{"limit": {"1000"}}
		if connection != "" {
			query.Set("connection", connection)
		}
		if after != "" {
			query.Set("continuation", after)
		}
		var page struct {
			DeadLetters  []rawLetter
			Continuation string
		}
		if err := c.ask(ctx, "GET", "/v1/operations/dead-letters?"+query.Encode(), &page); err != nil {
			return err
		}
		for _, d := range page.DeadLetters {
			see(d.raw, d.letterID)
		}
		if after = page.Continuation; after == "" {
			return nil
		}
	}
}

// resubmit goes on until there are no more, or a call gets no further.
func (c command) resubmit(ctx context.Context, connection string, out io.Writer) error {
	path := "/v1/connections/" + connection + "/resubmit"
	if c.sequence != "" {
		path += "?sequence=" + url.QueryEscape(c.sequence)
	}
	resubmitted, ended := 0, 0
	for {
		var s struct {
			Resubmitted, Ended, Left int
			More                     bool
		}
		err := c.ask(ctx, "POST", path, &s)
		resubmitted, ended = resubmitted+s.Resubmitted, ended+s.Ended
		stuck := s.More && s.Resubmitted+s.Ended == 0
		if err == nil && s.More && !stuck {
			continue
		}
		fmt.Fprintf(out, "%s: resubmitted %d, ended %d, left %d\n", connection, resubmitted, ended, s.Left)
		if err == nil && stuck {
			err = fmt.Errorf("%s: dead letters remain that could not be had; somebody else may hold them: try again in some minutes", connection)
		}
		return err
	}
}

// resubmitAll does so of every connection that has any; one that refuses, as
// when it is paused, does not keep the others from it.
func (c command) resubmitAll(ctx context.Context, out, report io.Writer) error {
	var all []string
	unknown := 0
	err := c.letters(ctx, "", func(_ []byte, id letterID) {
		switch {
		case !opsID.MatchString(id.Connection):
			unknown++
		case !slices.Contains(all, id.Connection):
			all = append(all, id.Connection)
		}
	})
	if err != nil {
		return err
	}
	if unknown > 0 {
		fmt.Fprintf(report, "%d dead letters cannot be read, and stay\n", unknown)
	}
	failed := 0
	for _, id := range all {
		if err := c.resubmit(ctx, id, out); err != nil {
			failed++
			fmt.Fprintln(report, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d connections were not resubmitted in full", failed, len(all))
	}
	return nil
}
