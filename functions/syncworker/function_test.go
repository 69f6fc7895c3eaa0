package syncworker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/funchost"
	"rollcall/internal/job"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// sent is what was put back.
type sent struct {
	jobs []job.Job
	at   []time.Time
	err  error
}

func (s *sent) Send(ctx context.Context, j job.Job, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.err != nil {
		return s.err
	}
	s.jobs, s.at = append(s.jobs, j), append(s.at, at)
	return nil
}

// post invokes the function as the host does and returns the status; the host
// takes a 2xx for success.
func post(t *testing.T, q *sent, body any, do Worker) int {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	f := Function{
		Workers: map[job.Kind]Worker{job.Sync: do, job.Verify: func(context.Context, job.Job) error { return errors.New("the wrong worker") }},
		Queue:   q, Now: func() time.Time { return noon }, Log: log, MinDelay: 15 * time.Second, MaxDelay: 15 * time.Minute,
	}
	b, err := json.Marshal(map[string]any{"Data": map[string]any{"job": body}, "Metadata": map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	h := funchost.Trigger{Name: "syncworker", Do: f.Do, Deadline: time.Minute, Log: log}
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/syncworker", strings.NewReader(string(b))))
	if rec.Body.Len() == 0 {
		t.Error("an empty answer")
	}
	return rec.Code
}

var some = job.Job{Kind: job.Sync, Connection: "c", Run: "r", Slice: 2, Trigger: job.Manual}

func fails(err error) Worker { return func(context.Context, job.Job) error { return err } }

// A job is done with when its worker says so, and given to the worker of its
// kind as it was sent.
func TestDone(t *testing.T) {
	q := &sent{}
	var got job.Job
	want := some
	want.Version = job.Version
	code := post(t, q, json.RawMessage(some.Encode()), func(_ context.Context, j job.Job) error { got = j; return nil })
	if code != http.StatusOK || got != want || len(q.jobs) != 0 {
		t.Errorf("%d, job %+v, put back %v", code, got, q.jobs)
	}
}

// A job that could not be begun comes back later and later, as another
// message each time.
func TestPutBack(t *testing.T) {
	ids := map[string]bool{some.MessageID(): true}
	j := some
	for _, delay := range []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute} {
		q := &sent{}
		if code := post(t, q, json.RawMessage(j.Encode()), fails(errors.New("the store is away"))); code != http.StatusOK || len(q.jobs) != 1 {
			t.Fatalf("%d, put back %v", code, q.jobs)
		}
		if got := q.at[0].Sub(noon); got != delay {
			t.Errorf("try %d after %s, want %s", q.jobs[0].Try, got, delay)
		}
		back := q.jobs[0]
		if id := back.MessageID(); ids[id] {
			t.Errorf("message %s is a repeat, which the queue drops", id)
		} else {
			ids[id] = true
		}
		if back.Slice != some.Slice || back.Run != some.Run || back.Connection != some.Connection || back.Trigger != some.Trigger || back.Kind != some.Kind {
			t.Errorf("put back as %+v", back)
		}
		j = back
	}
}

// What an error's kind decides.
func TestKinds(t *testing.T) {
	for kind, delay := range map[fault.Kind]time.Duration{
		fault.Unknown: 15 * time.Second, fault.Throttled: 90 * time.Second, fault.Expired: 15 * time.Second,
		fault.Denied: 15 * time.Second, fault.Conflict: 15 * time.Second, fault.Invalid: 0, fault.NotFound: 0,
	} {
		q := &sent{}
		e := fault.New(kind, "no")
		if kind == fault.Throttled {
			e.After = 90 * time.Second
		}
		code := post(t, q, json.RawMessage(some.Encode()), fails(e))
		if code != http.StatusOK || len(q.jobs) != min(int(delay), 1) {
			t.Errorf("%s: %d, put back %v", kind, code, q.jobs)
			continue
		}
		if delay > 0 && q.at[0].Sub(noon) != delay {
			t.Errorf("%s: after %s, want %s", kind, q.at[0].Sub(noon), delay)
		}
	}
}

// A job that can neither be done nor put back is the host's again.
func TestQueueAway(t *testing.T) {
	q := &sent{err: errors.New("no queue")}
	if code := post(t, q, json.RawMessage(some.Encode()), fails(errors.New("no store"))); code != http.StatusInternalServerError {
		t.Errorf("%d: the job is lost", code)
	}
}

// An invocation that runs out of time still puts its job back.
func TestOutOfTime(t *testing.T) {
	q := &sent{}
	f := Function{
		Workers: map[job.Kind]Worker{job.Sync: func(ctx context.Context, _ job.Job) error { return ctx.Err() }},
		Queue:   q, Now: func() time.Time { return noon }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), MinDelay: time.Second, MaxDelay: time.Minute,
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := f.Do(ctx, funchost.Invocation{Data: map[string]json.RawMessage{"job": some.Encode()}})
	if err != nil || len(q.jobs) != 1 {
		t.Errorf("put back %v, %v", q.jobs, err)
	}
}

// What nobody can read is dropped; what a newer build wrote waits for one.
func TestUnreadable(t *testing.T) {
	never := func(context.Context, job.Job) error { t.Error("a worker was given an unreadable job"); return nil }
	for name, body := range map[string]any{
		"no job": "hello", "null": nil, "number": 7, "no kind": map[string]any{"v": 1, "connection": "c", "run": "r"},
		"foreign ID": map[string]any{"v": 1, "kind": "sync", "connection": "../c", "run": "r"},
		"too large":  map[string]any{"v": 1, "kind": "sync", "connection": "c", "run": "r", "x": strings.Repeat("x", 5000)},
	} {
		if code := post(t, &sent{}, body, never); code != http.StatusOK {
			t.Errorf("%s: %d: it would come back for ever", name, code)
		}
	}
	newer := map[string]any{"v": job.Version + 1, "kind": "sync", "connection": "c", "run": "r"}
	if code := post(t, &sent{}, newer, never); code != http.StatusInternalServerError {
		t.Errorf("a newer job: %d: it is lost", code)
	}
}
