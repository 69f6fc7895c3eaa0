// Package api is the machine API under /v1, by which the vendor's product
// invites companies, asks for syncs and reads what was synced.
//
// One registration serves a route and describes it: nothing is answered that
// the OpenAPI document does not hold, and nothing leaves but the shapes
// declared here. A cause that nobody classified is logged, never answered.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/danielgtaylor/huma/v2/validation"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// Connections keeps the connections.
type Connections interface {
	// CreateConnection returns [fault.Conflict] if the ID is taken.
	CreateConnection(ctx context.Context, c connection.Connection) error
	// Connection returns [fault.NotFound] for an unknown ID.
	Connection(ctx context.Context, id string) (connection.Connection, error)
	// UpdateConnection returns [fault.Conflict] if c.Version is stale.
	UpdateConnection(ctx context.Context, c connection.Connection) (connection.Connection, error)
	// Connections lists those after a cursor; next is empty at the end.
	Connections(ctx context.Context, after string, limit int) (cs []connection.Connection, next string, err error)
}

// Runs keeps what runs left behind.
type Runs interface {
	// Run returns [fault.NotFound] for a run that no worker has opened.
	Run(ctx context.Context, connection, run string) (job.Run, error)
	// Runs lists newest first; next is empty at the end.
	Runs(ctx context.Context, connection, after string, limit int) (rs []job.Run, next string, err error)
}

// Directory keeps the people of a tenant, and what changed. A part is a
// connection's ID, or that and previewSuffix.
type Directory interface {
	// People lists by person ID; next is empty at the end.
	People(ctx context.Context, part, after string, limit int) (ps []directory.Record, next string, err error)
	// Records reads the people named; who is not stored is left out.
	Records(ctx context.Context, part string, ids []string) (map[string]directory.Record, error)
	// Changes lists those with numbers above after, ascending, at most limit.
	Changes(ctx context.Context, part string, after int64, limit int) ([]directory.Change, error)
	// LastChange is the number of the newest change, 0 if there is none.
	LastChange(ctx context.Context, part string) (int64, error)
}

// Teams keeps the teams of a tenant and their members.
type Teams interface {
	// Teams lists by team ID; next is empty at the end.
	Teams(ctx context.Context, part, after string, limit int) (ts []directory.TeamRecord, next string, err error)
	// TeamRecords reads the teams named; what is not stored is left out.
	TeamRecords(ctx context.Context, part string, ids []string) (map[string]directory.TeamRecord, error)
	// Rosters reads all members of a team; none for an unknown one.
	Rosters(ctx context.Context, part, team string) ([]directory.Roster, error)
	// TeamsOf finds the teams of a few people, by [directory.Key].
	TeamsOf(ctx context.Context, part string, people [][16]byte) (map[[16]byte][]string, error)
}

// Holdings keeps what else a tenant has. The lists are by ID; next is empty
// at the end.
type Holdings interface {
	Positions(ctx context.Context, part, after string, limit int) (ps []directory.PositionRecord, next string, err error)
	PositionRecords(ctx context.Context, part string, ids []string) (map[string]directory.PositionRecord, error)
	// Licenses reads all, by ID.
	Licenses(ctx context.Context, part string) ([]directory.LicenseRecord, error)
	Mailboxes(ctx context.Context, part, after string, limit int) (ms []directory.MailboxRecord, next string, err error)
}

// Groups asks Microsoft for groups of a tenant.
type Groups interface {
	// SearchGroups finds at most 25.
	SearchGroups(ctx context.Context, tenant connection.Access, text string) ([]directory.Team, error)
	// Group returns [fault.NotFound] for a group that the tenant does not have.
	Group(ctx context.Context, tenant connection.Access, id string) (directory.Team, error)
}

// Syncer starts the runs that somebody asks for. All return [fault.NotFound]
// for an unknown connection, [fault.Denied] with code "not_connected" before a
// tenant is verified, and [fault.Throttled] if asked again too soon: then with
// the run asked for before, unless there were too many.
type Syncer interface {
	Manual(ctx context.Context, connection, actor string) (run string, err error)
	Preview(ctx context.Context, connection, actor string) (run string, err error)
	Person(ctx context.Context, connection, person, actor string) (run string, err error)
	Erase(ctx context.Context, connection, person, actor string) (run string, err error)
}

// Removals keeps the lists of what waits for a human to be removed.
type Removals interface {
	// Listed lists up to limit IDs after the given one, in order.
	Listed(ctx context.Context, part string, l directory.List, after string, limit int) (ids []string, err error)
}

// Plans keeps the plan of removals that waits, as part of the fence.
type Plans interface {
	// Fence is zero for a connection that was never synced.
	Fence(ctx context.Context, connection string) (job.Fence, error)
}

// Decider carries out what a human decides about a plan of removals.
type Decider interface {
	// Decide returns [fault.Conflict] with code "plan_decided" if no plan of
	// that run with that hash waits. Repeated, it returns the same run.
	Decide(ctx context.Context, connection, run, hash string, approve bool, actor string) (decision string, err error)
}

// Linker writes the secure link of a connection's current generation.
type Linker interface {
	URL(c connection.Connection) string
}

// Options is what the API is made of. Every field is required.
type Options struct {
	Connections Connections
	Runs        Runs
	Directory   Directory
	Teams       Teams
	Holdings    Holdings
	Groups      Groups
	Syncer      Syncer
	Removals    Removals
	Plans       Plans
	Decider     Decider
	Linker      Linker
	Governor    Governor
	Audit       Audit
	Apps        Apps
	// Registered are the vendor's app registrations.
	Registered connection.Apps
	Service    Service
	Operations Operations
	// LinkTTL is how long a new secure link works.
	LinkTTL time.Duration
	Now     func() time.Time
	Log     *slog.Logger
}

// API answers everything under /v1. It is an [http.Handler].
type API struct {
	Options
	mux  *http.ServeMux
	huma huma.API
	// document renders the OpenAPI document in both notations, once and when
	// it is first asked for: it takes longer than all that a cold start needs.
	document func() (asJSON, asYAML []byte)
}

// Version of the document; the routes' major version is in their path.
const version = "1.0.0"

// Limits of a request. The body's is in bytes; what the API takes is far
// below a kilobyte. A body that takes longer than the time is given up; the
// host in front has read it from the client already.
const (
	maxBody  = 64 << 10
	bodyTime = 30 * time.Second
)

// init sets what huma keeps in package variables; nothing else in the binary
// uses huma. Names of JSON properties are compared exactly, since otherwise
// {"name": "Contoso", "Name": ""} would be judged by one and read by the
// other. Every refusal of huma's own becomes a [Problem].
func init() {
	huma.ValidateStrictCasing = true
	huma.NewError = refusal
	// The transfer's one property is called "to".
	validation.MsgExpectedRequiredProperty = "expected the property %q, which is required"
}

// New returns the API with all its routes.
func New(o Options) *API {
	a := &API{Options: o, mux: http.NewServeMux()}
	a.huma = humago.New(a.mux, huma.Config{
		OpenAPI: describe(),
		// Neither huma's documentation page, which loads scripts from
		// elsewhere, nor its document routes, which render on first use
		// without a lock: ours have one.
		Formats: map[string]huma.Format{
			"application/json": {Marshal: encode, Unmarshal: decode},
			// The key by which huma finds the writer of any …+json type.
			"json": {Marshal: encode, Unmarshal: decode},
		},
		DefaultFormat: "application/json",
	})
	a.huma.UseMiddleware(a.strict)
	a.connectionRoutes()
	a.governRoutes()
	a.lifecycleRoutes()
	a.ownAppRoutes()
	a.auditRoutes()
	a.serviceRoutes()
	a.guardRoutes()
	a.runRoutes()
	a.askRoutes()
	a.removalRoutes()
	a.peopleRoutes()
	a.teamRoutes()
	a.holdingRoutes()
	a.groupRoutes()
	a.changeRoutes()
	a.operationRoutes()
	loosen(a.huma.OpenAPI())
	a.document = sync.OnceValues(func() (asJSON, asYAML []byte) { return render(a.huma.OpenAPI()) })
	a.mux.HandleFunc("GET /v1/openapi.json", serve("application/openapi+json", a.Document))
	a.mux.HandleFunc("GET /v1/openapi.yaml", serve("application/openapi+yaml", func() []byte {
		_, asYAML := a.document()
		return asYAML
	}))
	return a
}

// Document returns the OpenAPI document as it is served, in JSON.
func (a *API) Document() []byte {
	asJSON, _ := a.document()
	return asJSON
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	defer a.contain(r)

	// The mux would redirect an unclean path; no caller of a machine API
	// writes one in good faith.
	if path.Clean(r.URL.Path) != r.URL.Path {
		write(w, problem(codeNotFound, "The path has empty or dot segments, which no route has.").
			withRemedy("Write the path exactly, without // and without . or .. segments; /v1/openapi.json lists all routes."))
		return
	}
	if h, pattern := a.mux.Handler(r); pattern == "" {
		unrouted(w, r, h)
		return
	}
	// JSON is all we speak. huma would name any spelling that the client
	// prefers, "json" too, as the content type.
	r = r.Clone(r.Context())
	r.Header.Del("Accept")
	a.mux.ServeHTTP(w, r)
}

// unrouted answers what no route takes. The mux knows whether it is the path
// or the method that is wrong, but says so in plain text.
func unrouted(w http.ResponseWriter, r *http.Request, h http.Handler) {
	p := probe{header: http.Header{}}
	h.ServeHTTP(&p, r)
	if p.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", p.header.Get("Allow"))
		write(w, problem(codeMethod, "This route does not take the method %s.", clip(r.Method)))
		return
	}
	write(w, problem(codeNotFound, "There is no such route."))
}

// probe is a response that keeps the status and the headers only.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header         { return p.header }
func (p *probe) WriteHeader(status int)      { p.status = status }
func (p *probe) Write(b []byte) (int, error) { return len(b), nil }

// contain logs a panic, which huma raises when a response cannot be written,
// and cuts the connection, so that half an answer never looks whole.
func (a *API) contain(r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v != http.ErrAbortHandler && r.Context().Err() == nil {
		a.Log.ErrorContext(r.Context(), "request aborted", "method", r.Method, "path", r.URL.Path,
			"err", v, "stack", string(debug.Stack()))
	}
	panic(http.ErrAbortHandler)
}

func serve(contentType string, document func() []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(document())
	}
}
