package proof

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/job"
	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/tablestore"
)

type moment int

const (
	never  moment = iota
	before        // the write takes effect
	after         // it took effect, and before the handler is told
)

func (m moment) String() string { return [...]string{"never", "before", "after"}[m] }

// write is one write to the tables.
type write struct {
	stage string
	n     int // from 1, of the stage
	// phase is what the run was at, or the table that holds no directory; nth
	// counts from 1 within both stage and phase.
	phase string
	nth   int
}

// crashed is a sandbox whose handler can be killed at any write.
type crashed struct {
	*sandbox.Sandbox
	day atomic.Int64 // days by which everybody but the handler is ahead

	mu     sync.Mutex
	at     func(write) moment
	stage  string
	conn   string
	count  map[string]int
	writes []write
	killed map[string]map[moment]int // by phase
	kills  int
}

// arm begins to count writes, and says which of them meet a kill.
func (c *crashed) arm(at func(write) moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.writes, c.kills = at, nil, 0
	if c.killed == nil {
		c.killed = map[string]map[moment]int{}
	}
}

// enter begins a stage of a connection: from now on writes are met.
func (c *crashed) enter(stage, conn string) {
	c.mu.Lock()
	c.stage, c.conn, c.count = stage, conn, map[string]int{}
	c.mu.Unlock()
	var now write // writes are taken one by one while there is a hook
	c.Tables.BeforeWrite(func(_ int64, table string) error {
		if now = c.next(table); c.kill(now, before) {
			return fmt.Errorf("killed")
		}
		return nil
	})
	c.Tables.OnWrite(func(int64, string) tablestore.Verdict {
		if c.kill(now, after) {
			return tablestore.Cut
		}
		return tablestore.Pass
	})
}

func (c *crashed) calm() {
	c.Tables.BeforeWrite(nil)
	c.Tables.OnWrite(nil)
}

// next is the write that is about to happen.
func (c *crashed) next(table string) write {
	phase := table
	if table == "directory" {
		if phase = "open"; true {
			if f, ok := c.fence(); ok {
				phase = f.Run.Phase
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[""]++
	c.count[phase]++
	w := write{c.stage, c.count[""], phase, c.count[phase]}
	c.writes = append(c.writes, w)
	return w
}

func (c *crashed) kill(w write, m moment) bool {
	c.mu.Lock()
	hit := c.at(w) == m
	if hit {
		c.kills++
		if c.killed[w.phase] == nil {
			c.killed[w.phase] = map[moment]int{}
		}
		c.killed[w.phase][m]++
	}
	c.mu.Unlock()
	if hit {
		c.Host.Kill()
	}
	return hit
}

// fence reads the connection's fence, or its preview's, if a run is open
// there, straight from the store.
func (c *crashed) fence() (f job.Fence, open bool) {
	c.mu.Lock()
	parts := []string{c.conn, c.conn + "~preview"}
	c.mu.Unlock()
	table := c.Tables.Client().NewClient("directory")
	for _, part := range parts {
		e, err := table.GetEntity(context.Background(), part, "c!", nil)
		if err != nil {
			continue
		}
		var row map[string]any
		if json.Unmarshal(e.Value, &row) != nil {
			continue
		}
		var all []byte
		for i := 0; ; i++ {
			s, ok := row["D"+strconv.Itoa(i)].(string)
			if !ok {
				break
			}
			b, _ := base64.StdEncoding.DecodeString(s)
			all = append(all, b...)
		}
		f = job.Fence{}
		if json.Unmarshal(all, &f) == nil && f.Open() {
			return f, true
		}
	}
	return job.Fence{}, false
}

// meddle puts a copy of each slice's message on the queue while the slice is
// worked on, so that two workers are at it, and copies of messages of long
// ago. It ends with ctx.
func (c *crashed) meddle(ctx context.Context) {
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	var old []job.Job
	done := map[string]bool{}
	for n := 1; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		f, open := c.fence()
		if key := f.Run.ID + "/" + strconv.Itoa(f.Slice); !open || done[key] {
			continue
		} else {
			done[key] = true
		}
		j := job.Job{Kind: job.Sync, Connection: c.conn, Run: f.Run.ID, Slice: f.Slice, Trigger: f.Run.Trigger, Person: f.Run.Person}
		if f.Run.Plan != nil && f.Run.Trigger.Decides() {
			j.Plan = f.Run.Plan.Hash
		}
		old = append(old, j)
		for _, j := range []job.Job{j, old[len(old)/2], old[0]} {
			n++
			j.Try = 1000 + n
			_ = c.Send(ctx, j.MessageID(), j.Encode())
		}
	}
}

// scenario lives through all stages, with the kills that at says, and returns
// what is left.
func scenario(t *testing.T, c *crashed, at func(write) moment) outcome {
	t.Helper()
	c.day.Store(0)
	s, err := c.begin(t)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Microsoft.DeleteTenant(s.cust.tenant.ID)
	defer c.calm()
	c.arm(at)
	for i := range stages {
		s.live(&stages[i])
		p, err := s.tell(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if held := stages[i].status == "held"; held != (p.Hash != "") {
			t.Fatalf("%s: plan %+v", stages[i].name, p)
		} else if held {
			s.plan = p
		}
	}
	if n, err := c.Bus.Counts(sandbox.Queue); err != nil || n.DeadLetter > 0 {
		t.Errorf("%d messages in the dead-letter queue, %v", n.DeadLetter, err)
	}
	return s.outcome()
}

// noted is what the connection says of itself.
type noted struct{ Status, LastRun string }

func status(ctx context.Context, c *crashed, cust customer) (n noted, err error) {
	_, err = c.Call(ctx, "GET", cust.path(""), nil, &n)
	return n, err
}

// retry repeats what a client would: a killed handler answers nothing, or 502.
func retry(t *testing.T, what string, f func() error) {
	t.Helper()
	var last error
	if err := sandbox.Await(within(t, time.Minute), what, func() (bool, error) {
		last = f()
		return last == nil, nil
	}); err != nil {
		t.Fatalf("%v; last: %v", err, last)
	}
}

// A handler that is killed between any two writes of any kind of run leaves
// what an undisturbed one leaves.
func TestCrash(t *testing.T) {
	c := &crashed{}
	c.Sandbox = start(t, sandbox.Options{
		PageSize: 45, MembersPage: 150, Deliveries: 2, Settings: map[string]string{"SLICE_BUDGET": "1s"},
		Now: func() time.Time { return time.Now().Add(time.Duration(c.day.Load()) * 24 * time.Hour) },
	})
	c.Bus.Redeliver(sandbox.Queue, true)
	at := time.Now()
	want := scenario(t, c, func(write) moment { return never })
	t.Log(time.Since(at), want.plan, len(want.stored), len(want.changes))
	n := map[string]int{}
	for _, w := range c.writes {
		n[w.stage]++
		n[w.stage+"/"+w.phase]++
	}
	for _, k := range slices.Sorted(maps.Keys(n)) {
		t.Log(k, n[k])
	}
	_, _, _, _ = os.Getenv, rand.IntN, reflect.DeepEqual, strings.Cut
}
