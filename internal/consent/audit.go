package consent

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"rollcall/internal/connection"
)

// Audit keeps a connection's entries for good.
type Audit interface {
	Note(ctx context.Context, e connection.Entry) error
}

// What is noted here.
const (
	actBegin    = "consent.begin"
	actSignedIn = "consent.signed-in"
	actRefused  = "consent.refused"
	actGiven    = "consent.given"
	actVerified = "consent.verified"
	actFailed   = "consent.failed"
)

// noteTime bounds how long an answer waits for the audit log.
const noteTime = 5 * time.Second

// note writes an entry. What it tells of has happened, so trouble is logged
// and no more, and a browser that has left does not prevent it.
func note(ctx context.Context, a Audit, log *slog.Logger, e connection.Entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	if err := a.Note(ctx, e); err != nil {
		log.ErrorContext(ctx, "not noted in the audit log", "connection", e.Connection, "action", e.Action, "err", err)
	}
}

// details are pairs of key and value without those whose value is empty.
func details(pairs ...string) map[string]string {
	d := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			d[pairs[i]] = pairs[i+1]
		}
	}
	return d
}

// Bounds of what strangers can make us note: whoever holds a link can press
// its button without end. What a proven person does is noted always.
const (
	maxUnproven   = 30
	unprovenEvery = time.Hour
)

// quota counts, by connection, what was done by people who have proved
// nothing yet. It is this instance's own, which is enough for a bound.
type quota struct {
	mu    sync.Mutex
	since time.Time
	used  map[string]int
}

// take reports whether one more may be noted.
func (q *quota) take(id string, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used == nil || now.Sub(q.since) >= unprovenEvery {
		q.since, q.used = now, make(map[string]int)
	}
	q.used[id]++
	return q.used[id] <= maxUnproven
}

// note writes what somebody did who follows a connection's link: a proven
// person, or nobody known.
func (f *Flow) note(ctx context.Context, c connection.Connection, p connection.Identity, action, outcome string, pairs ...string) {
	now := f.Now().UTC()
	e := connection.Entry{
		Connection: c.ID, At: now, Source: connection.FromAdministrator,
		Action: action, Outcome: outcome, Detail: details(pairs...),
	}
	if p.Object != "" {
		e.Actor = p.Tenant + "/" + p.Object
	} else if !f.unproven.take(c.ID, now) {
		return
	}
	note(ctx, f.Audit, f.Log, e)
}
