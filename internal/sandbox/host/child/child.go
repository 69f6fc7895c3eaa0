// Package child starts a process that cannot outlive this one: however this
// process ends, even by SIGKILL, the kernel ends the child, and ending the
// child ends the whole process group that it leads.
package child

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// pipeGrace is how long Wait still reads output after the process has ended,
// for the case that a grandchild holds the pipe open.
const pipeGrace = time.Second

// Command says what to start. Env is the whole environment; nothing is
// inherited when it is not nil. Nil writers discard.
type Command struct {
	Path           string
	Args           []string // without the program's name
	Dir            string
	Env            []string
	Stdout, Stderr io.Writer
}

// Process is a started child.
type Process struct {
	pid  int
	done chan struct{}
	code int
	err  error
}

// Start starts the command in a process group of its own.
func Start(c Command) (*Process, error) {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.Dir, c.Env, c.Stdout, c.Stderr
	cmd.WaitDelay = pipeGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{done: make(chan struct{})}
	started := make(chan error)
	// The death signal follows the thread that forked, not the process (prctl(2)),
	// so one goroutine keeps that thread from fork until the child has ended.
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		p.pid = cmd.Process.Pid
		started <- nil
		p.code, p.err = exitCode(cmd.Wait(), cmd)
		_ = syscall.Kill(-p.pid, syscall.SIGKILL) // what the leader left in its group
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("child: start %s: %w", c.Path, err)
	}
	return p, nil
}

// exitCode reads a wait result as a shell does: 128 + the signal's number for
// a process ended by a signal.
func exitCode(err error, cmd *exec.Cmd) (int, error) {
	if cmd.ProcessState == nil {
		return -1, err
	}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return cmd.ProcessState.ExitCode(), err
}

// Pid is the child's process ID, which is its group's as well.
func (p *Process) Pid() int { return p.pid }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait blocks until the child has ended. Any number of callers may wait.
func (p *Process) Wait() (code int, err error) {
	<-p.done
	return p.code, p.err
}

// Kill sends SIGKILL to the child's process group. It is no error if the
// child has already ended.
func (p *Process) Kill() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := syscall.Kill(-p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("child: kill group %d: %w", p.pid, err)
	}
	return nil
}
