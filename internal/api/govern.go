package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

type approveRequest struct {
	Caller
	Target
	Body ApprovalRequest
}

// ApprovalRequest vouches for one person of one tenant.
type ApprovalRequest struct {
	Tenant string `json:"tenant" pattern:"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$" patternDescription:"a GUID" doc:"The person's tenant, as the page showed it (tid)." example:"3f1c9d52-7b0e-4c7e-9a53-2f6f1f7b8a10"`
	Object string `json:"object" pattern:"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$" patternDescription:"a GUID" doc:"The person's object ID (oid)." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
}

type linkRequest struct {
	Target
	Body LinkRequest
}

// LinkRequest renews or revokes a secure link.
type LinkRequest struct {
	Action string `json:"action" enum:"resend,revoke" doc:"resend: a new link with a new expiry; the old one dies. revoke: the link dies, and there is none until one is resent." example:"resend"`
}

func (a *API) governRoutes() {
	register(a, huma.Operation{
		OperationID: "approve-person", Method: http.MethodPost, Path: "/v1/connections/{id}/approval",
		DefaultStatus: http.StatusOK, Tags: []string{tagConnections}, Summary: "Vouch for a person",
		Description: "Allows one person without an administrator role to bind that person's tenant to this connection. " +
			"Without it, whoever follows the link must be a Global or Privileged Role Administrator. A second call replaces the first.",
		Errors: []int{404, 409},
	}, a.approve)
	register(a, huma.Operation{
		OperationID: "withdraw-approval", Method: http.MethodDelete, Path: "/v1/connections/{id}/approval",
		Tags: []string{tagConnections}, Summary: "Withdraw an approval",
		Description: "After it, nobody is vouched for; also if nobody was. A tenant that is connected already stays so.",
		Errors:      []int{404, 409},
	}, a.withdraw)
	register(a, huma.Operation{
		OperationID: "change-link", Method: http.MethodPost, Path: "/v1/connections/{id}/link",
		DefaultStatus: http.StatusOK, Tags: []string{tagConnections}, Summary: "Resend or revoke the secure link",
		Description: "Every earlier link of the connection stops working at once. Links serve only until a tenant is connected.",
		Errors:      []int{404, 409},
	}, a.link)
}

func (a *API) approve(ctx context.Context, in *approveRequest) (*one[Connection], error) {
	p := connection.Approval{
		Tenant: strings.ToLower(in.Body.Tenant), Object: strings.ToLower(in.Body.Object),
		By: in.Actor, At: a.Now().UTC().Truncate(time.Second),
	}
	c, err := a.update(ctx, in.ID, func(c *connection.Connection) error {
		if bound(c) {
			return problem(codeConnected, "The connection has its tenant, and nobody needs to consent again.")
		}
		if c.NamedTenant != "" && c.NamedTenant != p.Tenant {
			return problem(codeValidation, "The connection is meant for another tenant.").
				at("body.tenant", "expected the tenant that was named for the connection, "+c.NamedTenant)
		}
		c.Approved = &p
		return nil
	})
	return &one[Connection]{shapeConnection(&c)}, err
}

func (a *API) withdraw(ctx context.Context, in *Target) (*struct{}, error) {
	_, err := a.update(ctx, in.ID, func(c *connection.Connection) error {
		c.Approved = nil
		return nil
	})
	return nil, err
}

func (a *API) link(ctx context.Context, in *linkRequest) (*one[Connection], error) {
	resend := in.Body.Action == "resend"
	c, err := a.update(ctx, in.ID, func(c *connection.Connection) error {
		if bound(c) {
			return problem(codeConnected, "The connection has its tenant, and nobody needs to consent again.")
		}
		c.Link++
		c.LinkExpires = time.Time{}
		if resend {
			c.LinkExpires = a.Now().UTC().Truncate(time.Second).Add(a.LinkTTL)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	v := shapeConnection(&c)
	if resend {
		v.Link = a.Linker.URL(c)
	}
	return &one[Connection]{v}, nil
}

// bound reports whether nobody can or need consent any more. After a failure
// somebody may have to, by a new link, in the tenant that is bound already.
func bound(c *connection.Connection) bool {
	return !c.MayConsent() && c.Status != connection.Consenting
}

// maxUpdates is how often a change is tried against other writers. A
// connection has few: a scheduler, one worker and the people who govern it.
const maxUpdates = 5

// update applies change to what is stored, again if another writer was
// faster. It returns what is then stored.
func (a *API) update(ctx context.Context, id string, change func(*connection.Connection) error) (connection.Connection, error) {
	for try := 1; ; try++ {
		c, err := a.connection(ctx, id)
		if err != nil {
			return c, err
		}
		if err := change(&c); err != nil {
			return c, err
		}
		stored, err := a.Connections.UpdateConnection(ctx, c)
		if fault.Is(err, fault.Conflict) && try < maxUpdates {
			continue
		}
		return stored, err
	}
}
