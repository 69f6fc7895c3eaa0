package api

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// While a run is open the status says so, wherever a connection is answered.
func TestStanding(t *testing.T) {
	b := newBench()
	for want, run := range map[string]job.Run{
		"ok":        {State: job.Succeeded, Throttled: true},
		"syncing":   {State: job.Running, Throttled: true},
		"throttled": {State: job.Waiting, Throttled: true},
	} {
		b.fences[fabrica] = job.Fence{Run: run}
		b.fences[contoso] = job.Fence{Run: run} // which is not live
		var v Connection
		read(t, b.do(get, "/v1/connections/"+fabrica, ""), 200, &v)
		if v.Status != want {
			t.Errorf("read: %s, want %s", v.Status, want)
		}
		read(t, b.do(patch, "/v1/connections/"+fabrica, `{"guard":null}`), 200, &v)
		if v.Status != want {
			t.Errorf("changed: %s, want %s", v.Status, want)
		}
		read(t, b.do(patch, "/v1/connections/"+fabrica, `{}`), 200, &v)
		if v.Status != want {
			t.Errorf("not changed: %s, want %s", v.Status, want)
		}
		var page ConnectionPage
		read(t, b.do(get, "/v1/connections", ""), 200, &page)
		if page.Connections[0].Status != want || page.Connections[1].Status != "invited" {
			t.Errorf("list: %s and %s, want %s", page.Connections[0].Status, page.Connections[1].Status, want)
		}
	}
	b.fences[fabrica] = job.Fence{Run: job.Run{State: job.Waiting}}
	var v Connection
	read(t, b.do(get, "/v1/connections/"+fabrica, ""), 200, &v)
	if v.Status != "syncing" {
		t.Errorf("a run that waits for another reason: %s", v.Status)
	}
}

// plans counts how many fences are read at the same time.
type plans struct {
	*fake
	now, most, all atomic.Int64
	err            error
}

func (p *plans) Fence(ctx context.Context, id string) (job.Fence, error) {
	n := p.now.Add(1)
	defer p.now.Add(-1)
	p.all.Add(1)
	for m := p.most.Load(); n > m && !p.most.CompareAndSwap(m, n); m = p.most.Load() {
	}
	time.Sleep(time.Millisecond) // of the bubble's clock: all that may begin has begun when it ends
	f, _ := p.fake.Fence(ctx, id)
	return f, p.err
}

// A long list reads the fences of the live ones only, some at a time.
func TestStandingOfMany(t *testing.T) { synctest.Test(t, standingOfMany) }

func standingOfMany(t *testing.T) {
	b := newBench()
	for i := range 450 {
		id := fmt.Sprintf("c%025d", i)
		b.connections[id] = connection.Connection{ID: id, Status: connection.OK, Verified: now}
		if i%2 == 1 {
			b.connections[id] = connection.Connection{ID: id, Status: connection.Invited}
		} else if i%4 == 0 {
			b.fences[id] = job.Fence{Run: job.Run{State: job.Running}}
		}
	}
	p := &plans{fake: b.fake}
	b.api.Plans = p
	var page ConnectionPage
	read(t, b.do(get, "/v1/connections?limit=1000", ""), 200, &page)
	if len(page.Connections) != 452 {
		t.Fatalf("%d connections", len(page.Connections))
	}
	for i, c := range page.Connections[1:451] { // fabrica is before them, contoso after
		want := []string{"syncing", "invited", "ok", "invited"}[i%4]
		if c.ID != fmt.Sprintf("c%025d", i) || c.Status != want {
			t.Fatalf("%d: %s is %s, want %s", i, c.ID, c.Status, want)
		}
	}
	if p.all.Load() != 226 || p.most.Load() != 16 {
		t.Errorf("%d fences read, at most %d at a time, want 226 and 16", p.all.Load(), p.most.Load())
	}
	p.err = fault.New(fault.Unknown, "down")
	refused(t, b.do(get, "/v1/connections", ""), 503, codeUnavailable)
	refused(t, b.do(get, "/v1/connections/"+fabrica, ""), 503, codeUnavailable)
	// What is done is done: the stored status stands in.
	var v Connection
	read(t, b.do(patch, "/v1/connections/"+fabrica, `{"guard":null}`), 200, &v)
	if v.Status != "ok" {
		t.Errorf("%+v", v)
	}
}

func TestHealth(t *testing.T) {
	b := newBench()
	b.set(fabrica, func(c *connection.Connection) {
		c.Health = connection.Health{Failures: 3, Suspicion: &connection.Suspicion{First: now.Add(-time.Hour), Last: now}}
	})
	var v Connection
	read(t, b.do(get, "/v1/connections/"+fabrica, ""), 200, &v)
	if v.Health == nil || v.Health.Failures != 3 || !v.Health.SuspectedSince.Equal(now.Add(-time.Hour)) {
		t.Errorf("%+v", v.Health)
	}
	for name, test := range map[string]struct {
		change func(*connection.Connection)
		needed bool
	}{
		"older than profiles": {func(*connection.Connection) {}, false},
		"covered":             {func(c *connection.Connection) { c.Profile, c.App = "mailboxes", appMailboxes }, false},
		"too little":          {func(c *connection.Connection) { c.Profile, c.App = "base", appBase }, true},
		"own":                 {func(c *connection.Connection) { c.Profile, c.OwnApp = "own", "s" }, false},
		"a part denied":       {func(c *connection.Connection) { c.Problem = &connection.Problem{Consent: true} }, true},
		"other trouble":       {func(c *connection.Connection) { c.Problem = &connection.Problem{} }, false},
		"not live":            {func(c *connection.Connection) { c.Profile, c.Status = "base", connection.Paused }, false},
	} {
		b.set(fabrica, func(c *connection.Connection) {
			c.Status, c.Profile, c.App, c.OwnApp, c.Problem = connection.OK, "", "", "", nil
			test.change(c)
		})
		c := b.connections[fabrica]
		v = Connection{}
		read(t, b.do(get, "/v1/connections/"+fabrica, ""), 200, &v)
		if v.ConsentNeeded != test.needed || v.Profile != c.Profile || v.App != c.App || v.OwnApp != (c.OwnApp != "") {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
