package schedule_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/sandbox/tablestore"
	"rollcall/internal/schedule"
)

const gone = "AADSTS700016"

// verified adds so many connections, which nobody suspects.
func (w *world) verified(n int, change ...func(*connection.Connection)) (ids []string) {
	w.t.Helper()
	made := make([]connection.Connection, n)
	for i := range made {
		made[i] = connection.Connection{
			ID: connection.NewID(), Company: "c", Name: "C", Tenant: "t", Status: connection.OK, LastRun: "before",
			NextDue: w.clock.Now().Add(6 * time.Hour), Interval: 12 * time.Hour,
		}
		for _, f := range change {
			f(&made[i])
		}
		ids = append(ids, made[i].ID)
	}
	w.fill(made)
	return ids
}

// see has a run of the connection fail because Microsoft does not know the app.
func (w *world) see(id string) {
	w.t.Helper()
	w.amend(id, func(c *connection.Connection) {
		c.Learn(fault.Disconnected, true, gone, w.clock.Now())
		c.Problem = &connection.Problem{Code: gone}
		if err := c.Move(connection.Failed); err != nil {
			w.t.Fatal(err)
		}
	})
}

// heal has a run of the connection succeed.
func (w *world) heal(id string) {
	w.t.Helper()
	w.amend(id, func(c *connection.Connection) {
		c.Learn("", false, "", w.clock.Now())
		c.Status, c.Problem = connection.OK, nil
	})
}

// amend changes a stored connection.
func (w *world) amend(id string, change func(*connection.Connection)) {
	w.t.Helper()
	c := w.read(id)
	change(&c)
	if _, err := w.store.UpdateConnection(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
}

// judging is a janitor of the test's own waves, and what it logs.
func (w *world) judging() (*schedule.Janitor, *bytes.Buffer) {
	w.t.Helper()
	forget := func() {
		_, err := wires.Tables.Client().NewClient("service").DeleteEntity(context.Background(), "service", "wave", nil)
		if err != nil && !strings.Contains(err.Error(), "NotFound") {
			w.t.Error(err)
		}
	}
	forget()
	w.t.Cleanup(forget)
	var log bytes.Buffer
	j := w.janitor()
	j.Retention = 0 // a request for each connection
	j.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return j, &log
}

func (w *world) sweep(j *schedule.Janitor) {
	w.t.Helper()
	if err := j.Sweep(w.t.Context()); err != nil {
		w.t.Error(err)
	}
}

func (w *world) audited(id string) []connection.Entry {
	w.t.Helper()
	es, _, err := w.store.Entries(w.t.Context(), id, "", 10)
	if err != nil {
		w.t.Fatal(err)
	}
	return es
}

// Who is seen twice, hours apart, is disconnected, tried once a day, and heals.
func TestDisconnected(t *testing.T) {
	w := newWorld(t)
	j, log := w.judging()
	id := w.verified(4)[0]
	begin := w.clock.Now()
	w.see(id)
	w.sweep(j)
	if c := w.read(id); c.Status != connection.Failed || c.Health.Suspicion == nil || !c.NextDue.Equal(begin.Add(4*time.Hour)) {
		t.Fatalf("seen once: %s, due %s, %+v", c.Status, c.NextDue, c.Health)
	}
	w.clock.Until(begin.Add(4 * time.Hour))
	w.tick() // the second look
	w.one(id)
	w.see(id)
	w.sweep(j)
	w.sweep(j)
	c := w.read(id)
	if c.Status != connection.Disconnected || c.Health.Suspicion != nil || c.Problem == nil || c.Problem.Code != gone || !c.Problem.Consent || c.Problem.Remedy == "" {
		t.Errorf("seen twice: %s, %+v, %+v", c.Status, c.Problem, c.Health)
	}
	if want := begin.Add(30 * time.Hour); !c.NextDue.Equal(want) {
		t.Errorf("due %s, want %s: a day later on its grid", c.NextDue, want)
	}
	es := w.audited(id)
	if len(es) != 1 || es[0].Action != "disconnected" || es[0].Source != connection.FromRollcall || es[0].Outcome != "done" || es[0].Detail["code"] != gone || !es[0].At.Equal(begin.Add(4*time.Hour)) {
		t.Errorf("noted %+v", es)
	}
	if strings.Contains(log.String(), "level=ERROR") || strings.Count(log.String(), "customer has withdrawn the app") != 1 {
		t.Errorf("log: %s", log)
	}
	w.clock.Until(c.NextDue)
	w.tick()
	if n := len(w.queued()[id]); n != 2 {
		t.Errorf("%d messages: it is not tried again", n)
	}
	if due := w.read(id).NextDue; !due.Equal(c.NextDue.Add(24 * time.Hour)) {
		t.Errorf("next tried %s", due)
	}
	c = w.read(id)
	c.Learn("", false, "", w.clock.Now())
	if err := c.Move(connection.OK); err != nil || !c.NextDue.Equal(w.clock.Now().Add(12*time.Hour)) {
		t.Errorf("healed: due %s, %v", c.NextDue, err)
	}
}

// Three of thirty within an hour are not the customers' doing: nobody is
// marked, also who would have been confirmed, and one alert is raised.
func TestDisconnectWave(t *testing.T) {
	w := newWorld(t)
	j, log := w.judging()
	ids := w.verified(30)
	begin := w.clock.Now()
	w.see(ids[4]) // hours before, and again within the wave
	w.clock.Until(begin.Add(4 * time.Hour))
	w.see(ids[0])
	w.see(ids[1])
	w.sweep(j)
	if log.Len() > 0 || w.read(ids[0]).Health.Suspicion == nil {
		t.Fatalf("two are no wave: %s", log)
	}
	w.clock.Advance(59 * time.Minute)
	w.see(ids[2])
	w.see(ids[4])
	for range 3 {
		w.sweep(j)
	}
	w.clock.Advance(30 * time.Minute)
	w.see(ids[3]) // late, and alone
	w.sweep(j)
	for _, id := range ids[:5] {
		c := w.read(id)
		if c.Status != connection.Failed || c.Health.Suspicion != nil || c.Health.Failures != 0 || c.Problem.Code != connection.WaveCode || c.Problem.Consent || c.Problem.Remedy == "" {
			t.Errorf("%s, %+v, %+v", c.Status, c.Problem, c.Health)
		}
		if es := w.audited(id); len(es) != 0 {
			t.Errorf("noted %+v", es)
		}
	}
	if n := strings.Count(log.String(), `level=ERROR msg="disconnect wave" connections=4 verified=30`); n != 1 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("alerts: %s", log)
	}
	if wave, err := w.store.Wave(t.Context()); err != nil || wave.Tenants != 5 || !wave.Since.Equal(begin.Add(4*time.Hour)) || !wave.Last.Equal(w.clock.Now()) {
		t.Errorf("stored %+v, %v", wave, err)
	}
	// Another wave of whom had recovered, when this one is over, is another
	// alert.
	for _, id := range ids[:3] {
		w.heal(id)
	}
	w.clock.Advance(2 * time.Hour)
	for _, id := range ids[:3] {
		w.see(id)
	}
	w.sweep(j)
	if n := strings.Count(log.String(), "disconnect wave"); n != 2 {
		t.Errorf("%d alerts of two waves", n)
	}
}

// While a wave goes on nobody is marked, also who was not part of it; when it
// is over they are.
func TestNobodyMarkedDuringWave(t *testing.T) {
	w := newWorld(t)
	j, _ := w.judging()
	ids := w.verified(5)
	w.see(ids[4])
	w.clock.Advance(4 * time.Hour)
	w.see(ids[4])
	w.clock.Advance(61 * time.Minute) // no janitor all the while
	for _, id := range ids[:3] {
		w.clock.Advance(time.Minute)
		w.see(id)
	}
	w.sweep(j)
	if c := w.read(ids[4]); c.Status != connection.Failed || !c.Health.Suspicion.Confirmed() {
		t.Errorf("during the wave: %s, %+v", c.Status, c.Health)
	}
	w.clock.Advance(61 * time.Minute)
	w.sweep(j)
	if c := w.read(ids[4]); c.Status != connection.Disconnected {
		t.Errorf("after it: %s", c.Status)
	}
}

// A janitor that loses any of its writes, or any answer, comes to the same in
// the next sweeps, with one alert, and each fact noted once or logged as not noted.
func TestJudgeAfterCrash(t *testing.T) {
	w := newWorld(t)
	for _, lost := range []string{"write", "answer"} {
		for n := 1; ; n++ {
			j, log := w.judging()
			ids := w.verified(6)
			w.see(ids[0])
			w.see(ids[1])
			w.clock.Advance(4 * time.Hour)
			w.see(ids[0])
			w.see(ids[1])
			w.clock.Advance(3 * time.Hour)
			for _, id := range ids[2:5] {
				w.see(id)
			}
			w.clock.Advance(61 * time.Minute) // all is seen late, in one sweep
			seen := 0
			hit := func() bool { seen++; return seen == n || seen == n+1 } // the client tries once more
			if lost == "write" {
				wires.Tables.BeforeWrite(func(int64, string) error {
					if hit() {
						return errors.New("lost")
					}
					return nil
				})
			} else {
				wires.Tables.OnWrite(func(int64, string) tablestore.Verdict {
					if hit() {
						return tablestore.Cut
					}
					return tablestore.Pass
				})
			}
			err := j.Sweep(t.Context())
			wires.Tables.BeforeWrite(nil)
			wires.Tables.OnWrite(nil)
			w.sweep(j)
			w.sweep(j)
			name := fmt.Sprintf("%s %d lost (%v)", lost, n, err)
			for i, id := range ids {
				want := []connection.Status{connection.Disconnected, connection.Disconnected, connection.Failed, connection.Failed, connection.Failed, connection.OK}[i]
				if c := w.read(id); c.Status != want || c.Health.Suspicion != nil {
					t.Errorf("%s: connection %d is %s, %+v", name, i, c.Status, c.Health)
				}
				told := strings.Contains(log.String(), `msg="not in the audit log" connection=`+id)
				if es := w.audited(id); (len(es) == 1) != (want == connection.Disconnected && !told) || len(es) > 1 {
					t.Errorf("%s: connection %d: noted %+v", name, i, es)
				}
			}
			if alerts := strings.Count(log.String(), "disconnect wave"); alerts != 1 {
				t.Errorf("%s: %d alerts", name, alerts)
			}
			w.forget()
			w.made = nil
			if seen < n {
				if n < 7 {
					t.Errorf("%d writes only", n-1)
				}
				break
			}
		}
	}
}

// Two janitors at once raise one alert.
func TestTwoJanitors(t *testing.T) {
	w := newWorld(t)
	j, log := w.judging()
	for _, id := range w.verified(6) {
		w.see(id)
	}
	var mu sync.Mutex
	j.Log = slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), nil))
	var wg sync.WaitGroup
	for range 4 {
		other := w.janitor()
		other.Log = j.Log
		wg.Go(func() { w.sweep(other) })
	}
	wg.Wait()
	w.sweep(j)
	if n := strings.Count(log.String(), "disconnect wave"); n != 1 {
		t.Errorf("%d alerts: %s", n, log)
	}
	for _, id := range w.made {
		if c := w.read(id); c.Health.Suspicion != nil {
			t.Errorf("%+v", c.Health)
		}
	}
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// brokenAudit is an audit log that cannot be written.
type brokenAudit struct{}

func (brokenAudit) Note(context.Context, connection.Entry) error { return errors.New("down") }

// What Rollcall finds out by itself does not wait for the audit log.
func TestDisconnectedWithoutAudit(t *testing.T) {
	w := newWorld(t)
	j, log := w.judging()
	j.Audit = brokenAudit{}
	id := w.verified(1)[0]
	w.see(id)
	w.clock.Advance(4 * time.Hour)
	w.see(id)
	w.sweep(j)
	if s := w.read(id).Status; s != connection.Disconnected || !strings.Contains(log.String(), `level=ERROR msg="not in the audit log"`) {
		t.Errorf("%s, log: %s", s, log)
	}
}
