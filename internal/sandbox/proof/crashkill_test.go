package proof

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/internal/job"
	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/tablestore"
)

// moment is when the handler is killed: before a write takes effect, or after
// it took effect and before the handler is told.
type moment int

const (
	never moment = iota
	before
	after
)

func (m moment) String() string { return [...]string{"never", "before", "after"}[m] }

// ofAll is the table of what concerns all connections, such as where the
// janitor's sweep ended: when that is written depends on how many there are, and
// internal/schedule has proofs of its own.
const ofAll = "service"

// write is one write to the tables.
type write struct {
	stage string
	n     int // from 1, of the stage
	// phase is what the run was at by its fence, "open" if none was open, or the
	// table if it is not the directory; nth counts from 1 within stage and phase.
	phase string
	nth   int
	more  []string // phases that the write went through beside; only of a recording
}

// crashed is a sandbox whose handler can be killed at any write.
type crashed struct {
	*sandbox.Sandbox
	day atomic.Int64 // days by which everybody but the handler is ahead

	mu     sync.Mutex
	at     func(write) moment
	stage  string
	part   string // whose fence counts in this stage
	count  map[string]int
	writes []write
	kills  []kill
}

// kill is one that happened.
type kill struct {
	write
	m moment
}

func (k kill) String() string { return fmt.Sprintf("%s/%s/%d %s", k.stage, k.phase, k.nth, k.m) }

// arm begins to note writes, and says which of them meet a kill.
func (c *crashed) arm(at func(write) moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.writes, c.kills = at, nil, nil
}

// enter begins a stage of a connection: from now on writes are met.
func (c *crashed) enter(stage, part string) {
	c.mu.Lock()
	c.stage, c.part, c.count = stage, part, map[string]int{}
	c.mu.Unlock()
	var now write // writes are taken one by one while there is a hook
	c.Tables.BeforeWrite(func(_ int64, table string) error {
		if table == ofAll {
			return nil
		}
		if now = c.next(table); c.kill(now, before) {
			return fmt.Errorf("killed")
		}
		return nil
	})
	c.Tables.OnWrite(func(_ int64, table string) tablestore.Verdict {
		if table == ofAll {
			return tablestore.Pass
		}
		if table == "directory" {
			c.through()
		}
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

// next notes the write that is about to happen.
func (c *crashed) next(table string) write {
	phase := table
	if table == "directory" {
		phase = "open"
		if f := c.fence(); f.Open() {
			phase = f.Run.Phase
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[""]++
	c.count[phase]++
	w := write{stage: c.stage, n: c.count[""], phase: phase, nth: c.count[phase]}
	c.writes = append(c.writes, w)
	return w
}

// through notes which phases the write that has just happened went through.
// What a phase does may be committed with the end of the one before.
func (c *crashed) through() {
	f := c.fence()
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.writes[len(c.writes)-1]
	begun := false
	for _, p := range f.Run.Phases {
		if p.Name == f.Run.Phase {
			break
		}
		if begun {
			w.more = append(w.more, p.Name)
		}
		begun = begun || p.Name == w.phase
	}
}

func (c *crashed) kill(w write, m moment) bool {
	c.mu.Lock()
	hit := c.at(w) == m
	if hit {
		c.kills = append(c.kills, kill{w, m})
	}
	c.mu.Unlock()
	if hit {
		c.Host.Kill()
	}
	return hit
}

// fence reads the fence of the stage's part straight from the store; it is
// zero if there is none.
func (c *crashed) fence() (f job.Fence) {
	c.mu.Lock()
	part := c.part
	c.mu.Unlock()
	e, err := c.Tables.Client().NewClient("directory").GetEntity(context.Background(), part, "c!", nil)
	if err != nil {
		return job.Fence{}
	}
	var row map[string]any
	if json.Unmarshal(e.Value, &row) != nil {
		return job.Fence{}
	}
	var all []byte
	for i := 0; ; i++ {
		s, ok := row["D"+strconv.Itoa(i)].(string)
		if !ok {
			break
		}
		b, _ := base64.StdEncoding.DecodeString(s) // what is no fence is none below
		all = append(all, b...)
	}
	if json.Unmarshal(all, &f) != nil {
		return job.Fence{}
	}
	return f
}

// meddle puts a copy of each slice's message on the queue while the slice is
// worked on, so that two workers are at it, and copies of messages of long
// ago. It ends with ctx.
func (s *story) meddle(ctx context.Context) {
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
		f := s.fence()
		key := f.Run.ID + "/" + strconv.Itoa(f.Slice)
		if !f.Open() || done[key] {
			continue
		}
		done[key] = true
		j := job.Job{Kind: job.Sync, Connection: s.cust.ID, Run: f.Run.ID, Slice: f.Slice, Trigger: f.Run.Trigger, Person: f.Run.Person}
		if f.Run.Plan != nil && f.Run.Trigger.Decides() {
			j.Plan = f.Run.Plan.Hash
		}
		old = append(old, j)
		for _, j := range []job.Job{j, old[len(old)/2], old[0]} {
			n++
			j.Try = 1000 + n
			if s.Send(ctx, j.MessageID(), j.Encode()) == nil {
				s.copies.Add(1)
			}
		}
	}
}

// place names a write so that kills in other phases do not move it.
type place struct {
	stage, phase string
	nth          int
}

func (w write) place() place { return place{w.stage, w.phase, w.nth} }

// phases are all that the write went through.
func (w write) phases() []string { return append([]string{w.phase}, w.more...) }

func byPhase(recorded []write) map[string][]write {
	out := map[string][]write{}
	for _, w := range recorded {
		for _, p := range w.phases() {
			out[p] = append(out[p], w)
		}
	}
	return out
}

// selection shares kills out to two scenarios: in each phase of each stage one
// has the first write killed before it takes effect, the other the last one
// after it; and two more between them, if there are.
func selection(recorded []write) (picks [2]map[place]moment) {
	type part struct{ stage, phase string }
	parts := map[part][]write{}
	for _, w := range recorded {
		parts[part{w.stage, w.phase}] = append(parts[part{w.stage, w.phase}], w)
	}
	picks = [2]map[place]moment{{}, {}}
	for _, ws := range parts {
		n := len(ws)
		picks[0][ws[n*2/3].place()] = after
		picks[0][ws[0].place()] = before
		picks[1][ws[n/3].place()] = before
		picks[1][ws[n-1].place()] = after
	}
	return picks
}
