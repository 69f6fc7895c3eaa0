package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
)

// exportVersion is that of what [API] exports; it imports this one only.
const exportVersion = 1

// Export is what makes a connection again elsewhere: how it is set, never what
// was stored, and no secret, link or proof.
type Export struct {
	Version  int       `json:"version" doc:"Of the format: 1." example:"1"`
	Company  string    `json:"company" doc:"The vendor's own key for the company." example:"customer-4711"`
	Name     string    `json:"name" doc:"The company's name." example:"Contoso Ltd"`
	Tenant   string    `json:"tenant,omitempty" format:"uuid" doc:"The only tenant that may be connected; absent if the vendor named none." example:"3f1c9d52-7b0e-4c7e-9a53-2f6f1f7b8a10"`
	Settings Settings  `json:"settings" doc:"What is synced, and of whom."`
	Schedule *Schedule `json:"schedule,omitempty" doc:"When it is synced; absent while the service's own interval holds."`
	Guard    *Guard    `json:"guard,omitempty" doc:"The connection's own limits of removals; absent while the service's hold."`
}

// ImportRequest is an [Export] sent back.
type ImportRequest struct {
	Version int    `json:"version" minimum:"1" maximum:"1" doc:"Of the format: 1." example:"1"`
	Company string `json:"company" minLength:"1" maxLength:"128" doc:"The vendor's own key for the company. Without control or formatting characters and without white space at the ends." example:"customer-4711"`
	Name    string `json:"name" minLength:"1" maxLength:"256" doc:"The company's name as its administrator will read it. Without control or formatting characters and without white space at the ends." example:"Contoso Ltd"`
	Tenant  string `json:"tenant,omitempty" pattern:"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$" patternDescription:"a GUID" doc:"The company's tenant, if the vendor named one. No other can then be connected." example:"3f1c9d52-7b0e-4c7e-9a53-2f6f1f7b8a10"`

	Settings settingsChange `json:"settings,omitempty" doc:"What is synced, and of whom. What is not named is as recommended." example:"{\"mailboxes\":true,\"guests\":false}"`
	Schedule scheduleChange `json:"schedule,omitempty" doc:"When it is synced. Absent or null, it is synced at the service's own interval." example:"{\"every\":\"daily\",\"at\":\"06:30\",\"zone\":\"Europe/Amsterdam\"}"`
	Guard    guardChange    `json:"guard,omitempty" doc:"The connection's own limits of removals, all of them. Absent or null, the service's hold." example:"{\"maxCount\":50,\"maxPercent\":20,\"maxTeams\":10,\"maxMemberships\":500}"`
}

// invitation is what POST /v1/connections would be sent.
func (b *ImportRequest) invitation() ConnectionRequest {
	return ConnectionRequest{b.Company, b.Name, b.Tenant, b.Settings, b.Schedule}
}

// Resolve checks what a schema cannot say, as for an invitation.
func (b *ImportRequest) Resolve(c huma.Context, at *huma.PathBuffer) []error {
	invitation := b.invitation()
	return slices.Concat(invitation.Resolve(c, at), b.Guard.gaps(at))
}

type importRequest struct {
	Caller
	Body ImportRequest
	id   string // the new connection's
}

// Resolve draws the ID, under which the import is noted before it is made.
func (r *importRequest) Resolve(huma.Context) []error {
	r.id = connection.NewID()
	return nil
}

func (r *importRequest) target() string { return r.id }

func (a *API) exportRoutes() {
	register(a, huma.Operation{
		OperationID: "export-connection", Method: http.MethodGet, Path: "/v1/connections/{id}/export",
		Tags: []string{tagOperations}, Summary: "Export a connection",
		Description: "How the connection is set, in the form that POST /v1/operations/import takes, here or at another deployment. Not in it: people and whatever else is stored, links, approvals, the tenant that was proven, an app registration of its own.",
		Errors:      []int{404, 409},
	}, a.export)
	change(a, huma.Operation{
		OperationID: "import-connection", Method: http.MethodPost, Path: "/v1/operations/import",
		DefaultStatus: http.StatusCreated, Tags: []string{tagOperations}, Summary: "Import a connection",
		Description: "Makes a new connection, set as the exported one was, and answers its secure link. It is invited: the company's administrator has to consent. Every call makes one, also of a company that has a connection here.",
	}, audited("connection.import", func(in *importRequest) map[string]string {
		invitation := in.Body.invitation()
		d := invitation.detail()
		maps.Copy(d, in.Body.Guard.detail())
		return d
	}), func(ctx context.Context, in *importRequest) (*created, error) {
		return a.invite(ctx, in.id, in.Actor, in.Body.invitation(), in.Body.Guard.guard(), true)
	})
}

func (a *API) export(ctx context.Context, in *Target) (*one[Export], error) {
	c, err := a.connection(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if c.Name == "" {
		return nil, problem(codePurging, "The connection's data is purged, and its name with it, so there is nothing to import again.")
	}
	v := a.shapeConnection(&c, c.Status)
	return &one[Export]{Export{
		Version: exportVersion, Company: v.Company, Name: v.Name, Tenant: v.NamedTenant, Settings: shapeSettings(c.Chosen()), Schedule: v.Schedule, Guard: v.Guard,
	}}, nil
}

// guard is what is set: nil for the service's own limits.
func (g *guardChange) guard() *connection.Guard {
	l := g.limits
	if l == nil {
		return nil
	}
	return &connection.Guard{MaxCount: *l.MaxCount, MaxPercent: *l.MaxPercent, MaxTeams: *l.MaxTeams, MaxMemberships: *l.MaxMemberships}
}

// gaps refuses limits of which one is null, which huma lets pass.
func (g *guardChange) gaps(at *huma.PathBuffer) []error {
	if l := g.limits; l != nil && (l.MaxCount == nil || l.MaxPercent == nil || l.MaxTeams == nil || l.MaxMemberships == nil) {
		return []error{&huma.ErrorDetail{Location: at.With("guard"), Message: "expected four integers: maxCount, maxPercent, maxTeams and maxMemberships"}}
	}
	return nil
}

// detail is what the request names, for the audit log.
func (g *guardChange) detail() map[string]string {
	l := g.limits
	switch {
	case !g.given:
		return nil
	case l == nil:
		return map[string]string{"guard": "null"}
	}
	return map[string]string{
		"maxCount": strconv.Itoa(*l.MaxCount), "maxPercent": strconv.Itoa(*l.MaxPercent),
		"maxTeams": strconv.Itoa(*l.MaxTeams), "maxMemberships": strconv.Itoa(*l.MaxMemberships),
	}
}
