package reconcile_test

import (
	"encoding/json"
	"reflect"

	"rollcall/internal/directory"
	"rollcall/internal/sandbox"
)

// stored is everybody stored, as the product sees them.
func (w *world) stored() map[string]sandbox.Person {
	w.Helper()
	out := make(map[string]sandbox.Person)
	for after := ""; ; {
		ps, next, err := w.store.People(w.ctx, w.conn, after, 1000)
		w.ok(err)
		for _, r := range ps {
			p := sandbox.Person{Properties: properties(r.Person), Active: r.Active(), Change: r.Changed}
			if r.Pending != "" {
				w.Errorf("%s: a removal is still pending: %s", r.ID, r.Pending)
			}
			out[r.ID] = p
		}
		if after = next; after == "" {
			return out
		}
	}
}

// properties is a person as JSON, without the ID.
func properties(p directory.Person) map[string]any {
	b, _ := json.Marshal(p) // strings, lists and booleans: cannot fail
	m := make(map[string]any)
	_ = json.Unmarshal(b, &m)
	delete(m, "id")
	return m
}

// feed is all changes, read in small pieces.
func (w *world) feed() (cs []sandbox.Change) {
	w.Helper()
	for after := int64(0); ; {
		page, err := w.store.Changes(w.ctx, w.conn, after, 300)
		w.ok(err)
		if len(page) == 0 {
			return cs
		}
		b, err := json.Marshal(page)
		w.ok(err)
		var piece []sandbox.Change
		w.ok(json.Unmarshal(b, &piece))
		cs = append(cs, piece...)
		after = page[len(page)-1].Number
	}
}

// sound checks what must hold of the stored state at any time between runs:
// the feed, the counters, and that nobody was deleted.
func (w *world) sound() map[string]sandbox.Person {
	w.Helper()
	stored := w.stored()
	active := 0
	for id, p := range stored {
		w.ever[id] = true
		if p.Active {
			active++
		}
	}
	for id := range w.ever {
		if _, ok := stored[id]; !ok {
			w.Errorf("%s was stored once and is gone", id)
		}
	}
	feed := w.feed()
	state, err := sandbox.ReplayAll(feed)
	w.ok(err)
	if !reflect.DeepEqual(state.People, stored) {
		w.Errorf("the feed replays to another state than is stored")
	}
	w.soundWhole(state, stored)
	w.soundIndex()
	pending, err := w.store.Listed(w.ctx, w.conn, directory.PendingPeople, "", 1000)
	w.ok(err)
	held, err := w.store.Listed(w.ctx, w.conn, directory.HeldPeople, "", 1000)
	w.ok(err)
	f := w.fence()
	if f.Pending != len(pending) || f.Held != len(held) {
		w.Errorf("fence counts %d pending, %d held; there are %d, %d", f.Pending, f.Held, len(pending), len(held))
	}
	if f.Stored != len(stored) || f.Active != active || f.LastChange != int64(len(feed)) {
		w.Errorf("fence counts %d stored, %d active, %d changes; there are %d, %d, %d", f.Stored, f.Active, f.LastChange, len(stored), active, len(feed))
	}
	return stored
}

// settled checks that the stored state is what Microsoft holds, and that
// nothing is left over.
func (w *world) settled() {
	w.Helper()
	stored := w.sound()
	if err := sandbox.Compare(stored, w.truth()); err != nil {
		w.Errorf("%v", err)
	}
	if f := w.fence(); f.Open() || f.Pending != 0 || f.Held != 0 || f.Plan != nil || f.People.Enum != "" || f.People.Next != "" || f.People.Delta == "" {
		w.Errorf("fence after the last run: %+v", f)
	}
	pending, err := w.store.Listed(w.ctx, w.conn, directory.PendingPeople, "", 10)
	w.ok(err)
	seen, err := w.store.SeenRows(w.ctx, w.conn, 10)
	w.ok(err)
	if len(pending) != 0 || len(seen) != 0 {
		w.Errorf("left over: pending %v, seen %v", pending, seen)
	}
}

// active is how many people are stored and not archived.
func (w *world) active() (n int) {
	w.Helper()
	for _, p := range w.stored() {
		if p.Active {
			n++
		}
	}
	return n
}
