package reconcile_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/tables"
)

// swapped is a store of which something happens to the connection's own index
// just before it is read.
type swapped struct {
	*tables.Store
	once   sync.Once
	before func()
}

func (s *swapped) Index(ctx context.Context, part string, from int64, each func([]directory.Indexed) error) error {
	s.once.Do(s.before)
	return s.Store.Index(ctx, part, from, each)
}

// A preview takes nobody for new because the connection's index went, or was
// made anew, while it was about to read it.
func TestPreviewIndexGoes(t *testing.T) {
	t.Parallel()
	for _, anew := range []bool{false, true} {
		t.Run(fmt.Sprint("made anew ", anew), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 40)
			w.succeed()
			for _, p := range w.tenant.People()[:4] {
				w.ok(w.tenant.Update(p.ID, fields("department", "Moved")))
			}
			w.tenant.Forget()
			s := &swapped{Store: w.store}
			s.before = func() {
				f := w.fence()
				rows, err := w.store.IndexRows(w.ctx, w.conn, f.Seq+1, directory.MaxRows)
				w.ok(err)
				b := directory.Batch{DropSeen: rows}
				if f.Index = (job.Index{}); anew {
					f.Index = job.Index{From: f.Seq + 1, Rows: 1}
					for _, r := range w.records() {
						key, _ := directory.Key(r.ID)
						b.Index = append(b.Index, directory.Indexed{Key: key, Mark: directory.MarkOf(&r)})
					}
				}
				_, err = w.store.Commit(w.ctx, w.conn, f, b)
				w.ok(err)
			}
			w.engine.Store = s
			if r := w.asked(job.Preview, ""); r.Created != 0 || r.Updated != 4 || r.Archived != 0 {
				t.Errorf("preview %+v", r.Counters)
			}
			if r := w.succeed(); r.Created != 0 || r.Updated != 4 {
				t.Errorf("run %+v", r.Counters)
			}
			w.settled()
		})
	}
}

// The last word on a person counts in a full enumeration, however often they
// come: on one page, or on two with a commit between.
func TestIndexLastWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 150)
	w.succeed()
	ps := w.tenant.People()
	for _, p := range ps[20:140] { // more than one transaction
		w.ok(w.tenant.Update(p.ID, fields("department", "Moved")))
	}
	w.ok(w.tenant.Update(ps[145].ID, fields("department", "Moved")))
	w.tenant.Forget()
	old := func(v any) any {
		was := maps.Clone(v.(map[string]any))
		was["displayName"] = "Old"
		return was
	}
	var items []any
	first := true
	w.engine = w.newEngine(t, edits{wires.Transport, "/users/delta", func(m map[string]any) {
		page := m["value"].([]any)
		items = append(items, page...)
		if first {
			first = false
			// unchanged, then changed and back; changed, then unchanged; changed,
			// and unchanged on a later page
			page = append([]any{old(page[1]), old(page[2])}, page...)
			page = append(page, old(page[2]), page[2])
			page[4] = old(page[4])
		}
		if m["@odata.deltaLink"] != nil {
			page = append(page, items...)
		}
		m["value"] = page
	}})
	r := w.succeed()
	if !r.Full || r.Created+r.Archived != 0 {
		t.Errorf("run %+v", r.Counters)
	}
	w.settled()
}

// Whoever is archived, kept or waits to be removed is looked at, even if a full
// enumeration tells of them just what is stored.
func TestIndexLooksAtThoseWhoLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40)
	w.engine.Guard = connection.Guard{MaxCount: 2}
	w.succeed()
	ps := w.tenant.People()
	for _, p := range ps[:2] {
		w.ok(w.tenant.Remove(p.ID))
	}
	if r := w.succeed(); r.Archived != 2 {
		t.Fatalf("%d archived", r.Archived)
	}
	leave := func(ps []tenant.Person) string {
		for _, p := range ps {
			w.ok(w.tenant.Remove(p.ID))
		}
		r := w.run()
		if r.State != job.Held || r.Plan.Count != len(ps) {
			t.Fatalf("no plan: %s %+v", r.State, r.Plan)
		}
		return r.Plan.Hash
	}
	if r := w.decision(job.Reject, leave(ps[10:14])); r.State != job.Succeeded { // kept
		t.Fatalf("decision: %s %s", r.State, r.Error)
	}
	leave(ps[20:25]) // held
	for _, p := range w.tenant.Deleted() {
		w.ok(w.tenant.Restore(p.ID))
	}
	w.tenant.Forget()
	r := w.succeed()
	if !r.Full || r.Reactivated != 2 || r.Archived != 0 {
		t.Errorf("run %+v", r.Counters)
	}
	for id, r := range w.records() {
		if !r.Active() || r.Kept || r.Held || r.Pending != "" {
			t.Errorf("%s: %+v", id, r.Life)
		}
	}
	w.settled()
}

// A build that knows no index writes people without it, and takes it out of the
// fence: the next full enumeration believes none of its rows.
func TestIndexAfterOlderBuild(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40)
	w.succeed()
	f := w.fence()
	rows, err := w.store.IndexRows(w.ctx, w.conn, f.Seq+1, 100)
	w.ok(err)
	f.Index = job.Index{}
	_, err = w.store.Commit(w.ctx, w.conn, f, directory.Batch{})
	w.ok(err)
	ps := w.tenant.People()
	for _, p := range ps[:8] {
		w.ok(w.tenant.Update(p.ID, fields("department", "Moved")))
	}
	w.ok(w.tenant.Remove(ps[9].ID))
	w.succeed()
	for i, p := range ps[:8] { // as the rows of the index have them
		w.ok(w.tenant.Update(p.ID, fields("department", ps[i].Department)))
	}
	w.ok(w.tenant.Restore(ps[9].ID))
	w.tenant.Forget()
	r := w.succeed()
	if !r.Full || r.Updated != 8 || r.Reactivated != 1 || len(rows) == 0 {
		t.Errorf("run %+v, rows of the index before: %v", r.Counters, rows)
	}
	w.settled()
}
