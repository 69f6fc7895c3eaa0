package consent

import (
	"context"
	"log/slog"
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

// put writes an entry, even if the browser that waits for it has left.
func put(ctx context.Context, a Audit, e connection.Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	return a.Note(ctx, e)
}

// note writes an entry of what has happened, so trouble is logged and no more.
func note(ctx context.Context, a Audit, log *slog.Logger, e connection.Entry) {
	if err := put(ctx, a, e); err != nil {
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

// entry is what somebody did who follows a connection's link: a proven person,
// or nobody known.
func (f *Flow) entry(c connection.Connection, p connection.Identity, action, outcome string, pairs ...string) connection.Entry {
	e := connection.Entry{
		Connection: c.ID, At: f.Now().UTC(), Source: connection.FromAdministrator,
		Action: action, Outcome: outcome, Detail: details(pairs...),
	}
	if p.Object != "" {
		e.Actor = p.Tenant + "/" + p.Object
	}
	return e
}

// note writes such an entry, unless nobody is proven and there are too many of
// that kind already.
func (f *Flow) note(ctx context.Context, c connection.Connection, p connection.Identity, action, outcome string, pairs ...string) {
	e := f.entry(c, p, action, outcome, pairs...)
	// Each action has its own bound: no number of presses hides a refusal.
	if e.Actor == "" && f.unproven.take(action+" "+c.ID, maxUnproven, unprovenEvery, e.At) > 0 {
		return
	}
	note(ctx, f.Audit, f.Log, e)
}
