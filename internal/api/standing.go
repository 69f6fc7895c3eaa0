package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Schedule is when a connection is synced.
type Schedule struct {
	Every string `json:"every" enum:"daily,twice,hourly,off" doc:"daily: once a day. twice: twice a day, twelve hours apart. hourly: every hour. off: only when somebody asks." example:"daily"`
	At    string `json:"at,omitempty" doc:"The local time of the daily sync, and of the first of two; of hourly ones its minute counts." example:"06:30"`
	Zone  string `json:"zone,omitempty" doc:"The IANA time zone of at." example:"Europe/Amsterdam"`
}

// Paused says who stopped the syncs.
type Paused struct {
	At time.Time `json:"at" example:"2026-11-21T09:40:00Z"`
	By string    `json:"by,omitempty" doc:"Who asked for it, as the vendor asserted." example:"ada@vendor.example"`
	// WithAll is absent where it is false, as in documents from before.
	WithAll bool `json:"withAll,omitempty" doc:"true if it was paused with all connections, and is resumed with them." example:"true"`
}

// Health is what failures so far say of a connection.
type Health struct {
	Failures       int        `json:"failures" doc:"How many runs in a row have failed by the customer's doing." example:"0"`
	SuspectedSince *time.Time `json:"suspectedSince,omitempty" doc:"Since when Microsoft has said that the customer withdrew the app, as long as that is not confirmed." example:"2026-11-21T06:00:00Z"`
}

// Offboarding is the end of a connection: its tombstone.
type Offboarding struct {
	At      time.Time      `json:"at" example:"2026-11-21T09:40:00Z"`
	By      string         `json:"by,omitempty" doc:"Who asked for it, as the vendor asserted." example:"ada@vendor.example"`
	Data    string         `json:"data" enum:"keep,purge" doc:"What was asked to become of the stored data." example:"purge"`
	Purged  *time.Time     `json:"purged,omitempty" doc:"When a last look at everything that is stored found nothing of the connection any more; absent before, and if the data is kept." example:"2026-11-21T09:41:12Z"`
	Deleted map[string]int `json:"deleted,omitempty" doc:"How many rows and messages the purge has deleted so far, by table or queue." example:"{\"directory\":20411}"`
	To      string         `json:"to,omitempty" doc:"The connection that the tenant was transferred to; absent if it was not." example:"aaaq2x5n3jd4mzs6ab2chtwyeu"`
}

// Revoke is what the customer's administrator removes after the end.
type Revoke struct {
	Tenant string   `json:"tenant" format:"uuid" doc:"The tenant that the app is to be removed from." example:"3f1c9d52-7b0e-4c7e-9a53-2f6f1f7b8a10"`
	App    string   `json:"app,omitempty" format:"uuid" doc:"The app's client ID; absent if it is not known any more." example:"0a6b1c5e-9d27-4f38-8b41-c2d3e4f5a6b7"`
	Portal string   `json:"portal" format:"uri" doc:"The Microsoft Entra admin center of the cloud." example:"https://entra.microsoft.com"`
	Steps  []string `json:"steps" nullable:"false" doc:"What to do there, in plain words and in order."`
}

// portals are the Microsoft Entra admin centers. Those of the US Government and
// of China are inferred from the clouds' sign-in hosts.
var portals = map[string]string{
	"public":   "https://entra.microsoft.com",
	"usgov":    "https://entra.microsoft.us",
	"usgovdod": "https://entra.microsoft.us",
	"china":    "https://entra.microsoftonline.cn",
}

// revoke says how the customer's administrator removes the app from the tenant
// (documented: Microsoft Entra ID, "Delete an enterprise application"); nil if
// there is nothing to remove.
func (a *API) revoke(c *connection.Connection) *Revoke {
	o := c.Offboarding
	if o == nil || o.Tenant == "" || o.To != "" {
		return nil
	}
	r := &Revoke{Tenant: o.Tenant, App: c.App, Portal: portals[a.Service.Cloud]}
	if r.App == "" && o.Purged.IsZero() { // from before there were profiles
		r.App = a.Registered.Widest()
	}
	app := r.App
	if app == "" { // purged with all the rest
		app = "that is one of " + strings.Join(slices.Sorted(maps.Values(a.Registered)), ", ")
	}
	r.Steps = []string{
		fmt.Sprintf("Sign in to %s as a Cloud Application Administrator, an Application Administrator or a Global Administrator of the tenant %s.", r.Portal, r.Tenant),
		fmt.Sprintf("Open Enterprise applications, All applications, and search for the application ID %s.", app),
		"Open the application found, then its Properties, choose Delete and confirm. This takes all its permissions away.",
	}
	if c.OwnApp != "" {
		r.Steps = append(r.Steps, fmt.Sprintf("If this tenant owns the app: open App registrations, All applications, the application with the same ID %s, and delete it, or remove its client secrets and certificates.", app))
	}
	return r
}

// shapeConnection turns a connection into its answer, without the link; seen
// is the status that people see.
func (a *API) shapeConnection(c *connection.Connection, seen connection.Status) Connection {
	v := Connection{
		ID: c.ID, Company: c.Company, Name: c.Name, Status: string(seen),
		Tenant: c.Tenant, NamedTenant: c.NamedTenant, Profile: c.Profile, App: c.App, OwnApp: c.OwnApp != "",
		ConsentNeeded: c.Live() && (!c.Covered() || c.Problem != nil && c.Problem.Consent),
		LinkExpires:   when(c.LinkExpires), NextDue: when(c.NextDue),
		LastRun: c.LastRun, LastSuccess: when(c.LastSuccess),
		CreatedAt: second(c.CreatedAt), CreatedBy: c.CreatedBy, Revoke: a.revoke(c),
	}
	if c.Status == connection.Paused {
		v.NextDue = nil // slots pass
	}
	if o := c.Offboarding; o == nil || o.Purged.IsZero() {
		s := shapeSettings(c.Chosen())
		v.Settings = &s
	}
	if s := c.Schedule; s != nil {
		v.Schedule = &Schedule{Every: s.Every, At: s.At, Zone: s.Zone}
	}
	if p := c.Problem; p != nil {
		v.Problem = &Trouble{Code: p.Code, Message: p.Message, Remedy: p.Remedy, At: when(p.At)}
	}
	if g := c.Guard; g != nil {
		v.Guard = &Guard{MaxCount: g.MaxCount, MaxPercent: g.MaxPercent, MaxTeams: g.MaxTeams, MaxMemberships: g.MaxMemberships}
	}
	if o := c.Override; o != nil {
		v.Override = &Override{By: o.By, At: second(o.At)}
	}
	if p := c.Approved; p != nil {
		v.Approval = &Approval{Tenant: p.Tenant, Object: p.Object, By: p.By, At: second(p.At)}
	}
	if p := c.Paused; p != nil {
		v.Paused = &Paused{At: second(p.At), By: p.By, WithAll: p.All}
	}
	if h := c.Health; h.Failures > 0 || h.Suspicion != nil {
		v.Health = &Health{Failures: h.Failures}
		if h.Suspicion != nil {
			v.Health.SuspectedSince = when(h.Suspicion.First)
		}
	}
	if o := c.Offboarding; o != nil {
		v.Offboarding = &Offboarding{At: second(o.At), By: o.By, Data: dataKept, Purged: when(o.Purged), Deleted: o.Deleted, To: o.To}
		if o.Purge {
			v.Offboarding.Data = dataPurged
		}
	}
	return v
}

// shown is a stored connection, the status that people see, and what mends its
// problem; empty if that is as stored.
type shown struct {
	connection.Connection
	seen   connection.Status
	remedy string
}

func (a *API) shapeShown(s *shown) Connection {
	v := a.shapeConnection(&s.Connection, s.seen)
	if v.Problem != nil && s.remedy != "" {
		v.Problem.Remedy = s.remedy
	}
	return v
}

// standing is the status that people see. It takes a look at the fence, where
// a run can be open.
func (a *API) standing(ctx context.Context, c *connection.Connection) (connection.Status, error) {
	if !c.Live() {
		return c.Status, nil
	}
	f, err := a.Plans.Fence(ctx, c.ID)
	if err != nil {
		return c.Status, err
	}
	return c.Standing(f.Open(), f.Run.State == job.Waiting && f.Run.Throttled), nil
}

// show answers a connection that was read.
func (a *API) show(ctx context.Context, c *connection.Connection) (*one[Connection], error) {
	seen, err := a.standing(ctx, c)
	if err != nil {
		return nil, err
	}
	v := shown{*c, seen, a.remedy(ctx, c)}
	return &one[Connection]{a.shapeShown(&v)}, nil
}

// changed answers a connection that was changed. That it is done must be
// answered whatever else fails: then the stored status stands in.
func (a *API) changed(ctx context.Context, c *connection.Connection) Connection {
	seen, err := a.standing(ctx, c)
	if err != nil {
		a.Log.WarnContext(ctx, "status shown as stored", "connection", c.ID, "err", err)
	}
	return a.shapeShown(&shown{*c, seen, a.remedy(ctx, c)})
}

// atOnce is how many fences are read at the same time for a list.
const atOnce = 16

// standings is [API.standing] for a page of connections, of those that are
// wanted; the others are as stored.
func (a *API) standings(ctx context.Context, cs []connection.Connection, wanted func(*connection.Connection) bool) ([]shown, error) {
	out := make([]shown, len(cs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range cs {
		out[i] = shown{cs[i], cs[i].Status, ""}
		if !wanted(&cs[i]) {
			continue
		}
		group.Go(func() (err error) {
			out[i].seen, err = a.standing(ctx, &cs[i])
			out[i].remedy = a.remedy(ctx, &cs[i])
			return err
		})
	}
	return out, group.Wait()
}

// idle is why a connection that is not live cannot be used.
func idle(c *connection.Connection) *Problem {
	switch c.Status {
	case connection.Paused:
		return problem(codePaused, "The connection is paused.")
	case connection.Offboarded:
		return problem(codeOffboarded, "The connection has ended.")
	default:
		return problem(codeNotConnected, "The connection has no verified tenant.")
	}
}

// worded are the codes of faults that have a problem of their own.
var worded = map[string]string{
	"not_connected": codeNotConnected, "plan_decided": codeDecided, "paused": codePaused, "offboarded": codeOffboarded,
	"purging": codePurging, "tenant_owned": codeTransfer, "cannot_receive": codeTransfer,
}

// known is the problem that a fault's code names, nil if it names none.
func known(f *fault.Error) *Problem {
	code := worded[f.Code]
	if code == "" || f.Kind != fault.Denied && f.Kind != fault.Conflict {
		return nil
	}
	return problem(code, "%s", samples[code]).withRemedy(f.Remedy)
}
