package consent

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Prober asks Microsoft, with a credential that has cached nothing, whether
// the app now has its roles in the tenant and the tenant is who it says. Nil
// means yes; an error says why not yet.
type Prober interface {
	Probe(ctx context.Context, a connection.Access) error
}

// Starter enqueues a connection's first run and settles when the next is due.
// It is idempotent.
type Starter interface {
	Start(ctx context.Context, connectionID string) error
}

// Verifier checks that a consent has taken effect. Consent spreads through
// Microsoft's servers for seconds to minutes, so no failure within [Limit]
// means anything but "not yet".
type Verifier struct {
	Connections Connections
	Queue       Queue
	Prober      Prober
	Starter     Starter
	Audit       Audit
	// Roles reads the application permissions that the token of the last probe
	// carries; none means that it cannot be read, which says nothing. Nil means
	// that a probe's word is enough.
	Roles func(ctx context.Context, a connection.Access) ([]string, error)
	// Base is the delay before the second try, doubled with each further one
	// up to five minutes. Zero means two seconds.
	Base time.Duration
	Now  func() time.Time
	Log  *slog.Logger
}

const (
	// Limit is how long a consent may take to spread before it counts as
	// failed. Minutes are documented as possible, an hour is not.
	Limit = 30 * time.Minute

	baseDelay = 2 * time.Second
	maxDelay  = 5 * time.Minute
	// roleTries is how many tries wait for a permission that the first sync
	// can do without: a minute at the default delays. Consent is granted one
	// permission after another, so a late one is usual and a missing one is for
	// the sync to report.
	roleTries = 5
	// probeTime bounds one try: a token and two Graph calls.
	probeTime = time.Minute
	// grace is how late a try may be before its message counts as lost.
	grace = 15 * time.Second
)

// message is the job that checks the connection's consent once more.
func message(c connection.Connection) job.Job {
	return job.Job{Kind: job.Verify, Connection: c.ID, Run: c.Verify.ID, Slice: c.Verify.Attempt}
}

// Verify does the try that the job stands for, and either connects the
// connection and starts its first run, or schedules the next try, or gives up
// after [Limit], back to what was consented to before if anything was. A job of an older try sends the current one's message again
// and does nothing else, one of another consent does nothing. An error means
// that the same job should come again.
func (v *Verifier) Verify(ctx context.Context, j job.Job) (err error) {
	defer fault.Wrap(&err, "consent: verify connection %s, consent %s, try %d", j.Connection, j.Run, j.Slice)
	c, current, err := v.current(ctx, j)
	if err != nil || !current {
		return err
	}
	lacks, probe := v.probe(ctx, c)
	if ctx.Err() != nil {
		return ctx.Err() // cut short by us: says nothing about the tenant
	}
	for range maxConflicts {
		tried := c
		judge(&c, lacks, probe, v.Now().UTC())
		stored, err := v.Connections.UpdateConnection(ctx, c)
		if err == nil {
			return v.follow(ctx, tried, stored, probe)
		}
		if !fault.Is(err, fault.Conflict) {
			return err
		}
		if c, current, err = v.current(ctx, j); err != nil || !current {
			return err
		}
	}
	return fault.New(fault.Conflict, "still changing after %d tries", maxConflicts)
}

// current reads the connection and reports whether the job is its current
// try. For a job that is not, it does what is left to do.
func (v *Verifier) current(ctx context.Context, j job.Job) (c connection.Connection, ok bool, err error) {
	c, err = v.Connections.Connection(ctx, j.Connection)
	switch {
	case fault.Is(err, fault.NotFound): // offboarded meanwhile
		return c, false, nil
	case err != nil:
		return c, false, err
	case c.Verify.ID != j.Run:
		return c, false, nil
	case c.Status == connection.Connected && !c.NextDue.IsZero() && !c.NextDue.After(v.Now()):
		// Connected by this consent, but nobody is known to have started it.
		return c, false, v.Starter.Start(ctx, c.ID)
	case c.Status != connection.Consenting:
		return c, false, nil
	case j.Slice < c.Verify.Attempt:
		return c, false, v.Queue.Send(ctx, message(c), v.Now().Add(v.delay(c.Verify.Attempt)))
	}
	return c, j.Slice == c.Verify.Attempt, nil
}

// probe asks Microsoft once whether the consent has taken effect. The error
// says why not yet; lacks are the permissions that the token does not carry, nil
// if that is not known.
func (v *Verifier) probe(ctx context.Context, c connection.Connection) (lacks []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	err = v.Prober.Probe(ctx, c.Access())
	// A token was had in either case, if all that is wrong is a permission.
	if v.Roles == nil || err != nil && !connection.LacksPermission(fault.Of(err).Code) {
		return nil, err
	}
	roles, unread := v.Roles(ctx, c.Access())
	switch {
	case err == nil && (unread != nil || len(roles) == 0):
		return nil, unread
	case unread != nil:
		return nil, err
	}
	lacks = slices.DeleteFunc(promised(c), func(scope string) bool { return slices.Contains(roles, scope) })
	switch {
	case err != nil, len(lacks) == 0:
		return lacks, err
	case c.Verify.Attempt < roleTries:
		return lacks, fault.New(fault.Denied, "the token lacks %v", lacks).WithCode("Authorization_RequestDenied")
	}
	v.Log.WarnContext(ctx, "consent lacks permissions", "connection", c.ID, "tenant", c.Tenant, "lacks", lacks)
	return lacks, nil
}

// promised lists the permissions that the settings need and that what was
// consented to has. An app of the connection's own promises all of them.
func promised(c connection.Connection) []string {
	p := profileOf(c)
	return slices.DeleteFunc(connection.Needs(c.Chosen()), func(scope string) bool {
		return len(p.Permissions) > 0 && !slices.Contains(p.Permissions, scope)
	})
}

// judge writes a try's outcome into the connection. Its status is Consenting,
// from which both moves are allowed.
func judge(c *connection.Connection, lacks []string, probe error, now time.Time) {
	c.Verify.Attempt++
	c.Verify.Lacks = lacks
	missing := ""
	if len(lacks) > 0 {
		missing = " Missing: " + strings.Join(lacks, ", ") + "."
	}
	switch {
	case probe == nil:
		c.Status, c.Problem, c.Health = connection.Connected, nil, connection.Health{}
		c.Approved, c.Verify.Before = nil, nil // both are used up
		if c.Verified.IsZero() {
			c.Verified = now
		}
		c.Hasten(now)
		c.NextDue = now // a slot that passed meanwhile may have been used up
	case now.Before(c.Verify.Since.Add(Limit)):
		// What mends a lasting refusal would mislead: this one is expected.
		c.Problem = &connection.Problem{
			Code: fault.Of(probe).Code, Message: "Microsoft does not confirm the permissions yet." + missing,
			Remedy: "Nothing needs to be done: the check is repeated for up to 30 minutes.", At: now,
		}
	default:
		c.Status = connection.Failed
		c.Problem = problem(c, probe, now, "Microsoft did not confirm the permissions within 30 minutes."+missing)
		revert(c)
	}
}

// revert puts back what the tenant had consented to before, with which it was
// verified: a consent that is not confirmed takes nothing away.
func revert(c *connection.Connection) {
	before := c.Verify.Before
	if before == nil {
		return
	}
	c.Profile, c.App, c.Verify.Before = before.Profile, before.App, nil
	c.Problem.Message += " Rollcall goes on with what was consented to before."
	switch before.Status {
	case connection.Connected, connection.OK, connection.Held, connection.Degraded:
		// The next run tells how it stands. Where the link would not lead to
		// consent again until then, it stays failed.
		if !c.Covered() {
			c.Status, c.Problem.Consent = connection.Connected, true
		}
	}
}

// problem keeps the cause's code, and its remedy where consenting once more is
// not all of it; never its text, which may hold names.
func problem(c *connection.Connection, err error, at time.Time, message string) *connection.Problem {
	const again = "Open the link again and repeat the consent. If the link has expired, ask for a new one."
	e, remedy := fault.Of(err), again
	switch {
	case connection.LacksPermission(e.Code) && c.OwnApp != "":
		remedy = c.OwnLack(c.Verify.Lacks...) + " Then open the link again and repeat the consent."
	case e.Remedy == "":
	case e.Class == fault.Disconnected: // it says the same, and why
		remedy = e.Remedy
	case e.Class == fault.Policy, e.Class == fault.Ours:
		remedy = e.Remedy + " Then open the link again and repeat the consent."
	}
	return &connection.Problem{Code: e.Code, Message: message, Remedy: remedy, At: at}
}

// follow does what a stored outcome of the consent that was tried calls for. It
// can be repeated.
func (v *Verifier) follow(ctx context.Context, tried, c connection.Connection, probe error) error {
	took := v.Now().Sub(c.Verify.Since)
	switch {
	case c.Problem == nil:
		v.Log.InfoContext(ctx, "consent verified", "connection", c.ID, "tenant", c.Tenant, "tries", c.Verify.Attempt, "took", took)
		v.note(ctx, tried, c, actVerified)
		return v.Starter.Start(ctx, c.ID)
	case c.Status != connection.Consenting:
		v.Log.WarnContext(ctx, "consent not verified", "connection", c.ID, "tenant", c.Tenant, "tries", c.Verify.Attempt, "took", took, "err", probe)
		v.note(ctx, tried, c, actFailed)
		return nil
	}
	v.Log.InfoContext(ctx, "consent not effective yet", "connection", c.ID, "tenant", c.Tenant, "tries", c.Verify.Attempt, "err", probe)
	at := v.Now().Add(max(v.delay(c.Verify.Attempt), fault.Of(probe).After))
	if last := c.Verify.Since.Add(Limit); at.After(last) {
		at = last // the last try comes on time, whatever the back-off says
	}
	return v.Queue.Send(ctx, message(c), at)
}

// delay is the wait before the given try, which counts from 0.
func (v *Verifier) delay(attempt int) time.Duration {
	d := v.Base
	if d <= 0 {
		d = baseDelay
	}
	for range attempt - 1 {
		if d *= 2; d >= maxDelay {
			return maxDelay
		}
	}
	return min(d, maxDelay)
}

// Repair sets a connection going again whose check is overdue, because the
// process died between storing and sending. The message has the ID that it
// always had: if it was sent after all, the queue drops this one. A check
// whose message is lost for good ends as failed, so that the link opens again.
func (v *Verifier) Repair(ctx context.Context, c connection.Connection, now time.Time) (err error) {
	if c.Status != connection.Consenting {
		return nil
	}
	defer fault.Wrap(&err, "consent: repair connection %s", c.ID)
	due := c.Verify.Since
	if c.Problem != nil && c.Problem.At.After(due) {
		due = c.Problem.At.Add(v.delay(c.Verify.Attempt))
	}
	switch {
	case now.Before(due.Add(grace)):
		return nil
	case now.Before(c.Verify.Since.Add(Limit + maxDelay + grace)):
		return v.Queue.Send(ctx, message(c), time.Time{})
	}
	tried := c
	judge(&c, nil, fault.New(fault.Unknown, "no try since %s", due.UTC().Format(time.RFC3339)), now.UTC())
	_, err = v.Connections.UpdateConnection(ctx, c)
	switch {
	case fault.Is(err, fault.Conflict):
		return nil // somebody else moved it
	case err != nil:
		return err
	}
	v.note(ctx, tried, c, actFailed)
	return nil
}

// note writes how the check of the consent that was tried ended.
func (v *Verifier) note(ctx context.Context, tried, c connection.Connection, action string) {
	code := ""
	if c.Problem != nil {
		code = c.Problem.Code
	}
	note(ctx, v.Audit, v.Log, connection.Entry{
		Connection: c.ID, At: v.Now().UTC(), Source: connection.FromRollcall, Action: action, Outcome: "done",
		Detail: details("tenant", c.Tenant, "consent", c.Verify.ID, "tries", strconv.Itoa(c.Verify.Attempt), "profile", tried.Profile, "app", tried.App, "code", code, "lacks", strings.Join(c.Verify.Lacks, " ")),
	})
}
