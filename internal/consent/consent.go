// Package consent proves which Microsoft tenant a company owns, and that the
// person who says so may say it.
//
// Nothing that a browser brings back is believed: a tenant comes from a
// verified sign-in, consent is asked for at that very tenant, and a
// connection counts only once a token of that tenant has been obtained.
//
// The way: secure link, page, sign-in (first leg), admin consent (second
// leg), claim of the tenant, verification in the background. Each step is
// idempotent; a process that dies anywhere leaves either a link that can be
// opened again or a connection in status Consenting that [Verifier.Repair]
// sets going again.
package consent

import (
	"context"
	"log/slog"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Connections reads a connection, and updates it under the version that was
// read: [fault.NotFound], [fault.Conflict].
type Connections interface {
	Connection(ctx context.Context, id string) (connection.Connection, error)
	UpdateConnection(ctx context.Context, c connection.Connection) (connection.Connection, error)
}

// Claims says which connection owns a tenant. Claim is idempotent for the
// owner and [fault.Conflict] for anybody else; Owner is [fault.NotFound] for
// a tenant that nobody owns.
type Claims interface {
	Claim(ctx context.Context, tenant, connection string) error
	Owner(ctx context.Context, tenant string) (connection string, err error)
}

// Nonces keeps values that exactly one taker gets, before they expire.
type Nonces interface {
	PutNonce(ctx context.Context, key string, value []byte, expires time.Time) error
	TakeNonce(ctx context.Context, key string, now time.Time) ([]byte, error)
}

// SignIn is the identity provider. Redeem exchanges a code for a verified
// identity: [fault.Invalid] if what came back does not prove one,
// [fault.Expired] if the code was too old or used.
//
// A person signs in to the app that will ask for consent, so that the token
// names that app as its audience.
type SignIn interface {
	AuthURL(app connection.App, state, nonce, verifier string) string
	Redeem(ctx context.Context, app connection.App, code, verifier, nonce string) (connection.Identity, error)
}

// Queue sends a job; a zero time means now. A repeat of the same job is
// dropped by the queue.
type Queue interface {
	Send(ctx context.Context, j job.Job, at time.Time) error
}

// Runs reads the records of runs, newest first, and the fence that counts what
// is stored; a fence is zero for a connection that was never synced.
type Runs interface {
	Fence(ctx context.Context, connection string) (job.Fence, error)
	Run(ctx context.Context, connection, run string) (job.Run, error)
	Runs(ctx context.Context, connection, after string, limit int) ([]job.Run, string, error)
}

// Flow is the administrator's path from the link to a claimed tenant. All
// fields are required.
type Flow struct {
	Connections Connections
	Claims      Claims
	Nonces      Nonces
	SignIn      SignIn
	Queue       Queue
	Runs        Runs
	Links       Links
	Audit       Audit

	// Registered are the vendor's app registrations, one of which asks for
	// consent; Own reads those that connections bring themselves.
	Registered connection.Apps
	Own        OwnApps
	// Authority is the sign-in service, such as https://login.microsoftonline.com.
	Authority string
	// Scope is the whole of an app's Graph permissions:
	// https://graph.microsoft.com/.default, or its like in a national cloud.
	Scope string
	// Callback is the absolute address that every app registration names.
	Callback string

	Now func() time.Time
	Log *slog.Logger

	presses, unproven quota
}

// maxConflicts bounds how often an update that lost a race is tried anew. Two
// tabs of one administrator and a worker are the most that compete.
const maxConflicts = 5

// open returns the connection that a link's token stands for.
func (f *Flow) open(ctx context.Context, token string) (connection.Connection, error) {
	id, generation, err := f.Links.Parse(token, f.Now())
	switch {
	case fault.Is(err, fault.Expired):
		return connection.Connection{}, &Refusal{Cause: LinkExpired, Connection: id, Err: err}
	case err != nil:
		return connection.Connection{}, &Refusal{Cause: LinkUnknown, Err: err}
	}
	return f.load(ctx, id, generation)
}

// load returns a connection if the link of that generation is still good.
func (f *Flow) load(ctx context.Context, id string, generation int) (connection.Connection, error) {
	c, err := f.Connections.Connection(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound):
		return c, &Refusal{Cause: LinkRevoked, Connection: id, Err: err}
	case err != nil:
		return c, err
	case c.Status == connection.Offboarded:
		return c, &Refusal{Cause: LinkEnded, Connection: id}
	case c.Link != generation:
		return c, &Refusal{Cause: LinkRevoked, Connection: id}
	case !f.Now().Before(c.LinkExpires):
		return c, &Refusal{Cause: LinkExpired, Connection: id}
	}
	return c, nil
}
