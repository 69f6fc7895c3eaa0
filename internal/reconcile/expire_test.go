package reconcile_test

import (
	"errors"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/tenant"
)

const kept = 30 * 24 * time.Hour // of the tests' archived people

// Who was archived too long ago goes for good, with all that is stored and told
// of them; who was archived later stays, and who comes back is new.
func TestExpired(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 12)
	w.engine.ArchivedMaxAge = kept
	ms := w.marks(2)
	first, second := ms[0], ms[1]
	w.ok(w.tenant.Remove(first.id))
	w.succeed()
	w.clock.Advance(20 * 24 * time.Hour)
	w.ok(w.tenant.Remove(second.id))
	w.succeed()
	w.asked(job.Preview, "")
	if n := len(w.traces(first)); n < 5 { // else the search finds nothing anyway
		t.Fatalf("before the purge there are %d traces", n)
	}
	w.clock.Advance(10*24*time.Hour + time.Minute)
	if r := w.asked(job.Preview, ""); r.State != job.Succeeded || r.Purged != 0 {
		t.Errorf("a preview: %s, %d purged", r.State, r.Purged)
	}
	stored := w.fence().Stored
	r := w.succeed()
	if f := w.fence(); r.Purged != 1 || f.Stored != stored-1 || f.Erased != 0 {
		t.Fatalf("%d purged, %d stored of %d, %d never to be stored again", r.Purged, f.Stored, stored, f.Erased)
	}
	w.erased(first)
	if _, ok := w.records()[second.id]; !ok {
		t.Error("who was archived later is gone")
	}

	// Most runs need no look, not even where a day has passed.
	w.clock.Advance(25 * time.Hour)
	if r := w.succeed(); r.Phases[len(r.Phases)-1].Name == "expire" || r.Purged != 0 {
		t.Errorf("a run with nobody to purge: %+v", r.Phases)
	}
	w.clock.Advance(19 * 24 * time.Hour)
	if r := w.succeed(); r.Purged != 1 {
		t.Errorf("%d purged, want the second one", r.Purged)
	}
	w.erased(second)
	w.erased(first)

	w.ok(w.tenant.Restore(first.id))
	if r := w.succeed(); r.Created != 1 || r.Reactivated != 0 {
		t.Errorf("who comes back: %+v", r.Counters)
	}
	w.succeed()
	w.settledWhole()
}

// Without a limit nobody is purged, and where nobody is old enough nothing is
// written for it.
func TestNeverExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 12)
	w.succeed()
	w.leaves(2)
	w.succeed()
	w.clock.Advance(5 * 24 * time.Hour)
	without := w.succeed().Transactions
	w.engine.ArchivedMaxAge = 6 * 24 * time.Hour
	if r := w.succeed(); r.Purged != 0 || r.Transactions != without {
		t.Errorf("%d purged in %d transactions, want none in %d", r.Purged, r.Transactions, without)
	}
	w.clock.Advance(2 * 24 * time.Hour)
	w.engine.ArchivedMaxAge = 0
	if r := w.succeed(); r.Purged != 0 {
		t.Errorf("%d purged without a limit", r.Purged)
	}
	w.settled()
}

// A mailbox whose name has passed to somebody else stays.
func TestExpiredNameOfAnother(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 6)
	w.engine.ArchivedMaxAge = kept
	p := w.tenant.People()[2]
	w.succeed()
	id := directory.MailboxID(p.UserPrincipalName)
	before, err := w.store.MailboxRecords(w.ctx, w.conn, []string{id})
	w.ok(err)
	w.ok(w.tenant.Purge(p.ID))
	_, err = w.tenant.Create(tenant.Fields{"userPrincipalName": p.UserPrincipalName, "displayName": "Another"})
	w.ok(err)
	w.succeed()
	w.clock.Advance(kept + time.Hour)
	if r := w.succeed(); r.Purged != 1 {
		t.Fatalf("%d purged", r.Purged)
	}
	after, err := w.store.MailboxRecords(w.ctx, w.conn, []string{id})
	w.ok(err)
	if b, a := before[id], after[id]; b.ID == "" || a.ID == "" || !a.Life.Created.Equal(b.Life.Created) {
		t.Errorf("mailbox before %+v, after %+v", b, a)
	}
	delete(w.ever, p.ID)
	w.sound()
}

// Many are purged in groups, over as many slices as it takes.
func TestManyExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 70)
	w.engine.ArchivedMaxAge = kept
	w.succeed()
	w.leaves(65) // more than go in one transaction
	w.succeed()
	w.clock.Advance(kept + time.Hour)
	w.engine.Budget = -1
	if r := w.succeed(); r.Purged != 65 || r.LastChange-r.FirstChange < 65 {
		t.Errorf("%d purged, %d changes", r.Purged, r.LastChange-r.FirstChange)
	}
	w.settled()
	if n := len(w.records()); n != 5 {
		t.Errorf("%d are stored, want 5", n)
	}
}

// Killed before any of its writes, a purge is the same in the end.
func TestExpireKilled(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 4)
	w.engine.ArchivedMaxAge = time.Hour
	for i, m := range w.marks(14) {
		n := i + 2 // a run that cannot even open is another test's
		w.ok(w.tenant.Remove(m.id))
		w.succeed()
		w.clock.Advance(25 * time.Hour)
		fired := w.killed(n, w.job(job.Schedule, ""))
		w.erased(m)
		if !fired {
			if n < 9 { // the opening, the group, the feed, the rosters, the mailbox, the record, the end, the run's record, the connection
				t.Errorf("a purge of only %d writes", n-1)
			}
			return
		}
	}
	t.Error("a purge has no end")
}

// Who comes back while a purge is cut short goes first, and comes back as new.
func TestBackWhileExpiring(t *testing.T) {
	t.Parallel()
	w := newLine(t).furnished(t, t, 4)
	w.engine.ArchivedMaxAge = time.Hour
	m := w.mark()
	w.ok(w.tenant.Remove(m.id))
	w.succeed()
	w.clock.Advance(25 * time.Hour)
	j := w.job(job.Schedule, "")
	w.cable.cut(func(int64) error {
		if len(w.fence().Expiry.People) > 0 {
			return errors.New("killed")
		}
		return nil
	})
	err := w.engine.Sync(w.ctx, j)
	w.cable.cut(nil)
	if f := w.fence(); err == nil || len(f.Expiry.People) != 1 || !f.Open() {
		t.Fatalf("not cut short: %v, %+v", err, f.Expiry)
	}
	w.pause()
	w.ok(w.engine.Sync(w.ctx, j))
	w.resume()
	w.ok(w.tenant.Restore(m.id))
	if r := w.asked(job.Person, m.id); r.Purged != 1 || r.Created != 1 {
		t.Errorf("by hand: %d purged, %d created: %+v", r.Purged, r.Created, r.Steps)
	}
	w.sound()
	w.choose(func(s *connection.Settings) { *s = everything })
	w.succeed()
	w.settledWhole()
}
