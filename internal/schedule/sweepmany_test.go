package schedule_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/internal/connection"
)

// limited is one sweep, of a process of its own, with so much time; it returns
// how many repairs it has begun.
func (f *fleet) limited(t *testing.T, limit time.Duration) (begun int, log string, err error) {
	t.Helper()
	f.restart()
	var out bytes.Buffer
	j := f.janitor()
	j.Log = slog.New(slog.NewTextHandler(&out, nil))
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err = j.Sweep(ctx)
	if ctx.Err() != nil && f.hanging == 0 {
		t.Errorf("a sweep of %s was cut off", limit)
	}
	return len(f.visited), out.String(), err
}

// A sweep passes by all, so many at a time, if it has the time.
func TestSweepOfMany(t *testing.T) { synctest.Test(t, sweepOfMany) }

func sweepOfMany(t *testing.T) {
	f := newFleet(many)
	f.place = f.ids[many/3]
	begin := time.Now()
	begun, log, err := f.limited(t, 5*time.Minute)
	// 10,000 calls of 5 ms, 16 at a time, and 41 pages and 30 places.
	if took := time.Since(begin); begun != many || f.most != 16 || took > 5*time.Second || err != nil ||
		strings.Count(log, "\n") != 1 || !strings.Contains(log, fmt.Sprintf(`level=INFO msg="sweep ended" objects=%d took=`, many)) {
		t.Errorf("%d begun, %d at a time, in %s: %v\n%s", begun, f.most, took, err, log)
	}
	for id, n := range f.visited {
		if n != 1 {
			t.Errorf("%s: visited %d times", id, n)
		}
	}
}

// However many there are, however little time a sweep has, and whoever fails or
// hangs: each is visited within as many sweeps as the slowest of these would
// need. No process knows of another.
func TestSweepsReachEverybody(t *testing.T) { synctest.Test(t, sweepsReachEverybody) }

func sweepsReachEverybody(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	broken := errors.New("broken")
	for round := range 16 {
		f := newFleet(1 + random.IntN(2_000))
		n := len(f.ids)
		for range random.IntN(1+n/20) * (round % 2) {
			f.trouble[f.ids[random.IntN(n)]] = func() error { return broken }
		}
		f.hanging = random.IntN(3) * (round % 2)
		for range f.hanging {
			f.trouble[f.ids[random.IntN(n)]] = func() error { return nil }
		}
		f.place = []string{"", f.ids[random.IntN(n)], "zz"}[round%3]
		slowest, sweeps, seen := n, 0, map[string]bool{}
		for ; sweeps*slowest < n; sweeps++ {
			begun, log, err := f.limited(t, time.Duration(100+random.IntN(1_000))*time.Millisecond)
			if begun == 0 {
				t.Fatal("a sweep did nothing")
			}
			if late := begun < n; late && (err == nil || !strings.Contains(log, fmt.Sprintf("objects=%d of=%d after=%s", begun, n, f.place))) {
				t.Errorf("%d of %d: %v\n%s", begun, n, err, log)
			}
			slowest = min(slowest, begun)
			for id := range f.visited {
				seen[id] = true
			}
		}
		if len(seen) != n {
			t.Errorf("round %d: %d of %d visited in %d sweeps of %d and more", round, len(seen), n, sweeps, slowest)
		}
	}
}

// One whose repair kills the process, every time, keeps the others waiting for
// some sweeps, not for good.
func TestSweepsPassAKiller(t *testing.T) { synctest.Test(t, sweepsPassAKiller) }

func sweepsPassAKiller(t *testing.T) {
	f := newFleet(3_000)
	f.trouble[f.ids[1_900]] = func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.dead = true
		return errKilled
	}
	seen := map[string]bool{}
	for range 14 { // the distance to it is halved by each
		f.restart()
		if err := f.janitor().Sweep(t.Context()); !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		for id := range f.visited {
			seen[id] = true
		}
	}
	if len(seen) != len(f.ids) {
		t.Errorf("%d of %d visited", len(seen), len(f.ids))
	}
}

// A wave of all connections is judged within one sweep.
func TestWaveOfMany(t *testing.T) { synctest.Test(t, waveOfMany) }

func waveOfMany(t *testing.T) {
	f := newFleet(many)
	for _, id := range f.ids {
		c := f.rows[id]
		c.Health.Suspicion = &connection.Suspicion{First: time.Now(), Last: time.Now()}
		f.rows[id] = c
	}
	begin := time.Now()
	if begun, log, err := f.limited(t, 5*time.Minute); err != nil || begun != many || f.most != 16 || time.Since(begin) > 10*time.Second {
		t.Errorf("%d repaired, %d at a time, after %s: %v\n%.300s", begun, f.most, time.Since(begin), err, log)
	}
	for _, id := range f.ids {
		if h := f.rows[id].Health; h.Suspicion != nil || h.Acquitted.IsZero() {
			t.Fatalf("%s: %+v", id, h)
		}
	}
}

// A place that cannot be read or stored is told of, and nobody is left out.
func TestNoPlace(t *testing.T) { synctest.Test(t, noPlace) }

// placeless fails at one of the two.
type placeless struct {
	*fleet
	get, put error
}

func (p placeless) Place(context.Context) (string, error)  { return "", p.get }
func (p placeless) PutPlace(context.Context, string) error { return p.put }

func noPlace(t *testing.T) {
	broken := errors.New("broken")
	for _, p := range []placeless{{get: broken}, {put: broken}} {
		f := newFleet(30)
		j := f.janitor()
		p.fleet = f
		j.Places = p
		if err := j.Sweep(t.Context()); !errors.Is(err, broken) || len(f.visited) != 30 {
			t.Errorf("%d visited: %v", len(f.visited), err)
		}
	}
	for n, want := range map[int]bool{16: false, 17: true} { // so many are begun at once
		f := newFleet(n)
		if err := f.janitor().Sweep(t.Context()); err != nil || (f.place != "") != want {
			t.Errorf("%d connections: the place is %q: %v", n, f.place, err)
		}
	}
}

// claims is forgotten ones on two pages, of which the second may be unreadable.
type claims struct {
	*fleet
	release, list error // what befalls one release, and the second page
	released      int
}

func (c *claims) Claims(_ context.Context, after string, limit int) (cs []connection.Claim, next string, err error) {
	if after != "" {
		return nil, "", c.list
	}
	for i := range limit {
		cs = append(cs, connection.Claim{Tenant: fmt.Sprint(i), Connection: "nobody"})
	}
	return cs, cs[limit-1].Tenant, nil
}

func (c *claims) Release(ctx context.Context, old connection.Claim) error {
	if old.Tenant == "7" && c.release != nil {
		return c.release
	}
	return c.call(ctx, old.Connection, true, func() { c.released++ })
}

// A forgotten claim that cannot be released keeps no other from it.
func TestClaimsOfMany(t *testing.T) { synctest.Test(t, claimsOfMany) }

func claimsOfMany(t *testing.T) {
	one, two := errors.New("one"), errors.New("two")
	for _, test := range []struct {
		release, list, want error
		released            int
	}{{nil, nil, nil, 500}, {one, nil, one, 499}, {nil, two, two, 500}, {one, two, one, 499}} {
		c := &claims{fleet: newFleet(1), release: test.release, list: test.list}
		j := c.janitor()
		j.Store = c
		if err := j.Sweep(t.Context()); !errors.Is(err, test.want) || c.released != test.released || c.most != 16 {
			t.Errorf("%d released, %d at a time: %v", c.released, c.most, err)
		}
	}
}

// What is judged of all is judged of a whole count only: where a page of
// connections cannot be read, no claim is released and nobody is repaired.
func TestPartialCountJudgesNobody(t *testing.T) { synctest.Test(t, partialCountJudgesNobody) }

// halved cannot read beyond the first page, and is asked to release nothing.
type halved struct {
	*fleet
	t *testing.T
}

func (h halved) Connections(ctx context.Context, after string, limit int) ([]connection.Connection, string, error) {
	if after != "" {
		return nil, "", errKilled
	}
	return h.fleet.Connections(ctx, after, limit)
}

func (h halved) Claims(context.Context, string, int) ([]connection.Claim, string, error) {
	return []connection.Claim{{Tenant: "t", Connection: h.ids[len(h.ids)-1]}}, "", nil
}

func (h halved) Release(context.Context, connection.Claim) error {
	h.t.Error("a claim was released")
	return nil
}

func partialCountJudgesNobody(t *testing.T) {
	f := newFleet(600)
	j := f.janitor()
	j.Store = halved{f, t}
	if err := j.Sweep(t.Context()); !errors.Is(err, errKilled) || len(f.visited) > 0 {
		t.Errorf("%d visited: %v", len(f.visited), err)
	}
}
