package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain doubles as the custom handler that the tests' hosts start.
func TestMain(m *testing.M) {
	if port := os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"); port != "" {
		os.Exit(handle(port))
	}
	os.Exit(m.Run())
}

// handle is a custom handler that does what the environment says: for
// function f, F=ok,500,exit7 is what the first, second, and every later
// invocation get, counted across restarts in STATE.
func handle(port string) int {
	fmt.Println("hello from stdout")
	fmt.Fprintln(os.Stderr, "a warning from stderr")
	fmt.Fprintln(os.Stderr, "hello from stderr")
	if os.Getenv("START") == "fail" {
		return 3
	}
	if os.Getenv("START") == "deaf" {
		<-time.After(time.Minute)
	}
	mux := http.NewServeMux()
	for _, f := range []string{"tick", "work"} {
		mux.HandleFunc("POST /"+f, func(w http.ResponseWriter, r *http.Request) { act(w, r, f) })
	}
	mux.HandleFunc("/api/go", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) })
	mux.HandleFunc("/api/die", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun ")
		_ = http.NewResponseController(w).Flush()
		os.Exit(7)
	})
	mux.HandleFunc("/api/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done(); select {} })
	mux.HandleFunc("/api/stream", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		buf := make([]byte, 16)
		for {
			n, err := r.Body.Read(buf)
			_, _ = w.Write(bytes.ToUpper(buf[:n]))
			_ = http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	})
	serve := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, p := mux.Handler(r); p != "" && !strings.Contains(r.RequestURI, "//") {
			h.ServeHTTP(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Custom", "yes")
		w.WriteHeader(http.StatusTeapot)
		_ = json.NewEncoder(w).Encode(echo{r.Method, r.RequestURI, r.Header, string(body), os.Getpid()})
	})
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return 1
	}
	_ = http.Serve(l, serve)
	return 1
}

type echo struct {
	Method, URI string
	Header      http.Header
	Body        string
	Pid         int
}

// numbering makes the record of one invocation one step.
var numbering sync.Mutex

func act(w http.ResponseWriter, r *http.Request, f string) {
	state := os.Getenv("STATE")
	body, _ := io.ReadAll(r.Body)
	numbering.Lock()
	seen, _ := filepath.Glob(filepath.Join(state, f+".*"))
	rec, _ := json.Marshal(echo{r.Method, r.RequestURI, r.Header, string(body), os.Getpid()})
	_ = os.WriteFile(filepath.Join(state, fmt.Sprintf("%s.%03d", f, len(seen))), rec, 0o600)
	numbering.Unlock()
	script := strings.Split(os.Getenv(strings.ToUpper(f)), ",")
	json := func(s string) { w.Header().Set("Content-Type", "application/json"); _, _ = io.WriteString(w, s) }
	switch what := script[min(len(seen), len(script)-1)]; what {
	case "", "ok":
		json(`{"Outputs":{},"Logs":["done ` + f + `"],"ReturnValue":null}`)
	case "500":
		w.WriteHeader(http.StatusInternalServerError)
	case "empty":
	case "null":
		json("null")
	case "text":
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "{}")
	case "bad":
		json(`{"Outputs":`)
	case "array":
		json(`[]`)
	case "hang":
		select {}
	case "exit7":
		os.Exit(7)
	case "exit200":
		os.Exit(200)
	case "exit0":
		os.Exit(0)
	}
}

const (
	hostFile = `{"version":"2.0","functionTimeout":"00:00:10","customHandler":{"description":{"defaultExecutablePath":"handler"},
		"enableProxyingHttpRequest":true,"initializationTimeout":"00:00:05"},
		"extensions":{"serviceBus":{"maxConcurrentCalls":2,"maxAutoLockRenewalDuration":"00:01:00"}}}`
	tickFile = `{"bindings":[{"type":"timerTrigger","direction":"in","name":"tick","schedule":"%WHEN%"}]}`
	workFile = `{"bindings":[{"type":"serviceBusTrigger","direction":"in","name":"job","queueName":"jobs","connection":"SB"%s}]}`
)

func httpFile(extra string) string {
	return `{"bindings":[{"type":"httpTrigger","direction":"in","name":"req"` + extra + `},{"type":"http","direction":"out","name":"res"}]}`
}

// stage writes a package whose binary is this test's.
func stage(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "handler")); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// rig is a host under test with what its handler has seen.
type rig struct {
	*Host
	t     *testing.T
	state string
	log   *buffer
}

type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// start runs a host with a timer, and with more files and settings if given.
func start(t *testing.T, o Options, files map[string]string, env ...string) *rig {
	t.Helper()
	all := map[string]string{"host.json": hostFile, "tick/function.json": tickFile}
	for k, v := range files {
		all[k] = v
	}
	r := &rig{t: t, state: t.TempDir(), log: &buffer{}}
	if o.Launch == nil {
		o.Dist = stage(t, all)
	}
	o.Env = slices.Concat([]string{"WHEN=0 */5 * * * *", "STATE=" + r.state}, env)
	o.Log = r.log
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var err error
	if r.Host, err = Start(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	return r
}

// seen is what the handler got for a function, in order.
func (r *rig) seen(f string) (out []echo) {
	r.t.Helper()
	names, err := filepath.Glob(filepath.Join(r.state, f+".*"))
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(names)
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			r.t.Fatal(err)
		}
		var e echo
		if err := json.Unmarshal(b, &e); err != nil {
			r.t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func (r *rig) fireErr(want string) {
	r.t.Helper()
	err := r.Fire(r.t.Context(), "tick")
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		r.t.Errorf("fire: got %v, want %q", err, want)
	}
}
