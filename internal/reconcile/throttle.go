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

// Admit is [fault.Throttled] while a throttle of the app stands. A nil board
// admits everybody.
func (b *Board) Admit(ctx context.Context, a connection.Access) error {
	if b == nil {
		return nil
	}
	left := b.Until(ctx, a).Sub(b.Now())
	if left <= 0 {
		return nil
	}
	e := fault.New(fault.Throttled, "all connections of the app wait for %s", left.Round(time.Second)).WithCode(job.Standing)
	e.After, e.Scope = left, "standing"
	return e
}

// Delay is how long a connection waits after e. A throttle of the whole app that
// was met is told to everybody; it is no failure of this connection's, and nor
// is one that was only heard of, so that only for others backoff is called and
// counts.
func (b *Board) Delay(ctx context.Context, a connection.Access, id string, p job.Priority, e *fault.Error, backoff func() time.Duration) time.Duration {
	d := min(e.After, maxAfter)
	wide := e.Kind == fault.Throttled && e.Scope != ""
	if !wide && e.Code != job.Standing {
		d = max(d, backoff())
	}
	if !wide || b == nil {
		return d
	}
	if e.Code != job.Standing {
		if err := b.Post(ctx, a, b.Now().Add(e.After), e.Scope); err != nil {
			b.Log.WarnContext(ctx, "throttle of the app not told to others", "connection", id, "err", err)
		}
	}
	return d + Return(id, p)
}

// admitted is [fault.Throttled] while a throttle of the connection's app
// stands. An erasure waits for nobody.
func (w *worker) admitted(ctx context.Context) error {
	if w.fence.Run.Trigger == job.Erase {
		return nil
	}
	return w.Board.Admit(ctx, w.conn.Access())
}

// delay is how long the run waits after what went wrong.
func (w *worker) delay(ctx context.Context, e *fault.Error) time.Duration {
	return w.Board.Delay(ctx, w.conn.Access(), w.conn.ID, w.priority(), e, func() time.Duration {
		w.fence.Attempt++
		return w.backoff(w.fence.Attempt)
	})
}

// priority is the run's. One that somebody waits for, since theirs comes after
// it, is as urgent as that.
func (w *worker) priority() job.Priority {
	if w.conn.Again == w.fence.Run.ID {
		return job.High
	}
	return w.fence.Run.Trigger.Priority()
}

// terms are what the slice's requests are made under.
func (w *worker) terms() job.Terms { return job.Terms{Priority: w.priority(), People: w.fence.Stored} }
