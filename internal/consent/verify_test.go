package consent_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// microsoft answers probes and counts starts.
type microsoft struct {
	probes []connection.Access
	starts []string
	err    error // of the next probes
	during func()
	start  error
}

func (m *microsoft) Probe(_ context.Context, a connection.Access) error {
	m.probes = append(m.probes, a)
	if m.during != nil {
		m.during()
	}
	return m.err
}

func (m *microsoft) Start(_ context.Context, id string) error {
	m.starts = append(m.starts, id)
	return m.start
}

// consenting is a world in which contoso has just consented.
func consenting(t *testing.T) (*world, *microsoft, *consent.Verifier) {
	w := newWorld(t)
	w.change(contoso, func(c *connection.Connection) {
		c.Status, c.Tenant, c.Verify = connection.Consenting, tenantA, connection.Verify{ID: "v1", Since: w.clock}
	})
	m := &microsoft{err: &fault.Error{Kind: fault.Denied, Code: "AADSTS700016", Err: errors.New("Jane Doe")}}
	return w, m, w.verifier(m)
}

func (w *world) verifier(m *microsoft) *consent.Verifier {
	return &consent.Verifier{
		Connections: w, Queue: w, Prober: m, Starter: m, Audit: w, Now: func() time.Time { return w.clock }, Log: slog.New(slog.DiscardHandler),
	}
}

func check(try int) job.Job {
	return job.Job{Kind: job.Verify, Connection: contoso, Run: "v1", Slice: try}
}

// Tries come after 2, 4, 8 … 300 seconds, the last exactly 30 minutes after
// consent; then the link opens again.
func TestVerifyGivesUp(t *testing.T) {
	w, m, v := consenting(t)
	began := w.clock
	// 2+4+…+256 = 510 seconds, then 300 each, and the last one cut short.
	want := []int{2, 6, 14, 30, 62, 126, 254, 510, 810, 1110, 1410, 1710, 1800}
	for i, seconds := range want {
		if err := v.Verify(t.Context(), check(i)); err != nil {
			t.Fatal(err)
		}
		last := w.sent[len(w.sent)-1]
		if got := int(last.at.Sub(began).Seconds()); len(w.sent) != i+1 || got != seconds || last.job != check(i+1) {
			t.Fatalf("try %d: %d sent, next %+v after %d s, want %d s", i, len(w.sent), last.job, got, seconds)
		}
		c := w.connections[contoso]
		if c.Status != connection.Consenting || c.Problem == nil || c.Problem.Code != "AADSTS700016" || c.Problem.Message == "Jane Doe" {
			t.Fatalf("try %d: %+v", i, c)
		}
		w.clock = last.at
	}
	if err := v.Verify(t.Context(), check(len(want))); err != nil {
		t.Fatal(err)
	}
	c := w.connections[contoso]
	if c.Status != connection.Failed || c.Problem == nil || c.Live() || len(w.sent) != len(want) || len(m.starts) != 0 {
		t.Errorf("%+v, problem %+v, %d sent", c, c.Problem, len(w.sent))
	}
}

func TestVerifySucceeds(t *testing.T) {
	w, m, v := consenting(t)
	if err := v.Verify(t.Context(), check(0)); err != nil {
		t.Fatal(err)
	}
	m.err = nil
	w.clock = w.clock.Add(2 * time.Second)
	if err := v.Verify(t.Context(), check(1)); err != nil {
		t.Fatal(err)
	}
	c := w.connections[contoso]
	if c.Status != connection.Connected || c.Problem != nil || !c.NextDue.Equal(w.clock) || len(m.starts) != 1 || len(w.sent) != 1 || m.probes[1].Tenant != tenantA {
		t.Errorf("%+v, starts %v, sent %v", c, m.starts, w.sent)
	}
	// Again, before and after somebody started it.
	v.Verify(t.Context(), check(1))
	w.change(contoso, func(c *connection.Connection) { c.NextDue = c.NextDue.Add(12 * time.Hour) })
	v.Verify(t.Context(), check(1))
	if len(m.starts) != 2 || len(m.probes) != 2 || w.connections[contoso].Status != connection.Connected {
		t.Errorf("starts %v, probes %v", m.starts, m.probes)
	}
}

// What is not the current try changes nothing; an older one sends the current
// one's message again.
func TestVerifyStale(t *testing.T) {
	w, m, v := consenting(t)
	w.change(contoso, func(c *connection.Connection) { c.Verify.Attempt = 3 })
	for _, tc := range []struct {
		name string
		job  job.Job
		sent int
	}{
		{"older", check(1), 1},
		{"newer", check(4), 0},
		{"another consent", job.Job{Kind: job.Verify, Connection: contoso, Run: "v0", Slice: 3}, 0},
		{"unknown connection", job.Job{Kind: job.Verify, Connection: "gone", Run: "v1", Slice: 3}, 0},
	} {
		w.sent = nil
		before := w.picture()
		if err := v.Verify(t.Context(), tc.job); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if len(w.sent) != tc.sent || tc.sent == 1 && w.sent[0].job != check(3) {
			t.Errorf("%s: sent %v", tc.name, w.sent)
		}
		w.sent = nil
		if w.picture() != before {
			t.Errorf("%s: stored something", tc.name)
		}
	}
	if len(m.probes) != 0 {
		t.Errorf("probed %v", m.probes)
	}
}

// A race is settled by the version that was read; the loser changes nothing.
func TestVerifyRace(t *testing.T) {
	w, m, v := consenting(t)
	m.during = func() {
		m.during = nil
		m.err = nil
		if err := v.Verify(t.Context(), check(0)); err != nil { // the same message, delivered twice
			t.Fatal(err)
		}
		m.err = errors.New("late")
		w.change(contoso, func(c *connection.Connection) { c.NextDue = c.NextDue.Add(time.Hour) })
	}
	if err := v.Verify(t.Context(), check(0)); err != nil {
		t.Fatal(err)
	}
	if c := w.connections[contoso]; c.Status != connection.Connected || len(w.sent) != 0 || len(m.starts) != 1 {
		t.Errorf("%+v, sent %v, starts %v", c, w.sent, m.starts)
	}
}

// Being cut short by us says nothing about the tenant.
func TestVerifyCutShort(t *testing.T) {
	w, m, v := consenting(t)
	ctx, cancel := context.WithCancel(t.Context())
	m.during = cancel
	before := w.picture()
	if err := v.Verify(ctx, check(0)); !errors.Is(err, context.Canceled) || w.picture() != before {
		t.Errorf("%v, stored %s", err, w.picture())
	}
}

// A check that was stored but not sent comes back as an error, and by its
// redelivery.
func TestVerifySendFails(t *testing.T) {
	w, _, v := consenting(t)
	w.fail = func(op string) error {
		if op == "send" {
			return errors.New("killed")
		}
		return nil
	}
	if err := v.Verify(t.Context(), check(0)); err == nil {
		t.Fatal("no error")
	}
	w.fail = nil
	if err := v.Verify(t.Context(), check(0)); err != nil || len(w.sent) != 1 || w.sent[0].job != check(1) {
		t.Errorf("%v, sent %v", err, w.sent)
	}
}

func TestRepair(t *testing.T) {
	w, _, v := consenting(t)
	began := w.clock
	for _, tc := range []struct {
		name   string
		status connection.Status
		after  time.Duration
		sent   int
		want   connection.Status
	}{
		{"fresh", connection.Consenting, 14 * time.Second, 0, connection.Consenting},
		{"not consenting", connection.OK, time.Hour, 0, connection.OK},
		{"overdue", connection.Consenting, 15 * time.Second, 1, connection.Consenting},
		{"lost", connection.Consenting, 37 * time.Minute, 0, connection.Failed},
	} {
		w.sent = nil
		w.change(contoso, func(c *connection.Connection) { c.Status = tc.status })
		if err := v.Repair(t.Context(), w.connections[contoso], began.Add(tc.after)); err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if got := w.connections[contoso].Status; got != tc.want || len(w.sent) != tc.sent || tc.sent == 1 && w.sent[0].job != check(0) {
			t.Errorf("%s: %s, sent %v", tc.name, got, w.sent)
		}
	}
}
