package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Governor stops, resumes and ends connections. All return [fault.NotFound]
// for an unknown connection, and [fault.Conflict] for what the connection's
// status does not allow, with a code that [worded] knows where the API has a
// problem of its own for it.
type Governor interface {
	Pause(ctx context.Context, id, actor string) (connection.Connection, error)
	Resume(ctx context.Context, id, actor string) (connection.Connection, error)
	// Offboard may be repeated, and asked to purge what was kept before.
	Offboard(ctx context.Context, id string, purge bool, actor string) (connection.Connection, error)
	// Transfer returns the connection for which the tenant is reserved then.
	Transfer(ctx context.Context, from, to, actor string) (connection.Connection, error)
}

// What becomes of the stored data at the end.
const (
	dataKept   = "keep"
	dataPurged = "purge"
)

type governRequest struct {
	Caller
	Target
}

type offboardRequest struct {
	Caller
	Target
	Data string `query:"data" required:"true" enum:"keep,purge" doc:"keep: what is stored stays and can be read. purge: all of it is deleted for good, but for the connection's own tombstone and its audit log." example:"purge"`
}

type transferRequest struct {
	Caller
	Target
	Body TransferRequest
}

// TransferRequest names who gets the tenant.
type TransferRequest struct {
	To string `json:"to" pattern:"^[a-z0-9-]{1,64}$" patternDescription:"the ID of a connection" doc:"The connection that the tenant is for now, as a rule another company's. It must be waiting for its administrator, have no tenant, and be meant for no other." example:"aaaq2x5n3jd4mzs6ab2chtwyeu"`
}

// ended answers 202 while a purge is under way.
type ended struct {
	Status int
	Body   Connection
}

func (a *API) lifecycleRoutes() {
	moves := audited("transfer", func(in *transferRequest) map[string]string { return map[string]string{"to": in.Body.To} })
	moves.ended = true
	change(a, huma.Operation{
		OperationID: "pause-connection", Method: http.MethodPost, Path: "/v1/connections/{id}/pause",
		DefaultStatus: http.StatusOK, Tags: []string{tagConnections}, Summary: "Pause syncs",
		Description: "Lets no run begin until somebody resumes; one that is under way ends within minutes, as stopped, when its next slice begins. What is stored stays as it is and can be read. Repeated, it changes nothing.",
		Errors:      []int{404, 409},
	}, audited[governRequest]("pause", nil), func(ctx context.Context, in *governRequest) (*one[Connection], error) {
		c, err := a.Governor.Pause(ctx, in.ID, in.Actor)
		return a.governed(ctx, &c, err)
	})
	change(a, huma.Operation{
		OperationID: "resume-connection", Method: http.MethodPost, Path: "/v1/connections/{id}/resume",
		DefaultStatus: http.StatusOK, Tags: []string{tagConnections}, Summary: "Resume syncs",
		Description: "Ends a pause: the connection returns to the status that it had, and is synced by its schedule again, at once if a slot has passed meanwhile. Repeated, it changes nothing.",
		Errors:      []int{404, 409},
	}, audited[governRequest]("resume", nil), func(ctx context.Context, in *governRequest) (*one[Connection], error) {
		c, err := a.Governor.Resume(ctx, in.ID, in.Actor)
		return a.governed(ctx, &c, err)
	})
	change(a, huma.Operation{
		OperationID: "transfer-connection", Method: http.MethodPost, Path: "/v1/connections/{id}/transfer",
		DefaultStatus: http.StatusOK, Tags: []string{tagConnections}, Summary: "Transfer the tenant to another connection",
		Description: "Takes the tenant from this connection and reserves it for another one, as when one company takes over another's; nothing else ever does. " +
			"This connection ends: its runs stop, and its data is kept until somebody purges it. The answer is the other connection: only by its link can the tenant be connected now, and its administrator has to consent. " +
			"Its first sync then reads the whole tenant; what is stored of this one is not copied. Repeated, the call changes nothing.",
		Errors: []int{404, 409},
	}, moves, a.transfer)

	ends := audited("offboard", func(in *offboardRequest) map[string]string { return map[string]string{"data": in.Data} })
	ends.ended = true
	change(a, huma.Operation{
		OperationID: "offboard-connection", Method: http.MethodDelete, Path: "/v1/connections/{id}",
		DefaultStatus: http.StatusOK, Tags: []string{tagConnections}, Summary: "Offboard a connection",
		Description: "Ends the connection for good: no run goes on or begins, its links are dead and its tenant is free to be connected anew. " +
			"The answer's revoke says what the customer's administrator removes in Microsoft Entra, and where: Rollcall cannot do that. The connection itself stays as a tombstone, with its audit log. " +
			"The parameter data has no default: who ends a connection says what becomes of the data. " +
			"With data=purge everything else that is stored of it is deleted, messages that wait in queues included, and looked for again: 202 is answered until offboarding.purged says that nothing was found. " +
			"What was kept can be purged later by another call; what was purged cannot be brought back, and keep is then refused. Otherwise a repeated call changes nothing. " +
			"If the connection had an app registration of its own, delete its Key Vault secret rollcall-app-<connection ID> too.",
		Responses: map[string]*huma.Response{"202": a.purging()}, Errors: []int{404, 409},
	}, ends, a.offboard)
}

// purging describes the answer while a purge is under way.
func (a *API) purging() *huma.Response {
	r := listed[Connection](a)["200"]
	r.Description = "The purge is under way; GET the connection until offboarding.purged is there."
	return r
}

// governed answers what a governor did.
func (a *API) governed(ctx context.Context, c *connection.Connection, err error) (*one[Connection], error) {
	if err != nil {
		return nil, err
	}
	return &one[Connection]{a.changed(ctx, c)}, nil
}

func (a *API) transfer(ctx context.Context, in *transferRequest) (*one[Connection], error) {
	unfit := problem(codeValidation, "The tenant cannot be transferred to this connection.").
		at("body.to", "expected the ID of another connection")
	if in.Body.To == in.ID {
		return nil, unfit
	}
	c, err := a.Governor.Transfer(ctx, in.ID, in.Body.To, in.Actor)
	if fault.Is(err, fault.NotFound) { // the one in the path is there
		return nil, unfit
	}
	return a.governed(ctx, &c, err)
}

func (a *API) offboard(ctx context.Context, in *offboardRequest) (*ended, error) {
	c, err := a.Governor.Offboard(ctx, in.ID, in.Data == dataPurged, in.Actor)
	if err != nil {
		return nil, err
	}
	out := &ended{http.StatusOK, a.changed(ctx, &c)}
	if o := c.Offboarding; o != nil && o.Purge && o.Purged.IsZero() {
		out.Status = http.StatusAccepted
	}
	return out, nil
}
