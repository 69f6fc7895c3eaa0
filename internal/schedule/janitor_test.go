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
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/wiretest"
	"rollcall/internal/schedule"
)

// repairs notes whom it was given, and fails for some.
type repairs struct {
	mu     sync.Mutex
	seen   map[string]int
	broken map[string]bool
}

func (r *repairs) Repair(_ context.Context, c connection.Connection, _ time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen[c.ID]++
	if r.broken[c.ID] {
		return errors.New("broken")
	}
	return nil
}

func (w *world) janitor(rs ...schedule.Repairer) *schedule.Janitor {
	return &schedule.Janitor{
		Store: w.store, Previews: w.store, Places: w.store, Waves: w.store, Audit: w.store, Repairers: rs,
		Now: w.clock.Now, Log: wiretest.Silent(), Retention: 30 * 24 * time.Hour,
	}
}

func (w *world) owner(tenant string) string {
	w.t.Helper()
	id, err := w.store.Owner(w.t.Context(), tenant)
	if err != nil && !fault.Is(err, fault.NotFound) {
		w.t.Fatal(err)
	}
	return id
}

// The janitor tells the age of each live connection's last success, and warns
// of those that are late, but for whoever has withdrawn the app.
func TestLate(t *testing.T) {
	w := newWorld(t)
	now := w.clock.Now()
	with := func(s connection.Status, ago time.Duration) string {
		return w.add(now.AddDate(90, 0, 0), func(c *connection.Connection) {
			c.Status, c.LastSuccess, c.Interval = s, now.Add(-ago), 12*time.Hour
		})
	}
	fresh, late, failed := with(connection.OK, 23*time.Hour), with(connection.Held, 25*time.Hour), with(connection.Failed, 49*time.Hour)
	gone, paused := with(connection.Disconnected, 100*time.Hour), with(connection.Paused, 100*time.Hour)
	var log bytes.Buffer
	j := w.janitor()
	ages := map[string]time.Duration{}
	j.Log = slog.New(slog.NewJSONHandler(&log, nil))
	j.Aged = func(_ context.Context, id string, age time.Duration) { ages[id] = age }
	if err := j.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]struct {
		age  time.Duration
		told string
	}{
		fresh: {23 * time.Hour, ""}, late: {25 * time.Hour, `"status":"held","hours":25`}, failed: {49 * time.Hour, `"status":"failed","hours":49`},
		gone: {100 * time.Hour, ""}, paused: {0, ""},
	} {
		line := `"msg":"tenant not synced for twice its interval","connection":"` + id + `",` + want.told
		if got := strings.Contains(log.String(), line); got != (want.told != "") || ages[id] != want.age {
			t.Errorf("%s: told %v, age %s, want %q and %s", id, got, ages[id], want.told, want.age)
		}
	}
}

// Only claims of connections that never came to use them are given up, and
// not before a consent has had its time. Claims carry the real time.
func TestStaleClaims(t *testing.T) {
	w := newWorld(t)
	w.clock = wiretest.NewClock(time.Now())
	with := func(s connection.Status, tenant string, due time.Time) string {
		return w.add(due, func(c *connection.Connection) { c.Status, c.Tenant = s, tenant })
	}
	later := w.clock.Now().AddDate(90, 0, 0)
	prefix := connection.NewID()
	tenantOf := func(n int) string { return fmt.Sprintf("%s-%d", prefix, n) }
	owners := []string{
		with(connection.OK, tenantOf(0), later),
		with(connection.Failed, tenantOf(1), later),
		with(connection.Consenting, tenantOf(2), time.Time{}),
		with(connection.Connected, tenantOf(3), later),
		with(connection.Paused, tenantOf(4), later),
		with(connection.Disconnected, tenantOf(5), later),
		with(connection.Invited, "", time.Time{}),
		with(connection.OK, tenantOf(0), later), // connected another tenant after all
		with(connection.Failed, tenantOf(8), time.Time{}),
		with(connection.Offboarded, tenantOf(9), later),
		connection.NewID(), // whose connection is gone
	}
	for i, id := range owners {
		if err := w.store.Claim(t.Context(), tenantOf(i), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		after time.Duration
		kept  int
	}{{time.Hour, 11}, {2*time.Hour - time.Second, 11}, {2*time.Hour + time.Minute, 6}, {48 * time.Hour, 6}} {
		w.clock.Until(time.Now().Add(c.after))
		j := w.janitor()
		j.Now = func() time.Time { return time.Now().Add(c.after) }
		if err := j.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
		for i, id := range owners {
			want := id
			if i >= c.kept {
				want = ""
			}
			if got := w.owner(tenantOf(i)); got != want {
				t.Errorf("after %s: tenant %d is owned by %q, want %q", c.after, i, got, want)
			}
		}
	}
}

// A connection that cannot be read keeps its tenant: the list of connections
// leaves it out, and absence from it proves nothing. It is told, and keeps
// nobody else from theirs.
func TestUnreadableKeepsItsClaim(t *testing.T) {
	w := newWorld(t)
	table := wires.Tables.Client().NewClient("connections")
	prefix := connection.NewID()
	var ids []string
	for i, row := range []string{
		`"V":1,"D0@odata.type":"Edm.Binary","D0":"eyJJRCI6N30="`, // {"ID":7}
		`"V":9,"D0@odata.type":"Edm.Binary","D0":"e30="`,         // {}, of a newer version
		"", // one that was never connected
	} {
		id := w.add(time.Time{}, func(c *connection.Connection) {
			if row == "" {
				c.Status, c.Tenant = connection.Invited, ""
			}
		})
		ids = append(ids, id)
		if err := w.store.Claim(t.Context(), fmt.Sprint(prefix, i), id); err != nil {
			t.Fatal(err)
		}
		if row == "" {
			continue
		}
		if _, err := table.UpdateEntity(t.Context(), fmt.Appendf(nil, `{"PartitionKey":"connection","RowKey":%q,%s}`, id, row), nil); err != nil {
			t.Fatal(err)
		}
	}
	j := w.janitor()
	j.Now = func() time.Time { return time.Now().Add(3 * time.Hour) } // claims carry the real time
	if err := j.Sweep(t.Context()); err == nil {
		t.Error("nobody was told")
	}
	for i, want := range []string{ids[0], ids[1], ""} {
		if got := w.owner(fmt.Sprint(prefix, i)); got != want {
			t.Errorf("tenant %d is owned by %q, want %q", i, got, want)
		}
	}
}

// frozen never ends a repair before the sweep's time is up.
type frozen struct{ end context.CancelFunc }

func (f frozen) Repair(ctx context.Context, _ connection.Connection, _ time.Time) error {
	f.end()
	<-ctx.Done()
	return ctx.Err()
}

// However long it takes to go through the connections, what is for all of them
// is done.
func TestRepairsDoNotStarveTheRest(t *testing.T) {
	w := newWorld(t)
	j, _ := w.judging()
	id := w.verified(1)[0]
	w.see(id)
	w.clock.Advance(4 * time.Hour)
	w.see(id)
	expired, tenant, e := connection.NewID(), connection.NewID(), &expiring{}
	for _, err := range []error{
		w.store.PutNonce(t.Context(), expired, []byte(`1`), w.clock.Now().Add(-time.Second)), w.store.Claim(t.Context(), tenant, connection.NewID()),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	j.Repairers, j.Credentials = []schedule.Repairer{frozen{cancel}}, e
	if err := j.Sweep(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the sweep: %v", err)
	}
	if s := w.read(id).Status; s != connection.Disconnected {
		t.Errorf("a confirmed suspicion: %s", s)
	}
	if owner := w.owner(tenant); owner != "" {
		t.Errorf("a forgotten claim: %s", owner)
	}
	if _, err := w.store.TakeNonce(t.Context(), expired, w.clock.Now().Add(-time.Hour)); !fault.Is(err, fault.NotFound) {
		t.Errorf("an expired value: %v", err)
	}
	if e.asked != 1 {
		t.Errorf("credentials were looked at %d times", e.asked)
	}
}

// Values that were never taken go when they have expired, and changes when
// nobody may ask for them any more.
func TestSweeps(t *testing.T) {
	w := newWorld(t)
	now := w.clock.Now()
	old, young := connection.NewID(), connection.NewID()
	for key, expires := range map[string]time.Time{old: now.Add(-time.Second), young: now.Add(time.Hour)} {
		if err := w.store.PutNonce(t.Context(), key, []byte(`"x"`), expires); err != nil {
			t.Fatal(err)
		}
	}
	feed := func(id string, through int64) int {
		f := job.Fence{Positions: job.Fold{Through: through}}
		for i, age := range []int{45, 31, 29, 1} {
			var err error
			f.LastChange++
			f, err = w.store.Commit(t.Context(), id, f, directory.Batch{Changes: []directory.Change{{
				Number: int64(i + 1), Type: directory.Updated, ID: "x", At: now.AddDate(0, 0, -age),
			}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		return len(w.changes(id))
	}
	live, idle := w.add(now.Add(time.Hour), nil), w.add(time.Time{}, func(c *connection.Connection) { c.Status = connection.Invited })
	behind := w.add(now.Add(time.Hour), nil) // of whose changes only the first is counted in its positions
	if feed(live, 4) != 4 || feed(idle, 4) != 4 || feed(behind, 1) != 4 {
		t.Fatal("the feeds are not there")
	}
	forever := w.janitor()
	forever.Retention = 0
	if err := forever.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if n := len(w.changes(live)); n != 4 {
		t.Errorf("%d changes left of a feed that is kept forever", n)
	}
	if err := w.janitor().Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if cs := w.changes(live); len(cs) != 2 || cs[0].Number != 3 {
		t.Errorf("changes left: %+v", cs)
	}
	if cs := w.changes(behind); len(cs) != 3 || cs[0].Number != 2 {
		t.Errorf("changes left while they are still counted: %+v", cs)
	}
	// An unexpired value is there, an expired one is gone from the table too.
	past := now.Add(-time.Hour)
	if _, err := w.store.TakeNonce(t.Context(), old, past); !fault.Is(err, fault.NotFound) {
		t.Errorf("expired value: %v", err)
	}
	if _, err := w.store.TakeNonce(t.Context(), young, past); err != nil {
		t.Errorf("value still good: %v", err)
	}
}

func (w *world) changes(id string) []directory.Change {
	w.t.Helper()
	cs, err := w.store.Changes(w.t.Context(), id, 0, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	return cs
}

// One connection that cannot be repaired keeps nobody from it, and is told.
func TestOneBrokenConnection(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		w.add(w.clock.Now().Add(time.Hour), nil)
	}
	lost := w.made[4]
	w.bus.FailSends(wiretest.Queue, 1, "amqp:not-allowed")
	run, err := w.Manual(t.Context(), lost, "")
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	r := &repairs{seen: map[string]int{}, broken: map[string]bool{w.made[0]: true, w.made[3]: true}}
	if err := w.janitor(r, w.Scheduler).Sweep(t.Context()); err == nil {
		t.Error("nobody was told")
	}
	for _, id := range w.made {
		if r.seen[id] != 1 {
			t.Errorf("a connection was seen %d times", r.seen[id])
		}
	}
	if m := w.one(lost); m.Run != run {
		t.Errorf("run %s, want %s", m.Run, run)
	}
}
