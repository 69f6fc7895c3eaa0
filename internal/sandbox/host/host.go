// Package host is a stand-in for the Azure Functions host v4 and its
// custom-handler contract. Where the real host is harsh, so is this one: the
// handler is only ever ended by SIGKILL, and what the host would refuse, lose
// or leave hanging is refused, lost or left hanging here.
//
// Each behavior names where it is known from: (source) the code of Azure/azure-functions-host
// or the named library, (documented) Microsoft's documentation, (inferred)
// neither, so that it may be wrong; the gravest of these can be switched.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
)

// Options configure a host. Dist is required.
type Options struct {
	Dist string   // the staged package: host.json, the binary, a folder per function
	Env  []string // app settings, KEY=value: the handler's whole environment beside the contract's own
	Keys Keys
	// ServiceBus connects for queue triggers; nil leaves them without a
	// listener. The caller resolves the connection settings.
	ServiceBus func() (*azservicebus.Client, error)
	Addr       string // default 127.0.0.1:0
	Quoting    Quoting
	EmptyBody  EmptyBody
	Now        func() time.Time // default time.Now; for schedules, locks and metadata, never for timeouts
	Timers     bool             // fire timers by their schedules; otherwise only on demand
	Log        io.Writer        // nil discards
	// Launch starts the handler; nil runs the staged binary.
	Launch func(ctx context.Context, l Launch) (Process, error)
	// Deliveries is how often each queue message is posted before it is
	// completed, each after the last one's success; 0 means once.
	Deliveries int
}

// Host is a running host.
type Host struct {
	opts     Options
	app      *app
	env      map[string]string
	log      *logger
	client   *http.Client // to the handler
	listener net.Listener
	server   *http.Server
	monitors map[string]*monitor

	ctx        context.Context // ended by Close or a fatal error
	cancel     context.CancelCauseFunc
	listeners  sync.WaitGroup // timers, queues, messages, admin runs
	supervised chan struct{}  // closed when supervise has returned
	ready      chan struct{}  // closed at the first ready worker
	readyOnce  sync.Once
	bus        []*azservicebus.Client

	workerMu sync.Mutex
	work     *worker
	changed  chan struct{} // closed when work is replaced
	onExit   func(code int)

	ledger
}

// Start reads the package, starts the handler and the listeners, and returns
// once the handler is ready. The context bounds the start only.
func Start(ctx context.Context, o Options) (*Host, error) {
	h := &Host{
		opts: o, env: map[string]string{}, monitors: map[string]*monitor{},
		supervised: make(chan struct{}), ready: make(chan struct{}), changed: make(chan struct{}),
		// Redirects and cookies are the client's business (source).
		client: &http.Client{
			Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	h.stats.Functions = map[string]FunctionStats{}
	h.idle = make(chan struct{})
	close(h.idle)
	if h.opts.Now == nil {
		h.opts.Now = time.Now
	}
	if h.opts.Log == nil {
		h.opts.Log = io.Discard
	}
	if h.opts.Addr == "" {
		h.opts.Addr = "127.0.0.1:0"
	}
	h.log = &logger{w: h.opts.Log, now: h.now}
	for _, kv := range o.Env {
		k, v, _ := strings.Cut(kv, "=")
		h.env[k] = v
	}
	var err error
	if h.app, err = loadApp(o.Dist, h.setting); err != nil {
		return nil, fmt.Errorf("host: package %s: %w", o.Dist, err)
	}
	if h.listener, err = net.Listen("tcp", h.opts.Addr); err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	h.ctx, h.cancel = context.WithCancelCause(context.Background())
	go h.supervise()
	select {
	case <-h.ready:
	case <-h.ctx.Done():
		err = context.Cause(h.ctx)
	case <-h.supervised:
		err = errors.New("the handler exited with code 0")
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		err = h.listen()
	}
	if err != nil {
		_ = h.listener.Close()
		_ = h.Close() // the first error is the one to tell
		return nil, fmt.Errorf("host: start: %w", err)
	}
	return h, nil
}

// listen starts what triggers functions.
func (h *Host) listen() error {
	for _, f := range h.app.functions {
		if f.trigger.kind == timerTrigger {
			h.monitors[f.name] = &monitor{}
		}
	}
	for _, f := range h.app.functions {
		switch {
		case f.disabled:
		case f.trigger.kind == timerTrigger && h.opts.Timers:
			h.listeners.Go(func() { h.listenTimer(f) })
		case f.trigger.kind == queueTrigger && h.opts.ServiceBus != nil:
			client, err := h.opts.ServiceBus()
			if err != nil {
				return fmt.Errorf("function %s: connect to Service Bus: %w", f.name, err)
			}
			h.bus = append(h.bus, client)
			r, err := client.NewReceiverForQueue(f.trigger.queue, nil)
			if err != nil {
				return fmt.Errorf("function %s: queue %s: %w", f.name, f.trigger.queue, err)
			}
			h.listeners.Go(func() { h.listenQueue(f, r) })
		}
	}
	h.server = &http.Server{Handler: http.HandlerFunc(h.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = h.server.Serve(h.listener) }()
	return nil
}

// URL is the host's front end, http://127.0.0.1:P.
func (h *Host) URL() string { return "http://" + h.listener.Addr().String() }

// Done is closed when the host has stopped: closed, or by itself after the
// handler has failed three times. Err says why.
func (h *Host) Done() <-chan struct{} { return h.ctx.Done() }

// Err is why the host has stopped, nil while it runs or after Close.
func (h *Host) Err() error {
	if err := context.Cause(h.ctx); err != nil && !errors.Is(err, errStopped) {
		return fmt.Errorf("host: %w", err)
	}
	return nil
}

// OnExit has f called with the exit code each time a handler process has
// ended, 137 after SIGKILL, before it is restarted. Nil clears.
func (h *Host) OnExit(f func(code int)) {
	h.workerMu.Lock()
	defer h.workerMu.Unlock()
	h.onExit = f
}

// Kill ends the handler process by SIGKILL and returns when it is gone. It is
// restarted as after a crash, without counting as one. While no process runs
// it does nothing.
func (h *Host) Kill() {
	if w, _ := h.worker(); w != nil {
		w.kill()
	}
}

// Close stops the host as the platform does: the handler is killed without a
// word, messages in hand stay locked. Nothing is left behind. Further calls do nothing.
func (h *Host) Close() error {
	h.cancel(errStopped)
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	h.Kill()
	<-h.supervised
	var errs []error
	if h.server != nil {
		errs = append(errs, h.server.Close())
	}
	h.listeners.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, c := range h.bus {
		_ = c.Close(ctx) // the broker may be gone already
	}
	h.client.CloseIdleConnections()
	if err := errors.Join(errs...); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("host: close: %w", err)
	}
	return nil
}

// enter takes a share of the listeners' group for an HTTP request, unless Close waits for it.
func (h *Host) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closing {
		h.listeners.Add(1)
	}
	return !h.closing
}

// stop is the host's own end after a fatal error.
func (h *Host) stop(err error) {
	h.log.system("Error", "the host stops: %v", err)
	h.cancel(err)
}

func (h *Host) now() time.Time { return h.opts.Now() }

func (h *Host) setting(name string) (string, bool) {
	v, ok := h.env[name]
	return v, ok
}

// find looks a function up by name, ignoring case as the host does.
func (h *Host) find(name string) *function {
	for _, f := range h.app.functions {
		if strings.EqualFold(f.name, name) {
			return f
		}
	}
	return nil
}

func (h *Host) worker() (*worker, <-chan struct{}) {
	h.workerMu.Lock()
	defer h.workerMu.Unlock()
	return h.work, h.changed
}

func (h *Host) setWorker(w *worker) {
	h.workerMu.Lock()
	defer h.workerMu.Unlock()
	h.work = w
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *Host) becomeReady() { h.readyOnce.Do(func() { close(h.ready) }) }

func (h *Host) exited(code int) {
	h.workerMu.Lock()
	f := h.onExit
	h.workerMu.Unlock()
	h.log.system("Information", "worker process ended with exit code %d", code)
	if f != nil {
		f(code)
	}
}
