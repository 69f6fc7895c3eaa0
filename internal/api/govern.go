package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
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
	Caller
	Target
	Body LinkRequest
}

// LinkRequest renews or revokes a secure link.
type LinkRequest struct {
	Action string `json:"action" enum:"resend,revoke" doc:"resend: a new link with a new expiry; the old one dies. revoke: the link dies, and there is none until one is resent." example:"resend"`
}

func (a *API) governRoutes() {
	change(a, huma.Operation{
		OperationID: "approve-person", Method: http.MethodPost, Path: "/v1/connections/{id}/approval",
		DefaultStatus: http.StatusOK, Tags: []string{tagConnections}, Summary: "Vouch for a person",
		Description: "Allows one person without an administrator role to bind that person's tenant to this connection. " +
			"Without it, whoever follows the link must be a Global or Privileged Role Administrator. A second call replaces the first.",
		Errors: []int{404, 409},
	}, audited("approval.give", func(in *approveRequest) map[string]string {
		return map[string]string{"tenant": strings.ToLower(in.Body.Tenant), "object": strings.ToLower(in.Body.Object)}
	}), a.approve)
	change(a, huma.Operation{
		OperationID: "withdraw-approval", Method: http.MethodDelete, Path: "/v1/connections/{id}/approval",
		Tags: []string{tagConnections}, Summary: "Withdraw an approval",
		Description: "After it, nobody is vouched for; also if nobody was. A tenant that is connected already stays so.",
		Errors:      []int{404, 409},
	}, audited[governRequest]("approval.withdraw", nil), a.withdraw)
	change(a, huma.Operation{
		OperationID: "change-link", Method: http.MethodPost, Path: "/v1/connections/{id}/link",
		DefaultStatus: http.StatusOK, Tags: []string{tagConnections}, Summary: "Resend or revoke the secure link",
		Description: "Every earlier link of the connection stops working at once. Links serve until a tenant is connected, and again when somebody has to consent anew: after a failure, when the customer has withdrawn the app, or when the settings need more than was consented to.",
		Errors:      []int{404, 409},
	}, trail[linkRequest]{
		actions: []string{"link.resend", "link.revoke"},
		acts:    func(in *linkRequest) []act { return []act{{"link." + in.Body.Action, nil}} },
	}, a.link)
}

func (a *API) approve(ctx context.Context, in *approveRequest) (*one[Connection], error) {
	if strings.EqualFold(in.Body.Tenant, connection.PersonalTenant) {
		return nil, personal("body.tenant")
	}
	p := connection.Approval{
		Tenant: strings.ToLower(in.Body.Tenant), Object: strings.ToLower(in.Body.Object),
		By: in.Actor, At: a.Now().UTC().Truncate(time.Second),
	}
	c, err := a.update(ctx, in.ID, func(c *connection.Connection) error {
		if err := mayBind(c); err != nil {
			return err
		}
		if c.NamedTenant != "" && c.NamedTenant != p.Tenant {
			return problem(codeValidation, "The connection is meant for another tenant.").
				at("body.tenant", "expected the tenant that was named for the connection, "+c.NamedTenant)
		}
		c.Approved = &p
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &one[Connection]{a.changed(ctx, &c)}, nil
}

func (a *API) withdraw(ctx context.Context, in *governRequest) (*struct{}, error) {
	_, err := a.update(ctx, in.ID, func(c *connection.Connection) error {
		c.Approved = nil
		return nil
	})
	return nil, err
}

func (a *API) link(ctx context.Context, in *linkRequest) (*one[Connection], error) {
	resend := in.Body.Action == "resend"
	c, err := a.update(ctx, in.ID, func(c *connection.Connection) error {
		if err := mayBind(c); err != nil {
			return err
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
	v := a.changed(ctx, &c)
	if resend {
		v.Link = a.Linker.URL(c)
	}
	return &one[Connection]{v}, nil
}

// mayBind refuses whom nobody can or need consent for any more. After a
// failure somebody may have to, by a new link, in the tenant that is bound
// already.
func mayBind(c *connection.Connection) error {
	switch {
	case c.MayConsent() || c.Status == connection.Consenting:
		return nil
	case c.Status == connection.Paused:
		return idle(c)
	default:
		return problem(codeConnected, "The connection has its tenant, and nobody needs to consent again.")
	}
}
