package reconcile_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// toldOf is what a reader of the feed knows of one kind, such as license: the
// properties of all that are active, by ID.
func (w *world) toldOf(kind string) map[string]map[string]any {
	w.Helper()
	all, active := map[string]map[string]any{}, map[string]map[string]any{}
	for after := int64(0); ; {
		page, err := w.store.Changes(w.ctx, w.conn, after, 1000)
		w.ok(err)
		if len(page) == 0 {
			return active
		}
		for _, c := range page {
			after = c.Number
			of, what, _ := strings.Cut(string(c.Type), ".")
			if of != kind {
				continue
			}
			if _, known := all[c.ID]; known == (what == "created") || (active[c.ID] != nil) == (what == "reactivated" || what == "created") {
				w.Errorf("change %d: %s of %s, which was known: %v, active: %v", c.Number, c.Type, c.ID, known, active[c.ID] != nil)
			}
			if all[c.ID] == nil {
				all[c.ID] = map[string]any{}
			}
			for name, raw := range c.Set.All() {
				var v any
				w.ok(json.Unmarshal(raw, &v))
				if all[c.ID][name] = v; v == nil {
					delete(all[c.ID], name)
				}
			}
			if active[c.ID] = all[c.ID]; what == "archived" {
				delete(active, c.ID)
			}
		}
	}
}

// dated checks that every record of a kind says when it was first told of, and
// in which change last.
func (w *world) dated(kind string, lives map[string]directory.Life) {
	w.Helper()
	changes, err := w.store.Changes(w.ctx, w.conn, 0, 1_000_000)
	w.ok(err)
	created, changed := map[string]time.Time{}, map[string]int64{}
	for _, c := range changes {
		if strings.HasPrefix(string(c.Type), kind+".") {
			if changed[c.ID] = c.Number; created[c.ID].IsZero() {
				created[c.ID] = c.At
			}
		}
	}
	for id, l := range lives {
		if !l.Created.Equal(created[id]) || l.Changed != changed[id] {
			w.Errorf("%s %s: created %s, changed by %d; in the feed %s and %d", kind, id, l.Created, l.Changed, created[id], changed[id])
		}
	}
}

// shown is a record as its reader sees it.
func (w *world) shown(v any) map[string]any {
	w.Helper()
	b, err := json.Marshal(v)
	w.ok(err)
	m := map[string]any{}
	w.ok(json.Unmarshal(b, &m))
	delete(m, "id")
	return m
}

// licensed checks that the stored licenses are the tenant's, as is the feed,
// and returns the archived ones.
func (w *world) licensed() (archived []string) {
	w.Helper()
	stored, err := w.store.Licenses(w.ctx, w.conn)
	w.ok(err)
	active, shown := map[string]directory.License{}, map[string]map[string]any{}
	lives := map[string]directory.Life{}
	for _, l := range stored {
		if lives[l.ID] = l.Life; !l.Active() {
			archived = append(archived, l.ID)
			continue
		}
		active[l.ID], shown[l.ID] = l.License, w.shown(l.License)
	}
	want := map[string]directory.License{}
	for _, s := range w.tenant.SKUs() {
		want[s.ID] = directory.License{ID: s.ID, PartNumber: s.PartNumber, Status: s.CapabilityStatus, Total: s.Enabled + s.Warning, Consumed: *s.Consumed}
	}
	if !reflect.DeepEqual(active, want) {
		w.Errorf("licenses %+v, want %+v", active, want)
	}
	w.dated("license", lives)
	if told := w.toldOf("license"); !reflect.DeepEqual(told, shown) {
		w.Errorf("the feed tells %v, stored are %v", told, shown)
	}
	return archived
}

func sku(n, enabled int) tenant.SKU {
	return tenant.SKU{ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", n), PartNumber: fmt.Sprint("PART_", n), Enabled: enabled, Consumed: new(int)}
}

// skipped is what the run left out of a category.
func skipped(r job.Run, what string) (s job.Skipped) {
	for _, s := range r.Skipped {
		if s.What == what {
			return s
		}
	}
	return s
}

func TestLicenses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 25)
	if r := w.succeed(); r.Licenses.Created != len(w.tenant.SKUs()) || r.Licenses.Created == 0 {
		t.Errorf("counted %+v", r.Licenses)
	}
	w.licensed()
	if r := w.succeed(); r.Licenses != (job.KindCounters{}) {
		t.Errorf("nothing has changed, counted %+v", r.Licenses)
	}
	for _, c := range []struct {
		name     string
		skus     []tenant.SKU
		want     job.KindCounters
		archived int
	}{
		{"three others", []tenant.SKU{sku(1, 5), sku(2, 5), sku(3, 0)}, job.KindCounters{Created: 3, Archived: len(w.tenant.SKUs())}, len(w.tenant.SKUs())},
		{"one more unit, one gone", []tenant.SKU{sku(3, 0), sku(2, 6)}, job.KindCounters{Updated: 1, Archived: 1}, len(w.tenant.SKUs()) + 1},
		{"the one back", []tenant.SKU{sku(3, 0), sku(1, 5), sku(2, 6)}, job.KindCounters{Reactivated: 1}, len(w.tenant.SKUs())},
	} {
		w.ok(w.tenant.SetSKUs(c.skus))
		if r := w.succeed(); r.Licenses != c.want {
			t.Errorf("%s: counted %+v, want %+v", c.name, r.Licenses, c.want)
		}
		if archived := w.licensed(); len(archived) != c.archived {
			t.Errorf("%s: %d archived, want %d", c.name, len(archived), c.archived)
		}
	}
	w.settled()
}

// More licenses than one transaction takes, and a worker that dies at any write.
func TestManyLicensesKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	for n := 1; ; n++ {
		var skus []tenant.SKU
		for i := range directory.MaxRows + 9 {
			skus = append(skus, sku(i+n, i)) // one more, one less, all others changed
		}
		w.ok(w.tenant.SetSKUs(skus))
		fired := w.killed(n, w.job(job.Schedule, ""))
		w.licensed()
		if !fired {
			if n < 4 {
				t.Errorf("only %d writes", n-1)
			}
			return
		}
	}
}

// What Microsoft does not list, or not show, is not gone.
func TestNoLicenses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5)
	w.succeed()
	skus := w.tenant.SKUs()
	w.ok(w.tenant.SetSKUs(nil))
	r := w.succeed()
	if s := skipped(r, "licenses"); s.Code != "empty_answer" || s.Message == "" || s.Remedy == "" || r.Licenses != (job.KindCounters{}) {
		t.Errorf("skipped %+v, counted %+v", s, r.Licenses)
	}
	w.ok(w.tenant.SetSKUs(skus))
	if r := w.succeed(); len(r.Skipped) != 0 || len(w.licensed()) != 0 {
		t.Errorf("skipped %+v, archived %v", r.Skipped, w.licensed())
	}
	fired := wires.Fault(t, w.tenant, fault.Fault{Kind: fault.Forbidden, Path: fault.SubscribedSKUs, Count: 2})
	r = w.succeed()
	fired()
	if s := skipped(r, "licenses"); s.Code == "" || s.Remedy == "" || len(w.licensed()) != 0 {
		t.Errorf("without permission: skipped %+v", r.Skipped)
	}
	w.settled()
}
