// Package side runs one side of a benchmark in a process of its own, so that
// no other side's garbage, memory or servers count for it.
//
// What is measured is the worker's own clock and its own processor time
// (getrusage), from just before the work to just after it.
package side

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// Task is a piece of work by name.
type Task struct {
	Name string
	Args json.RawMessage
}

// Outcome is what a piece of work came to.
type Outcome struct {
	Units  int    // people, memberships, entities: what costs are divided by
	Digest uint64 // of what was understood or stored; 0 where nobody asked
	Values map[string]float64
}

// Result is a measured outcome.
type Result struct {
	Outcome
	Wall, CPU time.Duration
	// Peak is the most memory that the worker has had resident so far, in bytes.
	Peak  int64
	Error string `json:",omitempty"`
}

// PerUnit is the processor time of one unit, in nanoseconds.
func (r Result) PerUnit() float64 { return float64(r.CPU) / float64(max(r.Units, 1)) }

// Work is measured; what prepares it is not.
type Work func() (Outcome, error)

// Prepare reads the arguments and returns the work.
type Prepare func(args json.RawMessage) (Work, error)

// Serve is the whole main of a worker: it does the tasks that come on in, one
// a line, until in ends. If that is in the middle of a task, who asked for it
// is gone, and the process ends at once.
func Serve(tasks map[string]Prepare, in io.Reader, out io.Writer) error {
	defer pprof.StopCPUProfile()
	enc := json.NewEncoder(out)
	var busy atomic.Bool
	lines := make(chan []byte)
	failed := make(chan error, 1)
	go func() {
		defer close(lines)
		for r := bufio.NewReader(in); ; {
			line, err := r.ReadBytes('\n')
			if err != nil {
				if busy.Load() {
					os.Exit(1)
				}
				failed <- err
				return
			}
			busy.Store(true)
			lines <- line
		}
	}()
	for line := range lines {
		var t Task
		if err := json.Unmarshal(line, &t); err != nil {
			return err
		}
		r, err := do(tasks, t)
		if err != nil {
			r.Error = err.Error()
		}
		busy.Store(false)
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	if err := <-failed; !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func do(tasks map[string]Prepare, t Task) (r Result, err error) {
	prepare := tasks[t.Name]
	switch t.Name {
	case profileTask:
		prepare = Arg(profile)
	case spentTask:
		prepare = Arg(spent)
	}
	if prepare == nil {
		return r, fmt.Errorf("no task %q", t.Name)
	}
	work, err := prepare(t.Args)
	if err != nil {
		return r, err
	}
	runtime.GC()
	cpu, began := processor(), time.Now()
	r.Outcome, err = work()
	r.Wall, r.CPU = time.Since(began), processor()-cpu
	if err == nil {
		r.Peak, err = peak()
	}
	return r, err
}

// profileTask begins a profile that ends with the process.
const profileTask = "profile"

func profile(file string) (Work, error) {
	return func() (Outcome, error) {
		f, err := os.Create(file)
		if err != nil {
			return Outcome{}, err
		}
		return Outcome{}, pprof.StartCPUProfile(f)
	}, nil
}

// Profile has the worker write a processor profile of what it does from now on.
func (s *Side) Profile(file string) error {
	_, err := s.Do(profileTask, file)
	return err
}

// spentTask tells what the process has spent so far.
const spentTask = "spent"

func spent(struct{}) (Work, error) {
	return func() (Outcome, error) {
		return Outcome{Values: map[string]float64{"seconds": processor().Seconds()}}, nil
	}, nil
}

// Spent is the processor time of the process so far, in seconds.
func (s *Side) Spent() (float64, error) {
	r, err := s.Do(spentTask, struct{}{})
	return r.Values["seconds"], err
}

// processor is the time that this process has spent on processors.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for no process of its own
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peak is VmHWM. The maxrss of getrusage would be wrong: it begins with that
// of the process which started this one.
func peak() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(b, []byte("VmHWM:"))
	if !ok {
		return 0, errors.New("no VmHWM in /proc/self/status")
	}
	kb, err := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
	return kb << 10, err
}

// Arg makes a Prepare of a function with typed arguments.
func Arg[T any](f func(T) (Work, error)) Prepare {
	return func(args json.RawMessage) (Work, error) {
		var v T
		if err := json.Unmarshal(args, &v); err != nil {
			return nil, err
		}
		return f(v)
	}
}

// Side is a started worker, or a server.
type Side struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *json.Decoder
}

// Start starts a process that ends when its standard input does, and is killed
// when ctx ends.
func Start(ctx context.Context, name, exe string, args ...string) (*Side, error) {
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Side{name: name, cmd: cmd, in: in, out: json.NewDecoder(out)}, nil
}

// Hear reads what the process says next.
func (s *Side) Hear(v any) error {
	if err := s.out.Decode(v); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// Say tells the process something before its first task.
func (s *Side) Say(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = s.in.Write(append(b, '\n'))
	return err
}

// Do has a task done.
func (s *Side) Do(task string, args any) (Result, error) {
	b, err := json.Marshal(args)
	if err != nil {
		return Result{}, err
	}
	t, err := json.Marshal(Task{Name: task, Args: b})
	if err != nil {
		return Result{}, err
	}
	if _, err := s.in.Write(append(t, '\n')); err != nil {
		return Result{}, fmt.Errorf("%s: %s: %w", s.name, task, err)
	}
	var r Result
	if err := s.Hear(&r); err != nil {
		return r, err
	}
	if r.Error != "" {
		return r, fmt.Errorf("%s: %s: %s", s.name, task, r.Error)
	}
	return r, nil
}

// Close ends the process and waits for its end.
func (s *Side) Close() error {
	_ = s.in.Close() // a process that has ended needs no telling
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}
