package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
)

// Guard is how many people a run may archive without a human.
type Guard struct {
	MaxCount   int `json:"maxCount" doc:"The most people; 0 for no such limit." example:"100"`
	MaxPercent int `json:"maxPercent" doc:"The greatest part of those active, in percent; 0 for no such limit. Up to five people are never held for their part." example:"10"`
}

type changeRequest struct {
	Target
	Body ConnectionChangeRequest
}

// ConnectionChangeRequest changes what it names, and nothing else.
type ConnectionChangeRequest struct {
	Guard guardChange `json:"guard,omitempty" doc:"The connection's own limits of removals, both of them; null to go back to the service's. Absent, nothing changes." example:"{\"maxCount\":50,\"maxPercent\":20}"`
}

// GuardRequest sets both limits: one that was left out would have to mean
// something, and no limit at all is the last thing that it should.
type GuardRequest struct {
	MaxCount   *int `json:"maxCount" nullable:"false" minimum:"0" maximum:"1000000" doc:"The most people that a run may archive without a human; 0 for no such limit." example:"50"`
	MaxPercent *int `json:"maxPercent" nullable:"false" minimum:"0" maximum:"100" doc:"The greatest part of those active, in percent; 0 for no such limit. Up to five people are never held for their part." example:"20"`
}

// guardChange tells null, which clears the limits, from absence.
type guardChange struct {
	given  bool
	limits *GuardRequest // nil to clear
}

func (g *guardChange) UnmarshalJSON(b []byte) error {
	g.given = true
	return json.Unmarshal(b, &g.limits)
}

// Schema is that of [GuardRequest] with null beside it.
func (*guardChange) Schema(r huma.Registry) *huma.Schema {
	s := huma.SchemaFromType(r, reflect.TypeFor[GuardRequest]())
	s.Nullable = true
	return s
}

// Resolve refuses what huma lets pass: in an object that may be null, it
// takes null for each property too.
func (b *ConnectionChangeRequest) Resolve(_ huma.Context, at *huma.PathBuffer) (errs []error) {
	l := b.Guard.limits
	if l == nil || l.MaxCount != nil && l.MaxPercent != nil {
		return nil
	}
	return []error{&huma.ErrorDetail{Location: at.With("guard"), Message: "expected two integers, maxCount and maxPercent"}}
}

func (a *API) guardRoutes() {
	register(a, huma.Operation{
		OperationID: "change-connection", Method: http.MethodPatch, Path: "/v1/connections/{id}",
		Tags: []string{tagConnections}, Summary: "Change a connection's limits",
		Description: "A run whose removals exceed a limit writes everything else and holds them for a human to decide. " +
			"New limits count from the end of the next run on; a plan that waits already goes on waiting. " +
			"The body is a merge patch: what it does not name stays, null clears.",
		Errors: []int{404, 409},
	}, a.change)
}

func (a *API) change(ctx context.Context, in *changeRequest) (*one[Connection], error) {
	if !in.Body.Guard.given {
		c, err := a.connection(ctx, in.ID)
		return &one[Connection]{shapeConnection(&c)}, err
	}
	var guard *connection.Guard
	if l := in.Body.Guard.limits; l != nil {
		guard = &connection.Guard{MaxCount: *l.MaxCount, MaxPercent: *l.MaxPercent}
	}
	c, err := a.update(ctx, in.ID, func(c *connection.Connection) error {
		c.Guard = guard
		return nil
	})
	return &one[Connection]{shapeConnection(&c)}, err
}
