package host

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTimerContract(t *testing.T) {
	r := start(t, Options{Now: func() time.Time { return time.Date(2026, 3, 1, 0, 15, 0, 10_000_000, time.UTC) }}, nil)
	r.fireErr("")
	got := r.seen("tick")
	if len(got) != 1 || got[0].URI != "/tick" {
		t.Fatalf("got %+v", got)
	}
	var body struct {
		Data     map[string]any
		Metadata struct{ Sys map[string]string }
	}
	if err := json.Unmarshal([]byte(got[0].Body), &body); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"tick": map[string]any{"Schedule": map[string]any{"AdjustForDST": true}, "ScheduleStatus": nil, "IsPastDue": false}}
	if diff := cmp.Diff(want, body.Data); diff != "" {
		t.Error(diff)
	}
	if s := body.Metadata.Sys; s["MethodName"] != "tick" || s["UtcNow"] != "2026-03-01T00:15:00.01Z" || len(s["RandGuid"]) != 36 {
		t.Errorf("sys: %v", s)
	}
	for k, v := range map[string]string{"Content-Type": "application/json; charset=utf-8", "User-Agent": "Azure-Functions-Host/4.1052.0", "X-Azure-Functions-Hostversion": "4.1052.0"} {
		if got[0].Header.Get(k) != v {
			t.Errorf("%s: %q", k, got[0].Header.Get(k))
		}
	}
	if len(got[0].Header.Get("X-Azure-Functions-Invocationid")) != 36 || len(got[0].Header.Get("Traceparent")) != 55 {
		t.Errorf("headers: %v", got[0].Header)
	}
	log := r.log.String()
	for _, line := range []string{"[Information] Host.Function.Console: hello from stdout", "[Error] Host.Function.Console: hello from stderr",
		"[Warning] Host.Function.Console: a warning from stderr", "[Information] Function.tick.User: done tick"} {
		if !strings.Contains(log, line) {
			t.Errorf("log has no %q", line)
		}
	}
}

func TestAnswers(t *testing.T) {
	for what, want := range map[string]string{
		"ok": "", "500": "does not indicate success: 500", "text": "media type", "bad": "invalid HttpResponseMessage", "array": "invalid HttpResponseMessage",
	} {
		r := start(t, Options{}, nil, "TICK="+what)
		r.fireErr(want)
		s := FunctionStats{Invocations: 1}
		if want != "" {
			s.Failures = 1
		}
		if got := r.Stats(); got.Functions["tick"] != s || got.Restarts != 0 {
			t.Errorf("%s: %+v", what, got)
		}
	}
}

func TestEmptyBody(t *testing.T) {
	short := map[string]string{"host.json": strings.Replace(hostFile, `"00:00:10"`, `"00:00:00.3"`, 1)}
	for _, what := range []string{"empty", "null"} {
		r := start(t, Options{}, short, "TICK="+what+",ok")
		r.fireErr("timeout value was exceeded")
		r.fireErr("")
		pids := r.seen("tick")
		if pids[0].Pid == pids[1].Pid {
			t.Errorf("%s: the process outlived its timeout", what)
		}
		if s := r.Stats(); s.Restarts != 1 || s.Errors != 0 {
			t.Errorf("%s: %+v", what, s)
		}
		r = start(t, Options{EmptyBody: EmptyBodySucceed}, short, "TICK="+what)
		r.fireErr("")
	}
}

// A timeout ends the process with everything that runs in it.
func TestTimeoutKillsNeighbors(t *testing.T) {
	r := start(t, Options{}, map[string]string{
		"host.json":          strings.Replace(hostFile, `"00:00:10"`, `"00:00:00.5"`, 1),
		"hang/function.json": httpFile(`,"authLevel":"anonymous","route":"hang"`),
	}, "TICK=hang")
	answer := make(chan int)
	r.OnExit(func(code int) {
		if code != 137 {
			t.Errorf("exit code %d, want that of SIGKILL", code)
		}
	})
	go func() {
		resp, err := http.Get(r.URL() + "/api/hang")
		if err != nil {
			answer <- 0
			return
		}
		_ = resp.Body.Close()
		answer <- resp.StatusCode
	}()
	r.fireErr("timeout value was exceeded")
	if status := <-answer; status != http.StatusBadGateway && status != http.StatusGatewayTimeout {
		t.Errorf("neighbor got %d", status)
	}
}

func TestCrashes(t *testing.T) {
	r := start(t, Options{}, nil, "TICK=exit7,ok,exit200,ok,exit7,ok,exit7,ok")
	for _, want := range []string{"exit code 7", "", "exit code 200", "", "exit code 7", ""} {
		r.fireErr(want)
	}
	if s := r.Stats(); s.Restarts != 3 || s.Errors != 2 {
		t.Errorf("%+v", s)
	}
	r.fireErr("exit code 7")
	<-r.Done()
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "failed 3 times: exit code 7") {
		t.Errorf("the host stopped for %v", err)
	}
	r.fireErr("host has stopped")
}

func TestExitZeroIsNotRestarted(t *testing.T) {
	r := start(t, Options{}, nil, "TICK=exit0")
	r.fireErr("exit code 0")
	r.fireErr("exit code 0")
	if n := len(r.seen("tick")); n != 1 || r.Stats().Restarts != 0 {
		t.Errorf("%d invocations arrived, %+v", n, r.Stats())
	}
}

func TestKill(t *testing.T) {
	r := start(t, Options{}, nil)
	for range 5 { // more than the host forgives crashes
		var code int
		r.OnExit(func(c int) { code = c })
		r.Kill()
		r.fireErr("")
		if code != 137 {
			t.Errorf("exit code %d", code)
		}
	}
	pids := map[int]bool{}
	for _, e := range r.seen("tick") {
		pids[e.Pid] = true
	}
	if s := r.Stats(); len(pids) != 5 || s.Restarts != 5 || s.Errors != 0 {
		t.Errorf("%d processes, %+v", len(pids), s)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	r := start(t, Options{}, nil)
	r.fireErr("")
	pid := r.seen("tick")[0].Pid
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("process %d: %v", pid, err)
	}
	if r.Err() != nil {
		t.Error(r.Err())
	}
}

func TestStartFails(t *testing.T) {
	for _, tt := range []struct{ env, host, want string }{
		{"START=fail", hostFile, "failed 3 times: it ended with exit code 3"},
		{"START=deaf", strings.Replace(hostFile, "00:00:05", "00:00:00.2", 1), "not ready within 200ms"},
	} {
		_, err := Start(t.Context(), Options{
			Dist: stage(t, map[string]string{"host.json": tt.host, "tick/function.json": tickFile}),
			Env:  []string{"WHEN=0 0 * * * *", tt.env},
		})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.env, err)
		}
	}
}

func TestTimerBySchedule(t *testing.T) {
	r := start(t, Options{Timers: true}, nil, "WHEN=* * * * * *")
	deadline := time.Now().Add(10 * time.Second)
	for r.Stats().Functions["tick"].Invocations < 2 {
		if time.Now().After(deadline) {
			t.Fatal("the timer did not fire")
		}
		<-time.After(20 * time.Millisecond)
	}
	var first, second struct {
		Data struct {
			Tick struct{ ScheduleStatus struct{ Last, Next string } }
		}
	}
	got := r.seen("tick")
	if err := json.Unmarshal([]byte(got[0].Body), &first); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(got[1].Body), &second); err != nil {
		t.Fatal(err)
	}
	a, b := first.Data.Tick.ScheduleStatus, second.Data.Tick.ScheduleStatus
	if a.Last != "0001-01-01T00:00:00" || b.Last != a.Next {
		t.Errorf("%+v then %+v", a, b)
	}
}

// inProcess is a handler inside the test, as Options.Launch allows.
type inProcess struct {
	s    *http.Server
	done chan struct{}
}

func (p *inProcess) Wait() (int, error) { <-p.done; return 137, nil }
func (p *inProcess) Kill() error        { return p.s.Close() }
func (p *inProcess) Pid() int           { return os.Getpid() }

func TestLaunch(t *testing.T) {
	var launched []Launch
	launch := func(_ context.Context, l Launch) (Process, error) {
		launched = append(launched, l)
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", l.Port))
		if err != nil {
			return nil, err
		}
		p := &inProcess{&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			_, _ = w.Write([]byte(`{}`))
		})}, make(chan struct{})}
		go func() { _ = p.s.Serve(ln); close(p.done) }()
		return p, nil
	}
	dist := stage(t, map[string]string{"host.json": hostFile, "tick/function.json": tickFile})
	r := start(t, Options{Dist: dist, Launch: launch}, nil)
	r.fireErr("")
	r.Kill()
	r.fireErr("")
	if len(launched) != 2 {
		t.Fatalf("launched %d times", len(launched))
	}
	l := launched[0]
	if l.Path != dist+"/handler" || l.Dir != dist || len(l.Args) != 0 {
		t.Errorf("%+v", l)
	}
	for _, kv := range []string{"STATE=" + r.state, fmt.Sprintf("FUNCTIONS_CUSTOMHANDLER_PORT=%d", l.Port), fmt.Sprintf("FUNCTIONS_HTTPWORKER_PORT=%d", l.Port), "FUNCTIONS_APP_ROOT_PATH=" + dist} {
		if !slices.Contains(l.Env, kv) {
			t.Errorf("environment has no %s", kv)
		}
	}
}
