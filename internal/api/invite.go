package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Again is leave to make a connection of a company that has one.
type Again struct {
	Again bool `query:"again" doc:"true to make another connection of a company that has one already."`
}

// againInWords ends the descriptions of what makes connections.
const againInWords = " A company that has a connection already, which was not offboarded, is refused with 409, which names that connection: nearly always a new link for it is what is wanted. " +
	"With again=true another one is made all the same, with a link of its own; only one of them can connect a given tenant."

type createRequest struct {
	Caller
	Again
	Body ConnectionRequest
	id   string // the new connection's
}

// Resolve draws the ID, under which the invitation is noted before it is made.
func (r *createRequest) Resolve(huma.Context) []error {
	r.id = connection.NewID()
	return nil
}

func (r *createRequest) target() string { return r.id }

// ConnectionRequest invites a company.
type ConnectionRequest struct {
	Company string `json:"company" minLength:"1" maxLength:"128" doc:"The vendor's own key for the company. Without control or formatting characters and without white space at the ends." example:"customer-4711"`
	Name    string `json:"name" minLength:"1" maxLength:"256" doc:"The company's name as its administrator will read it. Without control or formatting characters and without white space at the ends." example:"Contoso Ltd"`
	Tenant  string `json:"tenant,omitempty" pattern:"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$" patternDescription:"a GUID" doc:"The company's tenant, if the vendor knows it. No other can then be connected." example:"3f1c9d52-7b0e-4c7e-9a53-2f6f1f7b8a10"`

	Settings settingsChange `json:"settings,omitempty" doc:"What is synced, and of whom. What is not named is as recommended." example:"{\"mailboxes\":true,\"guests\":false}"`
	Schedule scheduleChange `json:"schedule,omitempty" doc:"When it is synced. Absent or null, it is synced at the service's own interval." example:"{\"every\":\"daily\",\"at\":\"06:30\",\"zone\":\"Europe/Amsterdam\"}"`
}

// Resolve checks what a schema cannot say.
func (b *ConnectionRequest) Resolve(_ huma.Context, at *huma.PathBuffer) (errs []error) {
	for _, f := range []struct{ name, value string }{{"company", b.Company}, {"name", b.Name}} {
		if msg := checkText(f.value); msg != "" {
			errs = append(errs, &huma.ErrorDetail{Location: at.With(f.name), Message: msg})
		}
	}
	return slices.Concat(errs, b.Settings.nulls(at), b.Schedule.nulls(at))
}

type created struct {
	Location string `header:"Location" doc:"The path of the new connection."`
	Body     Connection
}

func (a *API) inviteRoute() {
	change(a, huma.Operation{
		OperationID: "create-connection", Method: http.MethodPost, Path: "/v1/connections",
		DefaultStatus: http.StatusCreated, Tags: []string{tagConnections},
		Summary:     "Invite a company",
		Description: "Creates a connection and answers the secure link for the company's administrator. An invitation that nobody follows just expires." + againInWords + settingsInWords + scheduleInWords,
		Errors:      []int{409},
	}, audited("connection.create", func(in *createRequest) map[string]string {
		return in.Body.detail()
	}), func(ctx context.Context, in *createRequest) (*created, error) {
		return a.invite(ctx, in.id, in.Actor, in.Body, nil, in.Again.Again)
	})
}

// detail is what the request names, for the audit log.
func (b *ConnectionRequest) detail() map[string]string {
	d := b.Settings.detail()
	maps.Copy(d, b.Schedule.detail())
	if b.Tenant != "" {
		d["tenant"] = strings.ToLower(b.Tenant)
	}
	return d
}

// invite makes a connection; guard is nil for the service's own limits, again
// is leave to make another one of the same company.
func (a *API) invite(ctx context.Context, id, actor string, in ConnectionRequest, guard *connection.Guard, again bool) (*created, error) {
	if strings.EqualFold(in.Tenant, connection.PersonalTenant) {
		return nil, personal("body.tenant")
	}
	if !again {
		if err := a.firstOf(ctx, in.Company); err != nil {
			return nil, err
		}
	}
	now := a.Now().UTC().Truncate(time.Second)
	c := connection.Connection{
		ID: id, Company: in.Company, Name: in.Name, Guard: guard,
		NamedTenant: strings.ToLower(in.Tenant), Status: connection.Invited,
		Link: 1, LinkExpires: now.Add(a.LinkTTL), CreatedAt: now, CreatedBy: actor,
	}
	if err := in.Settings.apply(&c); err != nil {
		return nil, err
	}
	if err := a.coverable(&c); err != nil {
		return nil, err
	}
	if err := in.Schedule.apply(&c, now); err != nil {
		return nil, err
	}
	err := a.Connections.CreateConnection(ctx, c)
	if fault.Is(err, fault.Conflict) {
		// Nobody else draws the same 130 random bits: it is our own insert,
		// repeated by the store's client after a lost answer.
		_, err = a.Connections.Connection(ctx, c.ID)
	}
	if err != nil {
		return nil, err
	}
	v := a.shapeConnection(&c, c.Status)
	v.Link = a.Linker.URL(c)
	if len(c.Chosen().Groups) > 0 {
		v.Notice = "The scope groups could not be looked for, since no tenant is connected yet; the first sync finds out."
	}
	return &created{Location: "/v1/connections/" + c.ID, Body: v}, nil
}

// personal refuses the tenant of all personal Microsoft accounts.
func personal(field string) *Problem {
	return problem(codeValidation, "This tenant is that of all personal Microsoft accounts, which no company owns: no administrator could connect it.").
		withRemedy("Ask the company's administrator for the tenant ID that the Microsoft Entra admin center shows under Overview, or leave the tenant out: it is proven when they sign in.").
		at(field, "expected the ID of an organization's tenant")
}

// firstOf refuses a company that has a connection. It is a look, not a lock: of
// two calls at the same time both may pass, as with again.
func (a *API) firstOf(ctx context.Context, company string) error {
	for after := ""; ; {
		cs, next, err := a.Connections.Connections(ctx, after, maxLimit)
		if err != nil {
			return err
		}
		for i := range cs {
			if c := &cs[i]; c.Company == company && mayChange(c) == nil {
				return problem(codeInvited, "The company has a connection already: %s, which is %s.", c.ID, c.Status).
					withRemedy("Use that one: POST /v1/connections/"+c.ID+"/link gives a new link while somebody has to consent. To make another connection of the company all the same, send the request with ?again=true.").
					at("body.company", "expected a company without a connection, unless again is true")
			}
		}
		if after = next; after == "" {
			return nil
		}
	}
}
