package reconcile

import (
	"context"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Throttles keeps one row for each app.
type Throttles interface {
	// Throttle is zero before the first one.
	Throttle(ctx context.Context, app string) (job.Throttle, error)
	// PutThrottle returns [fault.Conflict] if somebody else has written since
	// t.Version was read.
	PutThrottle(ctx context.Context, app string, t job.Throttle) error
}

const (
	// fresh is how long what the board read is good for: while that is a sweep
	// of any size costs one read of an app.
	fresh = 5 * time.Second
	// maxStanding bounds how far one answer of Microsoft's can stop everybody:
	// then some ask, and are told again.
	maxStanding = 15 * time.Minute
	// rushSpread is the window over which those who waited for a throttle of the
	// app come back, by a hash of their IDs. Whom somebody waits for comes first.
	rushSpread = 2 * time.Minute
	// maxPosts is how often a post meets another's before it gives up; each time
	// somebody else's got through.
	maxPosts = 8
)

// Board tells all instances that Microsoft wants an app's tenants to slow down.
// All fields are required. It is safe for concurrent use.
type Board struct {
	Rows Throttles
	Now  func() time.Time
	Log  *slog.Logger

	mu    sync.Mutex // held while reading, so that many who ask at once read once
	known map[string]notice
}

// notice is what the board knows of an app.
type notice struct {
	until, read time.Time
}

// appKey names the app by which a tenant is reached: own apps are slowed down
// by themselves, and slow nobody else.
func appKey(a connection.Access) string {
	if a.Own != "" {
		return "own~" + a.Own
	}
	return "app~" + a.App
}

// Until is when the app's tenants may be asked; a time that has passed means
// now. A row that cannot be read holds up nobody.
func (b *Board) Until(ctx context.Context, a connection.Access) time.Time {
	app := appKey(a)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.Now()
	n, ok := b.known[app]
	if ok && (now.Before(n.until) || now.Sub(n.read) < fresh) {
		return n.until
	}
	t, err := b.Rows.Throttle(ctx, app)
	if err != nil {
		b.Log.WarnContext(ctx, "row of throttles not read; going on", "err", err)
	}
	b.note(app, notice{latest(t.Until, now), now})
	return b.known[app].until
}

// latest is what counts of a row: another instance's clock may be ahead.
func latest(until, now time.Time) time.Time {
	if most := now.Add(maxStanding); until.After(most) {
		return most
	}
	return until
}

func (b *Board) note(app string, n notice) {
	if b.known == nil {
		b.known = map[string]notice{}
	}
	b.known[app] = n
}

// Post makes everybody of the app wait until then at least. It never shortens
// what stands.
func (b *Board) Post(ctx context.Context, a connection.Access, until time.Time, scope string) (err error) {
	app := appKey(a)
	defer fault.Wrap(&err, "reconcile: post throttle of app %s", app)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.Now()
	until = latest(until, now).UTC().Truncate(time.Millisecond)
	if n, ok := b.known[app]; ok && !until.After(n.until) {
		return nil
	}
	for try := 1; ; try++ {
		t, err := b.Rows.Throttle(ctx, app)
		if err != nil {
			return err
		}
		if until.After(t.Until) {
			t.Until, t.Scope = until, scope
			err = b.Rows.PutThrottle(ctx, app, t)
		}
		if err == nil {
			b.note(app, notice{latest(t.Until, now), now})
			return nil
		}
		if !fault.Is(err, fault.Conflict) || try == maxPosts {
			return err
		}
	}
}

// Return is how much later than the end of a throttle of its app a connection
// comes back.
func Return(id string, p job.Priority) time.Duration {
	if p == job.High {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	return time.Duration(h.Sum64() % uint64(rushSpread)).Truncate(time.Millisecond)
}

// admitted is [fault.Throttled] while a throttle of the connection's app
// stands. An erasure waits for nobody.
func (w *worker) admitted(ctx context.Context) error {
	if w.Board == nil || w.fence.Run.Trigger == job.Erase {
		return nil
	}
	left := w.Board.Until(ctx, w.conn.Access()).Sub(w.Now())
	if left <= 0 {
		return nil
	}
	e := fault.New(fault.Throttled, "all connections of the app wait for %s", left.Round(time.Second)).WithCode(job.Standing)
	e.After, e.Scope = left, "standing"
	return e
}

// delay is how long the run waits after what went wrong. A throttle of the whole
// app is told to everybody.
func (w *worker) delay(ctx context.Context, e *fault.Error) time.Duration {
	d := min(e.After, maxAfter)
	met := e.Code != job.Standing // what was only heard of is no failed try
	if met {
		w.fence.Attempt++
		d = max(d, w.backoff(w.fence.Attempt))
	}
	if e.Kind != fault.Throttled || e.Scope == "" || w.Board == nil {
		return d
	}
	if met {
		if err := w.Board.Post(ctx, w.conn.Access(), w.Now().Add(e.After), e.Scope); err != nil {
			w.log.WarnContext(ctx, "throttle of the app not told to others", "err", err)
		}
	}
	return d + Return(w.conn.ID, w.fence.Run.Trigger.Priority())
}

// terms are what the slice's requests are made under.
func (w *worker) terms() job.Terms {
	return job.Terms{Priority: w.fence.Run.Trigger.Priority(), People: w.fence.Stored}
}
