package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"rollcall/internal/sandbox/host/child"
)

// Timings of the worker process (source: HttpWorkerService, HttpWorkerChannel, WorkerErrorWindow).
const (
	pingEvery   = 25 * time.Millisecond
	errorWindow = 30 * time.Minute
	errorLimit  = 3
	waitFactor  = 4   // an invocation waits this many initialization timeouts for a restart
	exitRestart = 200 // exit code of an intentional restart
	exitClean   = 0   // exit code after which there is no restart
)

// Launch is what the host starts. A test's own launcher serves on Port.
type Launch struct {
	Path           string
	Args           []string
	Dir            string
	Env            []string
	Port           int
	Stdout, Stderr io.Writer
}

// Process is a launched handler. Wait may be called once only; Kill is
// immediate and gives the handler no chance to say goodbye.
type Process interface {
	Wait() (exitCode int, err error)
	Kill() error
	Pid() int
}

// execute starts the staged binary, which cannot outlive the host.
func execute(_ context.Context, l Launch) (Process, error) {
	path := l.Path
	if filepath.Base(path) == path { // by PATH
		p, err := exec.LookPath(path)
		if err != nil {
			return nil, err
		}
		path = p
	}
	// Before it starts, the host makes the executable so (source: on Flex and Linux Consumption).
	if info, err := os.Stat(path); err == nil && info.Mode()&0o111 == 0 {
		if err := os.Chmod(path, info.Mode()|0o111); err != nil {
			return nil, err
		}
	}
	return child.Start(child.Command{Path: path, Args: l.Args, Dir: l.Dir, Env: l.Env, Stdout: l.Stdout, Stderr: l.Stderr})
}

// worker is one life of the handler process.
type worker struct {
	proc  Process
	port  int
	url   string
	dead  chan struct{} // closed when it has ended
	code  int           // exit code, once dead
	ready chan struct{} // closed when it has answered the first ping
	// planned marks an end that the host itself brought about, which is
	// followed by a restart that does not count as an error.
	planned atomic.Bool
}

// kill ends the worker by SIGKILL, the only way in which the host ends one
// (source: HttpWorkerProcess.Dispose), and waits until it is gone.
func (w *worker) kill() {
	w.planned.Store(true)
	_ = w.proc.Kill() // already gone is as good
	<-w.dead
}

// launch starts one worker process without waiting for it to be ready.
func (h *Host) launch() (*worker, error) {
	// A free port, chosen by the host (source: random port per process).
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return nil, err
	}
	id := uuid.NewString()
	path, dir, args := h.app.command(h.setting)
	// The app settings and these (source: HttpWorkerProcess; the last two are legacy).
	env := append(append([]string{}, h.opts.Env...),
		fmt.Sprintf("FUNCTIONS_CUSTOMHANDLER_PORT=%d", port), "FUNCTIONS_CUSTOMHANDLER_WORKER_ID="+id,
		"FUNCTIONS_APP_ROOT_PATH="+h.app.root,
		fmt.Sprintf("FUNCTIONS_HTTPWORKER_PORT=%d", port), "FUNCTIONS_HTTPWORKER_ID="+id)
	start := h.opts.Launch
	if start == nil {
		start = execute
	}
	proc, err := start(h.ctx, Launch{
		Path: path, Args: args, Dir: dir, Env: env, Port: port,
		Stdout: &lines{emit: func(s string) { h.log.console("Information", s) }},
		Stderr: &lines{emit: func(s string) { h.log.console(stderrLevel(s), s) }},
	})
	if err != nil {
		return nil, err
	}
	w := &worker{proc: proc, port: port, url: fmt.Sprintf("http://127.0.0.1:%d", port), dead: make(chan struct{}), ready: make(chan struct{})}
	h.log.system("Information", "worker process %d started on port %d", proc.Pid(), port)
	go func() {
		w.code, _ = proc.Wait()
		close(w.dead)
	}()
	return w, nil
}

// awaitReady pings GET / every 25 ms until anything answers (source).
func (h *Host) awaitReady(w *worker) error {
	ctx, cancel := context.WithTimeout(h.ctx, h.app.initTimeout)
	defer cancel()
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/", nil)
		if err != nil {
			return err
		}
		if resp, err := h.client.Do(req); err == nil {
			_ = resp.Body.Close() // any status is an answer
			return nil
		}
		select {
		case <-tick.C:
		case <-w.dead:
			return fmt.Errorf("it ended with exit code %d before it was ready", w.code)
		case <-ctx.Done():
			return fmt.Errorf("it was not ready within %v (initializationTimeout)", h.app.initTimeout)
		}
	}
}

// supervise keeps one worker running until the host is closed, the worker
// leaves for good, or it has failed too often.
func (h *Host) supervise() {
	defer close(h.supervised)
	var failures []time.Time
	for h.ctx.Err() == nil {
		w, err := h.launch()
		if err == nil {
			h.setWorker(w)
			if err = h.awaitReady(w); err == nil {
				close(w.ready)
				h.becomeReady()
				select {
				case <-w.dead:
				case <-h.ctx.Done():
					w.kill()
				}
			} else if h.ctx.Err() == nil {
				select {
				case <-w.dead:
				default:
					h.log.system("Error", "worker process %d: %v", w.proc.Pid(), err)
					_ = w.proc.Kill()
					<-w.dead
				}
			} else {
				w.kill()
			}
			h.exited(w.code)
		}
		if h.ctx.Err() != nil {
			return
		}
		switch {
		case w != nil && (w.planned.Load() || w.code == exitRestart):
			h.restarted(false) // (source: exit code 200 and the host's own restarts are no errors)
			continue
		case err == nil && w.code == exitClean:
			// No restart; the port stays dead and every invocation fails (source:
			// HttpWorkerProcess.HandleWorkerProcessExitError is not reached).
			h.log.system("Error", "worker process %d exited with code 0: it is not restarted", w.proc.Pid())
			return
		}
		if err == nil {
			err = fmt.Errorf("exit code %d", w.code)
		}
		now := time.Now()
		if len(failures) > 0 && now.Sub(failures[len(failures)-1]) > errorWindow {
			failures = nil
		}
		failures = append(failures, now)
		h.log.system("Error", "worker failed, %d of %d: %v", len(failures), errorLimit, err)
		if len(failures) >= errorLimit {
			h.stop(fmt.Errorf("the worker failed %d times: %w", errorLimit, err))
			return
		}
		h.restarted(true)
	}
}

// errStopped is why nothing can be invoked once the host has stopped.
var errStopped = errors.New("the host has stopped")

// current returns the worker once it is ready. Whoever invokes while it is
// being restarted waits up to four initialization timeouts; then the host
// stops (source: RpcFunctionInvocationDispatcher, HttpFunctionInvocationDispatcher).
func (h *Host) current(ctx context.Context) (*worker, error) {
	limit := time.NewTimer(waitFactor * h.app.initTimeout)
	defer limit.Stop()
	for {
		w, changed := h.worker()
		if w != nil {
			select {
			case <-w.ready:
				if !w.ended() || w.code == exitClean && !w.planned.Load() {
					return w, nil
				}
			default:
			}
		}
		var ready <-chan struct{}
		if w != nil && !w.ended() {
			ready = w.ready
		}
		select {
		case <-ready:
		case <-changed:
		case <-limit.C:
			err := fmt.Errorf("no worker within %v", waitFactor*h.app.initTimeout)
			h.stop(err)
			return nil, err
		case <-h.ctx.Done():
			return nil, errStopped
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (w *worker) ended() bool {
	select {
	case <-w.dead:
		return true
	default:
		return false
	}
}

// stderrLevel is the level of a line on stderr (source: a line that speaks of
// a warning is one, any other is an error).
func stderrLevel(s string) string {
	if strings.Contains(strings.ToLower(s), "warn") {
		return "Warning"
	}
	return "Error"
}
