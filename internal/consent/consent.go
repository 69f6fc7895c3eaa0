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
type SignIn interface {
	AuthURL(state, nonce, verifier string) string
	Redeem(ctx context.Context, code, verifier, nonce string) (connection.Identity, error)
}

// Queue sends a job; a zero time means now. A repeat of the same job is
// dropped by the queue.
type Queue interface {
	Send(ctx context.Context, j job.Job, at time.Time) error
}

// Runs reads the records of runs, newest first.
type Runs interface {
	Run(ctx context.Context, connection, run string) (job.Run, error)
	Runs(ctx context.Context, connection, after string, limit int) ([]job.Run, string, error)
}

// Flow is the administrator's path from the link to a claimed tenant.
type Flow struct {
	Connections Connections
	Claims      Claims
	Nonces      Nonces
	SignIn      SignIn
	Queue       Queue
	Runs        Runs
	Links       Links

	// Authority is the sign-in service, such as https://login.microsoftonline.com.
	Authority string
	// AppID is the client ID of the app that asks for consent.
	AppID string
	// Scope is the whole of the app's Graph permissions:
	// https://graph.microsoft.com/.default, or its like in a national cloud.
	Scope string
	// Callback is the absolute address that the app registration names.
	Callback string

	Now func() time.Time
	Log *slog.Logger
}

// maxConflicts bounds how often an update that lost a race is tried anew. Two
// tabs of one administrator and a worker are the most that compete.
const maxConflicts = 5

// Stage is what the holder of a link can do or see.
type Stage string

// The stages of a link.
const (
	// Invitation: the administrator may consent.
	Invitation Stage = "invitation"
	// Verifying: consent is spreading through Microsoft's servers.
	Verifying Stage = "verifying"
	// Connected: done; the link only shows how it stands.
	Connected Stage = "connected"
)

// View is what the holder of a link may see.
type View struct {
	Stage Stage
	// Company is the company's name as the vendor wrote it: hostile text.
	Company string
	// NamedTenant is the only tenant that can be connected, if one was named.
	NamedTenant string
	// Tenant is the proven tenant; empty before consent.
	Tenant string
	// Problem is what went wrong last; nil if nothing.
	Problem *connection.Problem
	// Degraded is true if the last run succeeded but for the part that Problem
	// names.
	Degraded bool
	// Settings is what the connection reads, which says what to consent to.
	Settings connection.Settings
	// Since is when the consent that is being verified came back, and Checks
	// how often Microsoft was asked about it.
	Since  time.Time
	Checks int
	// Run is the newest run once connected; nil if there is none yet.
	Run *job.Run
	// Link is the absolute address of this page, Expires until when it works.
	Link    string
	Expires time.Time
}

// Look returns what a link shows. It changes nothing. The error is a
// [*Refusal] if the link is not, or no longer, one of ours.
func (f *Flow) Look(ctx context.Context, token string) (v View, err error) {
	defer fault.Wrap(&err, "consent: look")
	c, err := f.open(ctx, token)
	if err != nil {
		return v, err
	}
	v = View{
		Company: c.Name, NamedTenant: c.NamedTenant, Tenant: c.Tenant, Problem: c.Problem,
		Degraded: c.Status == connection.Degraded || c.Status == connection.Held && c.MayConsent(), Settings: c.Chosen(),
		Since: c.Verify.Since, Checks: c.Verify.Attempt, Link: f.Links.URL(c), Expires: c.LinkExpires,
	}
	if c.Status == connection.Held && !c.MayConsent() {
		v.Problem = nil // the vendor's to decide, not the administrator's
	}
	switch {
	case c.MayConsent():
		v.Stage = Invitation
	case c.Status == connection.Consenting:
		v.Stage = Verifying
	default:
		v.Stage = Connected
		v.Run = f.newestRun(ctx, c.ID)
	}
	return v, nil
}

// Bounds of the look for the newest sync: between two syncs there may be any
// number of runs that somebody asked for.
const (
	runPage     = 50
	maxRunPages = 4
)

// newestRun returns the newest sync with its latest figures; what somebody has
// asked for one person, previews and decisions are not the administrator's. The
// page is whole without it, so trouble is logged and no more.
func (f *Flow) newestRun(ctx context.Context, id string) *job.Run {
	after := ""
	for range maxRunPages {
		rs, next, err := f.Runs.Runs(ctx, id, after, runPage)
		if err != nil {
			f.Log.WarnContext(ctx, "run unreadable", "connection", id, "err", err)
			return nil
		}
		for i := range rs {
			if t := rs[i].Trigger; t.Asked() || t == job.Preview {
				continue
			}
			// A run under way counts in the fence; its row is a projection of that.
			if r, err := f.Runs.Run(ctx, id, rs[i].ID); err == nil {
				return &r
			}
			return &rs[i]
		}
		if next == "" {
			return nil
		}
		after = next
	}
	return nil
}

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
	case fault.Is(err, fault.NotFound): // offboarded
		return c, &Refusal{Cause: LinkRevoked, Connection: id, Err: err}
	case err != nil:
		return c, err
	case c.Link != generation:
		return c, &Refusal{Cause: LinkRevoked, Connection: id}
	case !f.Now().Before(c.LinkExpires):
		return c, &Refusal{Cause: LinkExpired, Connection: id}
	}
	return c, nil
}
