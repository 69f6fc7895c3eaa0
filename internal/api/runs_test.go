package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

func TestSync(t *testing.T) {
	b := newBench()
	b.manual = func(id, actor string) (string, error) {
		if id != fabrica || actor != "Ada" {
			t.Errorf("sync of %q by %q", id, actor)
		}
		return "04f8-run", nil
	}
	w := b.do(post, "/v1/connections/"+fabrica+"/sync", "", "X-Rollcall-Actor", "Ada")
	var v Run
	read(t, w, 202, &v)
	if want := "/v1/connections/" + fabrica + "/runs/04f8-run"; w.Header().Get("Location") != want {
		t.Errorf("location %q, want %q", w.Header().Get("Location"), want)
	}
	if v.ID != "04f8-run" || v.State != "queued" || v.Trigger != "manual" || v.Counters != nil {
		t.Errorf("%+v", v)
	}
}

func TestSyncRefused(t *testing.T) {
	b := newBench()
	path := "/v1/connections/" + contoso + "/sync"
	for name, test := range map[string]struct {
		err    error
		status int
		code   string
		retry  int
		remedy string
	}{
		"cooldown": {fmt.Errorf("x: %w", &fault.Error{Kind: fault.Throttled, After: 29*time.Minute + 100*time.Millisecond, Err: errors.New("secret"), Remedy: "Wait for the run."}),
			429, codeThrottled, 1741, "Wait for the run."},
		"a moment":      {&fault.Error{Kind: fault.Throttled, After: time.Nanosecond, Err: errors.New("secret")}, 429, codeThrottled, 1, "Retry-After"},
		"no time":       {fault.New(fault.Throttled, "secret"), 429, codeThrottled, 10, "Retry-After"},
		"not connected": {fault.New(fault.Denied, "secret").WithCode("not_connected"), 409, codeNotConnected, 0, "/link"},
		"denied":        {fault.New(fault.Denied, "secret").WithCode("AuthorizationFailure"), 403, codeForbidden, 0, ""},
		"unknown id":    {fault.New(fault.NotFound, "secret"), 404, codeNotFound, 0, ""},
		"invalid":       {fault.New(fault.Invalid, "secret"), 400, codeRejected, 0, ""},
		"conflict":      {fault.New(fault.Conflict, "secret"), 409, codeConflict, 0, ""},
		"expired":       {fault.New(fault.Expired, "secret"), 503, codeUnavailable, 30, ""},
		"unclassified":  {errors.New("secret"), 503, codeUnavailable, 30, ""},
		"deadline":      {context.DeadlineExceeded, 503, codeUnavailable, 30, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b.log.Reset()
			b.manual = func(string, string) (string, error) { return "", test.err }
			w := b.do(post, path, "")
			p := refused(t, w, test.status, test.code)
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("leaks its cause: %s", w.Body)
			}
			if !strings.Contains(p.Remedy, test.remedy) {
				t.Errorf("remedy %q", p.Remedy)
			}
			if test.retry == 0 && w.Header().Get("Retry-After") != "" || test.retry > 0 && retryAfter(t, w) != test.retry {
				t.Errorf("Retry-After %q, want %d", w.Header().Get("Retry-After"), test.retry)
			}
			lines := strings.Count(b.log.String(), "\n")
			routine := test.status == 429 || test.status == 404 || test.code == codeNotConnected
			if want := map[bool]int{true: 0, false: 1}[routine]; lines != want {
				t.Errorf("%d log lines, want %d: %s", lines, want, &b.log)
			}
		})
	}
	refused(t, b.do(post, "/v1/connections/UPPER/sync", ""), 404, codeNotFound)
}

func TestRuns(t *testing.T) {
	b := newBench()
	for i := range 5 {
		b.runs[fabrica] = append(b.runs[fabrica], job.Run{
			ID: fmt.Sprintf("0%d-run", i), Trigger: job.Schedule, State: job.Succeeded, Phase: "people", Full: true, Why: "first sync",
			Slices: 2, Began: now, Ended: now.Add(time.Minute), LastChange: 9,
			Counters: job.Counters{Created: 1, Updated: 2, Archived: 3, Reactivated: 4, Unchanged: 5, Seen: 6, GraphCalls: 7, Units: 12, Throttles: 8, Retries: 9, Transactions: 10, Pages: 11},
		})
	}
	r := &b.runs[fabrica][1]
	late := &b.runs[fabrica][2] // a decision that came too late: all that is known is the hash
	late.Trigger, late.State, late.Plan = job.Reject, job.RunFailed, &job.Plan{Hash: planHash}
	held := &b.runs[fabrica][3]
	held.State, held.Plan = job.Held, &job.Plan{Hash: planHash, Run: "03-run", At: now, Count: 12, Active: 40}
	r.State, r.Error, r.Code, r.Remedy = job.RunFailed, "Refused.", "Authorization_RequestDenied", "Consent again."

	var page, rest RunPage
	read(t, b.do(get, "/v1/connections/"+fabrica+"/runs?limit=3", ""), 200, &page)
	read(t, b.do(get, "/v1/connections/"+fabrica+"/runs?limit=3&continuation="+page.Continuation, ""), 200, &rest)
	if len(page.Runs) != 3 || len(rest.Runs) != 2 || page.Runs[0].ID != "00-run" || rest.Runs[0].ID != "03-run" || rest.Continuation != "" {
		t.Errorf("%d and %d runs", len(page.Runs), len(rest.Runs))
	}

	var v Run
	read(t, b.do(get, "/v1/connections/"+fabrica+"/runs/01-run", ""), 200, &v)
	if want := (Counters{1, 2, 3, 4, 5, 6, 7, 12, 8, 9, 10, 11}); *v.Counters != want {
		t.Errorf("counters %+v", *v.Counters)
	}
	if v.State != "failed" || v.Trigger != "schedule" || v.Phase != "people" || !v.Full || v.Why != "first sync" || v.Slices != 2 ||
		!v.Began.Equal(now) || !v.Ended.Equal(now.Add(time.Minute)) || v.LastChange != 9 || v.Problem == nil || v.Problem.Remedy != "Consent again." || v.Plan != nil {
		t.Errorf("%+v", v)
	}
	v = Run{}
	read(t, b.do(get, "/v1/connections/"+fabrica+"/runs/03-run", ""), 200, &v)
	if p := v.Plan; v.State != "held" || p == nil || p.Hash != planHash || p.Run != "03-run" || !p.At.Equal(now) || p.Count != 12 || p.Active != 40 {
		t.Errorf("held: %+v", v)
	}
	v = Run{}
	read(t, b.do(get, "/v1/connections/"+fabrica+"/runs/02-run", ""), 200, &v)
	if p := v.Plan; v.Trigger != "reject" || p == nil || p.Hash != planHash || p.Run != "" || p.At != nil {
		t.Errorf("too late: %+v", v)
	}
	if p := refused(t, b.do(get, "/v1/connections/"+fabrica+"/runs/none", ""), 404, codeNotFound); !p.names("path.run") {
		t.Errorf("%+v", p)
	}
	refused(t, b.do(get, "/v1/connections/"+fabrica+"/runs/NONE", ""), 404, codeNotFound)
	refused(t, b.do(get, "/v1/connections/none/runs/00-run", ""), 404, codeNotFound)
}

// A manual run is answered from its acceptance on, before any worker knows it.
func TestQueuedRun(t *testing.T) {
	b := newBench()
	c := b.connections[fabrica]
	c.Manual = connection.Manual{At: now, Run: "04f8-run"}
	b.connections[fabrica] = c
	var v Run
	read(t, b.do(get, "/v1/connections/"+fabrica+"/runs/04f8-run", ""), 200, &v)
	if v.ID != "04f8-run" || v.State != "queued" || v.Trigger != "manual" || !v.QueuedAt.Equal(now) || v.Began != nil {
		t.Errorf("%+v", v)
	}
	b.runs[fabrica] = []job.Run{{ID: "04f8-run", Trigger: job.Manual, State: job.Running, Began: now}}
	v = Run{}
	read(t, b.do(get, "/v1/connections/"+fabrica+"/runs/04f8-run", ""), 200, &v)
	if v.State != "running" || v.QueuedAt != nil {
		t.Errorf("once opened: %+v", v)
	}
}

func TestUnrouted(t *testing.T) {
	b := newBench()
	for _, path := range []string{"/v1/", "/v1/nothing", "/v2/connections", "/", "/v1/connections/", "/v1//connections",
		"/v1/connections/" + contoso + "/people/..", "/v1/./connections", "/v1/connections/a%2Fb", "/v1/docs", "/v1/schemas/Person"} {
		refused(t, b.do(get, path, ""), 404, codeNotFound)
	}
	for _, test := range []struct{ method, path, allow string }{
		{"PUT", "/v1/connections", "GET, HEAD, POST"},
		{"PUT", "/v1/connections/" + contoso, "DELETE, GET, HEAD, PATCH"},
		{get, "/v1/connections/" + contoso + "/runs/r/approve", "POST"},
		{get, "/v1/connections/" + contoso + "/sync", "POST"},
		{get, "/v1/connections/" + contoso + "/approval", "DELETE, POST"},
		{strings.Repeat("X", 500), "/v1/connections", "GET, HEAD, POST"},
	} {
		w := b.do(test.method, test.path, "")
		p := refused(t, w, 405, codeMethod)
		if w.Header().Get("Allow") != test.allow || len(p.Detail) > 200 {
			t.Errorf("%s %s: Allow %q, %q", test.method, test.path, w.Header().Get("Allow"), p.Detail)
		}
	}
}

// A client that goes away is no failure of ours.
func TestClientGone(t *testing.T) {
	b := newBench()
	b.err = context.Canceled
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, _ := http.NewRequestWithContext(ctx, get, "/v1/connections/"+contoso, nil)
	w := &probe{header: http.Header{}}
	b.api.ServeHTTP(w, r)
	if w.status != 503 || b.log.Len() != 0 {
		t.Errorf("status %d, log %s", w.status, &b.log)
	}
}
