package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/schedule"
)

// crowd stores so many people in a partition.
func (w *world) crowd(part string, n int) {
	w.t.Helper()
	var f job.Fence
	for from := 0; from < n; from += directory.MaxRows {
		var b directory.Batch
		for i := from; i < min(n, from+directory.MaxRows); i++ {
			b.Add = append(b.Add, directory.Record{Person: directory.Person{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i)}})
		}
		var err error
		if f, err = w.store.Commit(w.t.Context(), part, f, b); err != nil {
			w.t.Fatal(err)
		}
	}
}

// stored is how many people a partition shows.
func (w *world) stored(part string) (n int) {
	w.t.Helper()
	for after := ""; ; {
		ps, next, err := w.store.People(w.t.Context(), part, after, 1000)
		if err != nil {
			w.t.Fatal(err)
		}
		if n += len(ps); next == "" {
			return n
		}
		after = next
	}
}

func preview(at time.Time) connection.Ask {
	return connection.Ask{Trigger: string(job.Preview), Run: "p", At: at}
}

// What a preview wrote goes once the newest one is a day old, what is live
// stays, and then nobody is said to have asked.
func TestOldPreviews(t *testing.T) {
	w := newWorld(t)
	now := w.clock.Now()
	person := connection.Ask{Trigger: string(job.Person), Run: "x", Person: grace, At: now.Add(-72 * time.Hour)}
	for name, test := range map[string]struct {
		asks []connection.Ask
		gone bool
		left int
	}{
		"old":         {[]connection.Ask{person, preview(now.Add(-25 * time.Hour)), preview(now.Add(-50 * time.Hour))}, true, 1},
		"young":       {[]connection.Ask{preview(now.Add(-24 * time.Hour)), preview(now.Add(-50 * time.Hour))}, false, 2},
		"none":        {[]connection.Ask{person}, false, 1},
		"not offered": {nil, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			id := w.add(now.Add(time.Hour), func(c *connection.Connection) { c.Asks = test.asks })
			w.crowd(id, 3)
			n := 7
			if test.gone {
				n = 1203 // more than are deleted at a time
			}
			w.crowd(id+"~preview", n)
			if err := w.janitor().Sweep(t.Context()); err != nil {
				t.Error(err)
			}
			if test.gone {
				n = 3 // the live ones show through
			}
			if shown := w.stored(id + "~preview"); shown != n {
				t.Errorf("the preview shows %d people, want %d", shown, n)
			}
			if n := w.stored(id); n != 3 {
				t.Errorf("%d live people", n)
			}
			if f, err := w.store.Fence(t.Context(), id+"~preview"); err != nil || (f.Version == "") != test.gone {
				t.Errorf("fence %q, %v", f.Version, err)
			}
			if c := w.read(id); len(c.Asks) != test.left {
				t.Errorf("noted %+v", c.Asks)
			}
		})
	}
}

// purges is a store whose purge does what the test says.
type purges struct {
	schedule.Previews
	purge func(part string) (bool, error)
	calls int
}

func (p *purges) Purge(_ context.Context, part string, _ int) (bool, error) {
	p.calls++
	return p.purge(part)
}

// A sweep purges for a bounded time, forgets nothing that is not purged, and
// leaves a preview alone that was asked for meanwhile.
func TestPurgeIsBounded(t *testing.T) {
	for name, test := range map[string]struct {
		purge func(w *world, id string, calls int) (bool, error)
		calls int
		left  int
		fails bool
	}{
		"never done": {func(*world, string, int) (bool, error) { return false, nil }, 50, 1, false},
		"fails":      {func(*world, string, int) (bool, error) { return false, errors.New("down") }, 1, 1, true},
		"another": {func(w *world, id string, calls int) (bool, error) {
			if calls == 2 {
				if _, err := w.Preview(w.t.Context(), id, ""); err != nil {
					w.t.Error(err)
				}
			}
			return false, nil
		}, 2, 2, false},
		"another at the end": {func(w *world, id string, calls int) (bool, error) {
			_, err := w.Preview(w.t.Context(), id, "")
			return true, err
		}, 1, 2, false},
		"done": {func(_ *world, _ string, calls int) (bool, error) { return calls == 3, nil }, 3, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			now := w.clock.Now()
			id := w.add(now.Add(time.Hour), func(c *connection.Connection) { c.Asks = []connection.Ask{preview(now.Add(-25 * time.Hour))} })
			p := &purges{Previews: w.store}
			p.purge = func(part string) (bool, error) {
				if part != id+"~preview" {
					t.Errorf("purges %s", part)
				}
				return test.purge(w, id, p.calls)
			}
			j := w.janitor()
			j.Previews = p
			if err := j.Sweep(t.Context()); (err != nil) != test.fails {
				t.Error(err)
			}
			if c := w.read(id); p.calls != test.calls || len(c.Asks) != test.left {
				t.Errorf("%d purges, want %d; noted %+v", p.calls, test.calls, c.Asks)
			}
		})
	}
}
