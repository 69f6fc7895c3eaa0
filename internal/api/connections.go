package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Connection is a connection as the API shows it.
type Connection struct {
	ID          string `json:"id" doc:"26 characters, lower-case." example:"k7vq2x5n3jd4mzs6ab2chtwyeu"`
	Company     string `json:"company" doc:"The vendor's own key for the company." example:"customer-4711"`
	Name        string `json:"name" doc:"The company's name as its administrator reads it; empty once purged." example:"Contoso Ltd"`
	Status      string `json:"status" enum:"invited,consenting,connected,syncing,throttled,ok,held,degraded,failed,disconnected,paused,offboarded" doc:"invited: nobody has finished consenting. consenting: consent was given and is being verified. connected: verified, the first run has not finished. syncing: a run is under way. throttled: a run is under way and waits, because Microsoft asked for it. ok: the last run succeeded. held: the last run wrote everything but removals, which wait for a decision. degraded: the last run succeeded but for a part that Microsoft or the customer denies, see problem; syncs go on, and the administrator may consent again by a new link. failed: the last run ended without success, see problem. disconnected: the customer has withdrawn the app; it is tried once a day and heals by itself when the administrator consents again. paused: somebody at the vendor has stopped the syncs. offboarded: the end; what is stored was kept or purged, see offboarding." example:"invited"`
	Tenant      string `json:"tenant,omitempty" format:"uuid" doc:"The proven tenant; absent before consent." example:"3f1c9d52-7b0e-4c7e-9a53-2f6f1f7b8a10"`
	NamedTenant string `json:"namedTenant,omitempty" format:"uuid" doc:"The only tenant that may be connected; absent if the vendor named none." example:"3f1c9d52-7b0e-4c7e-9a53-2f6f1f7b8a10"`

	Profile       string `json:"profile,omitempty" doc:"The permission profile that the tenant consented to: base, teams or mailboxes. Absent before consent, with an app of the connection's own, and where the consent is older than the profiles." example:"teams"`
	App           string `json:"app,omitempty" format:"uuid" doc:"The client ID of the app registration that the tenant consented to; absent before consent, and where the consent is older than the profiles." example:"0a6b1c5e-9d27-4f38-8b41-c2d3e4f5a6b7"`
	OwnApp        bool   `json:"ownApp" doc:"Whether the connection uses an app registration of its own, in place of the service's." example:"false"`
	ConsentNeeded bool   `json:"consentNeeded" doc:"Whether the company's administrator has to consent again for the settings to be met in full; POST /v1/connections/{id}/link gives a link for it." example:"false"`

	Link        string     `json:"link,omitempty" format:"uri" doc:"The secure link for the company's administrator. It is in the answers that made it and in no other." example:"https://rollcall.example.com/connect/k7vq2x5n3jd4mzs6ab2chtwyeu.1.kFq3"`
	LinkExpires *time.Time `json:"linkExpires,omitempty" doc:"When the current link stops working; absent if it was revoked." example:"2026-12-05T09:30:00Z"`
	Approval    *Approval  `json:"approval,omitempty" doc:"Whom the vendor has vouched for; absent if nobody."`
	Settings    *Settings  `json:"settings,omitempty" doc:"What is synced, and of whom; absent once purged."`
	Schedule    *Schedule  `json:"schedule,omitempty" doc:"When it is synced; absent while the service's own interval holds."`
	Guard       *Guard     `json:"guard,omitempty" doc:"The connection's own limits of removals; absent while the service's hold."`
	Override    *Override  `json:"guardOverride,omitempty" doc:"Leave for the next run that has removals to judge to pass the guard; absent if there is none."`

	Notice      string     `json:"notice,omitempty" doc:"What whoever sent the request should know of its outcome, such as scope groups that could not be looked for. It is in the answer to that request and in no other." example:"The scope groups could not be looked for, since no tenant is connected yet; the first sync finds out."`
	Problem     *Trouble   `json:"problem,omitempty" doc:"What went wrong last; absent if nothing."`
	Health      *Health    `json:"health,omitempty" doc:"What failures so far say of the connection; absent if there are none."`
	NextDue     *time.Time `json:"nextDue,omitempty" doc:"When the next run starts by itself; absent until connected, while paused, and while the schedule is off." example:"2026-11-21T18:00:00Z"`
	LastRun     string     `json:"lastRun,omitempty" doc:"The run that ended last." example:"04f8f6b1c2d-9f2c4e71ab03"`
	LastSuccess *time.Time `json:"lastSuccess,omitempty" doc:"When a run last succeeded." example:"2026-11-21T06:00:41Z"`

	Paused      *Paused      `json:"paused,omitempty" doc:"Who stopped the syncs; only while paused."`
	Offboarding *Offboarding `json:"offboarding,omitempty" doc:"How the connection ended; only once that was asked for."`
	Revoke      *Revoke      `json:"revoke,omitempty" doc:"What the customer's administrator removes after the end, and where; absent if no tenant was connected, or if it went to another connection."`

	CreatedAt time.Time `json:"createdAt" example:"2026-11-21T09:30:00Z"`
	CreatedBy string    `json:"createdBy,omitempty" doc:"Who created it, as the vendor asserted." example:"ada@vendor.example"`
}

// Trouble is what went wrong with a connection or a run, in plain words.
type Trouble struct {
	Code    string     `json:"code,omitempty" doc:"The cause for machines, often Microsoft's own code." example:"Authorization_RequestDenied"`
	Message string     `json:"message" doc:"What happened." example:"Microsoft refused to list the people of the tenant."`
	Remedy  string     `json:"remedy" doc:"What to do next." example:"Ask the company's administrator to consent again."`
	At      *time.Time `json:"at,omitempty" example:"2026-11-21T06:00:12Z"`
}

// Approval is one person whom the vendor allows to bind one tenant without
// an administrator role.
type Approval struct {
	Tenant string    `json:"tenant" format:"uuid" doc:"The person's tenant (tid)." example:"3f1c9d52-7b0e-4c7e-9a53-2f6f1f7b8a10"`
	Object string    `json:"object" format:"uuid" doc:"The person's object ID (oid)." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
	By     string    `json:"by,omitempty" doc:"Who vouched, as the vendor asserted." example:"ada@vendor.example"`
	At     time.Time `json:"at" example:"2026-11-21T09:35:00Z"`
}

// second is t as answers tell it: in UTC, to the second, but for runs and their
// phases, for which [exactly] is.
func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// when is [second] for what may be absent: nil if zero.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = second(t)
	return &t
}

// Caller is who asks.
type Caller struct {
	Actor string `header:"X-Rollcall-Actor" maxLength:"256" pattern:"^[\\p{L}\\p{M}\\p{N}\\p{P}\\p{S} ]*$" patternDescription:"printable text" doc:"The person for whom the vendor asks, at most 256 printable characters. A key names nobody, so this is recorded as asserted." example:"ada@vendor.example"`
}

func (c *Caller) caller() string { return c.Actor }

// Target is the connection that a path names.
type Target struct {
	ID string `path:"id" doc:"The connection's ID." example:"k7vq2x5n3jd4mzs6ab2chtwyeu"`
}

func (t *Target) target() string { return t.ID }

type one[T any] struct{ Body T }

// ConnectionPage is a page of connections.
type ConnectionPage struct {
	Connections []Connection `json:"connections" nullable:"false" doc:"In ID order."`
	Page
}

func (a *API) connectionRoutes() {
	a.inviteRoute()
	register(a, huma.Operation{
		OperationID: "list-connections", Method: http.MethodGet, Path: "/v1/connections",
		Tags: []string{tagConnections}, Summary: "List connections",
		Description: "All connections in ID order, or those that fit all filters given." + pagesInWords + filtersInWords,
		Responses:   listed[ConnectionPage](a), Errors: []int{400},
	}, a.connections)
	register(a, huma.Operation{
		OperationID: "read-connection", Method: http.MethodGet, Path: "/v1/connections/{id}",
		Tags: []string{tagConnections}, Summary: "Read a connection",
		Description: "Its status, what went wrong last and what to do about it. The secure link is not repeated.",
		Errors:      []int{404},
	}, func(ctx context.Context, in *Target) (*one[Connection], error) {
		c, err := a.connection(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return a.show(ctx, &c)
	})
}

// connectionsRequest asks for connections, by what they are filtered.
type connectionsRequest struct {
	PageQuery
	Status  string `query:"status" enum:"invited,consenting,connected,syncing,throttled,ok,held,degraded,failed,disconnected,paused,offboarded" doc:"Only connections of this status, as it is shown."`
	Company string `query:"company" minLength:"1" maxLength:"128" doc:"Only connections of this company, by the vendor's own key, exactly."`
	Tenant  string `query:"tenant" pattern:"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$" patternDescription:"a GUID" doc:"Only connections whose proven tenant this is, or that are meant for it."`
	Q       string `query:"q" minLength:"1" maxLength:"256" doc:"Only connections whose name holds this text, in upper or lower case."`
}

// filter names what is asked for, so that a continuation serves no other
// filter; empty for all. Its length is bounded, and so is the continuation's.
func (r *connectionsRequest) filter() string {
	if r.Status == "" && r.Company == "" && r.Tenant == "" && r.Q == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{r.Status, r.Company, strings.ToLower(r.Tenant), r.Q}, "\x00")))
	return "?" + hex.EncodeToString(sum[:tokenSum])
}

// keep judges all but the status, which takes a look at the fence.
func (r *connectionsRequest) keep(c *connection.Connection) bool {
	t := strings.ToLower(r.Tenant)
	return (r.Company == "" || c.Company == r.Company) && (t == "" || t == c.Tenant || t == c.NamedTenant) &&
		(r.Q == "" || strings.Contains(strings.ToLower(c.Name), strings.ToLower(r.Q)))
}

func (a *API) connections(ctx context.Context, in *connectionsRequest) (*huma.StreamResponse, error) {
	of := in.filter()
	after, err := resume(listConnections, of, in.Continuation)
	if err != nil {
		return nil, err
	}
	read := func(ctx context.Context, after string, n int) ([]shown, string, error) {
		stored, next, err := a.Connections.Connections(ctx, after, n)
		if err != nil {
			return nil, "", err
		}
		all, err := a.standings(ctx, stored, in.keep)
		return all, next, err
	}
	feed := follow(&after, read, a.shapeShown)
	if of != "" {
		feed = sift(&after, read, func(c *shown) string { return c.ID }, func(c *shown) bool {
			return in.keep(&c.Connection) && (in.Status == "" || in.Status == string(c.seen))
		}, a.shapeShown)
	}
	return stream(ctx, a, list[Connection]{
		operation: "list-connections", field: "connections", limit: in.Limit, feed: feed,
		tail: func(bool) any { return Page{continuation(listConnections, of, after)} },
	})
}

// connection reads the connection that a path names.
func (a *API) connection(ctx context.Context, id string) (connection.Connection, error) {
	missing := problem(codeNotFound, "There is no connection with this ID.").at("path.id", "expected the ID of a connection")
	if !validID(id) {
		return connection.Connection{}, missing
	}
	c, err := a.Connections.Connection(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return c, missing
	}
	return c, err
}
