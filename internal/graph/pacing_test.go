package graph_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/graph"
	"rollcall/internal/job"
	ms "rollcall/internal/sandbox/microsoft/fault"
)

// paced notes how long a client waits, without waiting.
type paced struct {
	now    time.Time
	sleeps []time.Duration
}

func pace(c *graph.Client) *paced {
	p := &paced{now: time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)}
	c.Now = func() time.Time { return p.now }
	c.Sleep = func(_ context.Context, d time.Duration) error {
		p.sleeps = append(p.sleeps, d)
		p.now = p.now.Add(d)
		return nil
	}
	return p
}

// Each request says how urgent it is, also those within a batch.
func TestPriorityHeader(t *testing.T) {
	var got []string
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("x-ms-throttle-priority"))
		if !strings.HasSuffix(r.URL.Path, "$batch") {
			_, _ = io.WriteString(w, emptyPage)
			return
		}
		var body struct {
			Requests []struct {
				ID      string
				Headers map[string]string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		var out []map[string]any
		for _, in := range body.Requests {
			got = append(got, in.Headers["x-ms-throttle-priority"])
			out = append(out, map[string]any{"id": in.ID, "status": 404})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"responses": out})
	})
	tenant := connection.Access{Tenant: "t"}
	for p, want := range map[job.Priority]string{job.Low: "low", job.Normal: "", job.High: "high"} {
		got = nil
		ctx := job.Under(t.Context(), job.Terms{Priority: p})
		if _, err := c.People(ctx, tenant, "", directory.Properties()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.MemberOf(ctx, tenant, []string{"00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, []string{want, want, want, want}) {
			t.Errorf("priority %d: %q", p, got)
		}
	}
}

// Microsoft's warnings slow a tenant's requests down before they are refused, a
// little while they last, never for long, and no other tenant's.
func TestSlowsDown(t *testing.T) {
	tn, other := wires.Tenant(t, 5), wires.Tenant(t, 5)
	c := client(t, wires.Transport)
	p := pace(c)
	ask := func(id string) {
		t.Helper()
		if _, err := c.People(t.Context(), connection.Access{Tenant: id}, "", nil); err != nil {
			t.Fatal(err)
		}
	}
	ask(tn.ID)
	if len(p.sleeps) != 0 {
		t.Fatalf("waited %v without a warning", p.sleeps)
	}
	fired := wires.Fault(t, tn, ms.Fault{Kind: ms.Near, Part: 1.3, Count: 1})
	ask(tn.ID)
	fired()
	for range 3 {
		ask(tn.ID)
		ask(other.ID)
	}
	if len(p.sleeps) != 3 || p.sleeps[0] < 500*time.Millisecond || p.sleeps[0] > 2*time.Second || p.sleeps[1] >= p.sleeps[0] || p.sleeps[2] >= p.sleeps[1] {
		t.Errorf("waited %v after one warning", p.sleeps)
	}
	p.sleeps = nil
	p.now = p.now.Add(time.Minute)
	if ask(tn.ID); len(p.sleeps) != 0 {
		t.Errorf("waited %v a minute later", p.sleeps)
	}
}

// What Microsoft says within a batch counts as well.
func TestSlowsDownByBatch(t *testing.T) {
	tn := wires.Tenant(t, 5)
	c := client(t, wires.Transport)
	p := pace(c)
	fired := wires.Fault(t, tn, ms.Fault{Kind: ms.Near, Part: 1, Path: ms.MemberOf, Count: 1})
	var ids []string
	for _, person := range tn.People() {
		ids = append(ids, person.ID)
	}
	for range 2 {
		if _, err := c.MemberOf(t.Context(), connection.Access{Tenant: tn.ID}, ids); err != nil {
			t.Fatal(err)
		}
	}
	fired()
	if len(p.sleeps) != 1 {
		t.Errorf("waited %v", p.sleeps)
	}
}

// A process asks a tenant for no more than its budget: it waits a little, and
// what would have to wait longer is no request at all.
func TestBudgetOfRequests(t *testing.T) {
	calls := 0
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		_, _ = io.WriteString(w, emptyPage)
	})
	p := pace(c)
	stopped := p.now
	c.Sleep = func(_ context.Context, d time.Duration) error { // many at once: the clock stands
		p.sleeps = append(p.sleeps, d)
		return nil
	}
	var err error
	for err == nil && calls < 5000 {
		_, err = c.People(t.Context(), connection.Access{Tenant: "t"}, "", nil)
	}
	// 0.2 of 3,500 units at once, of which 2 s of what comes back is left to the urgent.
	if e := fault.Of(err); e.Kind != fault.Throttled || e.After <= 2*time.Second || e.Code != job.Standing || calls != 700 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	if most := slices.Max(p.sleeps); most > 2*time.Second || most < 1900*time.Millisecond {
		t.Errorf("waited up to %s", most)
	}
	if _, err := c.People(job.Under(t.Context(), job.Terms{Priority: job.High}), connection.Access{Tenant: "t"}, "", nil); err != nil {
		t.Errorf("an urgent request: %v", err)
	}
	p.now = stopped.Add(time.Minute)
	if _, err := c.People(t.Context(), connection.Access{Tenant: "t"}, "", nil); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// A tenant that is counted is held to the limit of its size.
func TestBudgetOfLarge(t *testing.T) {
	calls := 0
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/$count") {
			_, _ = io.WriteString(w, "501")
			return
		}
		calls++
		_, _ = io.WriteString(w, emptyPage)
	})
	pace(c)
	c.Sleep = func(context.Context, time.Duration) error { return nil }
	if _, err := c.CountPeople(t.Context(), connection.Access{Tenant: "t"}); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil && calls < 5000 {
		_, err = c.People(t.Context(), connection.Access{Tenant: "t"}, "", nil)
	}
	if !fault.Is(err, fault.Throttled) || calls < 1590 || calls > 1600 { // 0.2 of 8,000, and the count
		t.Errorf("%d calls: %v", calls, err)
	}
}

// A wait that is broken off is no request.
func TestBrokenOff(t *testing.T) {
	calls := 0
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.Header().Set("x-ms-throttle-limit-percentage", "1.8")
		_, _ = io.WriteString(w, emptyPage)
	})
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.People(ctx, connection.Access{Tenant: "t"}, "", nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := c.People(ctx, connection.Access{Tenant: "t"}, "", nil); !errors.Is(err, context.Canceled) || calls != 1 {
		t.Errorf("%v, %d calls", err, calls)
	}
}

// How far a throttle reaches, and how long it lasts.
func TestThrottleScope(t *testing.T) {
	for _, test := range []struct {
		status             int
		scope, after, date string
		kind               fault.Kind
		wide               string
		wait               time.Duration
	}{
		{429, "Tenant_Application/ReadWrite/a/t", "3", "", fault.Throttled, "", 3*time.Second + time.Millisecond},
		{429, "Application/ReadWrite/a", "3", "", fault.Throttled, "Application/ReadWrite", 3*time.Second + time.Millisecond},
		{429, "Application/ReadWrite/a/t", "2.128", "", fault.Throttled, "Application/ReadWrite", 2129 * time.Millisecond},
		{429, "Application/ReadWrite/a", "", "", fault.Throttled, "Application/ReadWrite", 20 * time.Second},
		{429, "", "", "", fault.Throttled, "", 0},
		{503, "Application/Read/a", "", "", fault.Throttled, "Application/Read", 20 * time.Second},
		{503, "Application/Read/a", "7", "", fault.Throttled, "Application/Read", 7*time.Second + time.Millisecond},
		{503, "", "", "", fault.Unknown, "", 0},
		{500, "Application/Read/a", "7", "", fault.Unknown, "", 0},
		// a date counts by the clock of whoever wrote it
		{429, "", "Sun, 22 Nov 2020 08:00:30 GMT", "Sun, 22 Nov 2020 08:00:00 GMT", fault.Throttled, "", 30 * time.Second},
		{429, "", "Sun, 22 Nov 2020 08:00:00 GMT", "Sun, 22 Nov 2020 08:00:00 GMT", fault.Throttled, "", 0},
	} {
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			for k, v := range map[string]string{"x-ms-throttle-scope": test.scope, "Retry-After": test.after, "Date": test.date} {
				if v != "" {
					w.Header().Set(k, v)
				}
			}
			w.WriteHeader(test.status)
		})
		_, err := c.People(t.Context(), connection.Access{Tenant: "t"}, "", nil)
		if e := fault.Of(err); e.Kind != test.kind || e.Scope != test.wide || e.After != test.wait {
			t.Errorf("%s: %s, %q, %s", fmt.Sprint(test), e.Kind, e.Scope, e.After)
		}
	}
}
