package consent

import (
	"context"
	"slices"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

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
	// Status is where the connection stands, Standing the same as people see
	// it: [connection.Syncing] or [connection.Throttled] while a run is open.
	Status, Standing connection.Status
	// Paused is true if the vendor has stopped the syncs.
	Paused bool
	// Verified is true if the tenant was connected before: an invitation is
	// then one to consent again.
	Verified bool

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
	// Settings is what the connection reads.
	Settings connection.Settings

	// Profile is what the app asks for in an invitation, and else what was
	// consented to. Its permissions are exactly those that Microsoft will list;
	// of an own app, those that the settings need.
	Profile connection.Profile
	// App is the client ID of the app that asks, or has what was consented to.
	// It is empty in an invitation if no app registration is fit for it: then
	// consent cannot begin, which is the vendor's to mend.
	App string
	// Own is true if that app is the connection's own, not the vendor's.
	Own bool
	// Missing are the permissions that the settings need and that what was
	// consented to does not have, as far as that is known without a sync.
	Missing []string

	// Since is when the consent that is being verified came back, and Checks
	// how often Microsoft was asked about it.
	Since  time.Time
	Checks int
	// Run is the newest sync of a connection that was verified; nil if there
	// is none yet.
	Run *job.Run
	// Stored counts what is stored; nil if nothing is yet, or it cannot be read.
	Stored *Stored
	// Held is true if removals wait for the vendor's decision.
	Held bool
	// NextDue is when the next sync is due, zero if none is, and LastSuccess
	// when one last succeeded.
	NextDue, LastSuccess time.Time
	// Link is the absolute address of this page, Expires until when it works.
	Link    string
	Expires time.Time
}

// Stored counts what is stored and not archived.
type Stored struct{ People, Teams, Memberships int }

// Look returns what a link shows. It changes nothing. The error is a
// [*Refusal] if the link is not, or no longer, one of ours.
func (f *Flow) Look(ctx context.Context, token string) (v View, err error) {
	defer fault.Wrap(&err, "consent: look")
	c, err := f.open(ctx, token)
	if err != nil {
		return v, err
	}
	v = View{
		Status: c.Status, Paused: c.Status == connection.Paused, Verified: c.WasVerified(),
		Company: c.Name, NamedTenant: c.NamedTenant, Tenant: c.Tenant, Problem: c.Problem,
		Degraded: c.Status == connection.Degraded || c.Status == connection.Held && c.MayConsent(), Settings: c.Chosen(),
		Own: c.OwnApp != "", Missing: missing(c),
		Since: c.Verify.Since, Checks: c.Verify.Attempt, NextDue: c.NextDue, LastSuccess: c.LastSuccess,
		Link: f.Links.URL(c), Expires: c.LinkExpires,
	}
	if c.Status == connection.Held && !c.MayConsent() {
		v.Problem = nil // the vendor's to decide, not the administrator's
	}
	var o offer
	switch {
	case c.MayConsent():
		v.Stage = Invitation
		if o, err = f.offer(ctx, c); err != nil {
			// The page is whole without it, and says that consent must wait.
			f.Log.ErrorContext(ctx, "no app to consent to", "connection", c.ID, "err", err)
		}
	case c.Status == connection.Consenting:
		v.Stage, o = Verifying, f.consentedTo(c)
	default:
		v.Stage, o = Connected, f.consentedTo(c)
	}
	v.Profile, v.App = o.profile, o.app.ID
	if v.Stage == Connected || c.Live() {
		v.Run = f.newestRun(ctx, c.ID)
		v.Stored, v.Held = f.stored(ctx, c)
	}
	v.Standing = c.Standing(v.Run != nil && (v.Run.State == job.Running || v.Run.State == job.Waiting), v.Run != nil && v.Run.Throttled)
	return v, nil
}

// missing lists what the settings need and the tenant has not consented to; of
// an app of the connection's own, what the last check of a consent has missed.
func missing(c connection.Connection) []string {
	if c.OwnApp != "" && (c.Status == connection.Failed || c.Status == connection.Consenting) {
		return c.Verify.Lacks
	}
	if c.Covered() {
		return nil
	}
	return slices.DeleteFunc(connection.Needs(c.Chosen()), func(scope string) bool {
		return slices.Contains(profileOf(c).Permissions, scope)
	})
}

// stored counts what is stored, and tells whether removals wait: by the fence,
// since the newest sync may be the one that proposed what was decided since.
func (f *Flow) stored(ctx context.Context, c connection.Connection) (s *Stored, held bool) {
	fence, err := f.Runs.Fence(ctx, c.ID)
	if err != nil { // the page is whole without it
		f.Log.WarnContext(ctx, "figures unreadable", "connection", c.ID, "err", err)
		return nil, c.Status == connection.Held
	}
	if fence.Tally.Stored > 0 || fence.Teams.Stored > 0 {
		s = &Stored{People: fence.Tally.Active, Teams: fence.Teams.Active, Memberships: fence.Memberships.Active}
	}
	return s, fence.Plan != nil
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
