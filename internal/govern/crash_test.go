package govern_test

import (
	"fmt"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// everywhere kills a process after every number of writes, once before the
// next one and once before the answer to the last, until one gets through. Of
// each it expects the same end.
func everywhere(t *testing.T, atLeast int, run func(w *world, n int, cut bool) (died bool)) {
	t.Helper()
	w := newWorld(t)
	for _, cut := range []bool{false, true} {
		n := 0
		if cut { // there is an answer only after a write
			n = 1
		}
		for ; ; n++ {
			died := false
			t.Run(fmt.Sprintf("cut %v, after %d writes", cut, n), func(t *testing.T) {
				w.t = t
				died = run(w, n, cut)
			})
			if t.Failed() || n > 40 {
				t.Fatal("no further")
			}
			if !died {
				if n < atLeast {
					t.Errorf("%d writes, of at least %d", n, atLeast)
				}
				break
			}
		}
	}
}

// An offboarding that is killed anywhere is completed by the janitor alone.
func TestOffboardKilled(t *testing.T) {
	everywhere(t, 7, func(w *world, n int, cut bool) bool {
		t := w.t
		id, _ := w.doomed(2)
		was := w.read(id)
		w.open(id, "r-sync")
		w.open(id+"~preview", "r-preview")
		restart := w.dying(n, cut)
		_, err := w.Offboard(t.Context(), id, true, "bob")
		died := restart()
		if died && err == nil {
			t.Error("the process died without an error")
		}
		if w.read(id).Offboarding == nil { // it had not begun: nobody knows of it
			if f := w.fence(id); n > 0 || f.Closed || !f.Open() || w.owner(was.Tenant) != id {
				t.Errorf("fence %+v, owner %s", f, w.owner(was.Tenant))
			}
			return died
		}
		for range 2 {
			w.repair(id)
			if f := w.fence(id); !f.Closed || f.Run.State != job.Stopped {
				t.Errorf("fence %+v", f)
			}
		}
		if w.read(id).Status != connection.Offboarded {
			t.Errorf("status %s", w.read(id).Status)
		}
		w.work()
		w.purged(id, was, nil)
		return died
	})
}

// One that is killed anywhere and asked for again ends like one that was not.
func TestOffboardRepeated(t *testing.T) {
	everywhere(t, 5, func(w *world, n int, cut bool) bool {
		t := w.t
		id := w.add(nil)
		was := w.read(id)
		w.open(id, "r-sync")
		restart := w.dying(n, cut)
		_, _ = w.Offboard(t.Context(), id, false, "bob")
		died := restart()
		w.clock.Advance(time.Second)
		c, err := w.Offboard(t.Context(), id, false, "bob")
		if err != nil {
			t.Fatal(err)
		}
		r, err := w.store.Run(t.Context(), id, "r-sync")
		if c.Status != connection.Offboarded || c.Offboarding.Tenant != was.Tenant || c.Link <= was.Link || c.LastRun != "r-sync" || r.State != job.Stopped || err != nil {
			t.Errorf("ended as %+v, run %+v, %v", c, r, err)
		}
		if f := w.fence(id); !f.Closed || w.owner(was.Tenant) != "" {
			t.Errorf("fence %+v, owner %s", f, w.owner(was.Tenant))
		}
		return died
	})
}

// A transfer that is killed anywhere leaves the tenant to one of both, never
// free, and is completed by the janitor or whoever asks again.
func TestTransferKilled(t *testing.T) {
	everywhere(t, 5, func(w *world, n int, cut bool) bool {
		t := w.t
		from, to := w.add(nil), w.invited("")
		tenant := w.read(from).Tenant
		restart := w.dying(n, cut)
		_, err := w.Transfer(t.Context(), from, to, "anna")
		died := restart()
		if died && err == nil {
			t.Error("the process died without an error")
		}
		if o := w.owner(tenant); o != from && o != to {
			t.Errorf("owner %q", o)
		}
		if w.read(from).Offboarding != nil {
			w.repair(from)
			if w.owner(tenant) != to || w.read(from).Status != connection.Offboarded || !w.fence(from).Closed {
				t.Errorf("owner %s, giver %+v", w.owner(tenant), w.read(from))
			}
			if es := w.entries(to); len(es) != 1 {
				t.Errorf("noted of the receiver %+v", es)
			}
		} else if w.owner(tenant) != from || w.fence(from).Closed || w.read(to).NamedTenant != "" {
			t.Errorf("owner %s before the transfer began, receiver %+v", w.owner(tenant), w.read(to))
		}
		if _, err := w.Transfer(t.Context(), from, to, "anna"); err != nil {
			t.Error(err)
		}
		if w.owner(tenant) != to || w.read(to).NamedTenant != tenant {
			t.Errorf("owner %s, receiver %+v", w.owner(tenant), w.read(to))
		}
		return died
	})
}

// A purge that is killed anywhere, and whose message comes again, ends with
// nothing left.
func TestPurgeKilled(t *testing.T) {
	everywhere(t, 8, func(w *world, n int, cut bool) bool {
		t := w.t
		w.inSlices()
		id, _ := w.doomed(25)
		was := w.read(id)
		if _, err := w.Offboard(t.Context(), id, true, ""); err != nil {
			t.Fatal(err)
		}
		restart, died := w.dying(n, cut), false
		for {
			j, ok := w.next()
			if !ok {
				break
			}
			if err := w.Purge(t.Context(), j); err == nil {
				continue
			} else if fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			died = restart() || died
			if err := w.Purge(t.Context(), j); err != nil { // its lock has run out
				t.Fatal(err)
			}
		}
		died = restart() || died
		w.clock.Advance(time.Minute)
		w.work()
		w.repair(id) // what was not told is told
		w.purged(id, was, nil)
		return died
	})
}
