package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/fault"
)

// Group is a group of the tenant that may serve as a scope.
type Group struct {
	ID          string `json:"id" format:"uuid" doc:"The group's object ID, for settings.groups." example:"6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94"`
	DisplayName string `json:"displayName,omitempty" example:"All of Compilers"`
	Description string `json:"description,omitempty"`
	Mail        string `json:"mail,omitempty" example:"compilers@contoso.com"`
	Visibility  string `json:"visibility,omitempty" doc:"Who sees it, as Microsoft writes it." example:"Private"`
	Kind        string `json:"kind,omitempty" enum:"team,security,other" doc:"team: in Microsoft Teams. security: a group with rights. Any of them may serve as a scope." example:"security"`
	Dynamic     bool   `json:"dynamic" doc:"Whether a rule of the customer's decides who is a member." example:"false"`
}

// GroupList is what a search has found.
type GroupList struct {
	Groups []Group `json:"groups" nullable:"false" doc:"At most 25."`
}

type groupsRequest struct {
	Target
	Search string `query:"search" required:"true" minLength:"2" maxLength:"64" doc:"What the group's name begins with, or a word of it: 2 to 64 characters, without control or formatting characters." example:"compilers"`
}

// Resolve checks what a schema cannot say.
func (r *groupsRequest) Resolve(huma.Context) (errs []error) {
	if msg := checkText(r.Search); msg != "" && r.Search != "" {
		errs = append(errs, &huma.ErrorDetail{Location: "query.search", Message: msg})
	}
	return errs
}

func (a *API) groupRoutes() {
	register(a, huma.Operation{
		OperationID: "search-groups", Method: http.MethodGet, Path: "/v1/connections/{id}/groups",
		Tags: []string{tagDirectory}, Summary: "Search the tenant's groups",
		Description: "Asks Microsoft at once, for the choice of a scope group; nothing of it is stored. At most 25 groups are answered: search for more of the name if the one wanted is not among them. " +
			"Microsoft finds a new group after some minutes.",
		Errors: []int{400, 404, 409},
	}, a.groups)
}

func (a *API) groups(ctx context.Context, in *groupsRequest) (*one[GroupList], error) {
	c, err := a.connection(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if !c.Live() {
		return nil, idle(&c)
	}
	found, err := a.Groups.SearchGroups(ctx, c.Access(), in.Search)
	if fault.Is(err, fault.Invalid) { // the remedy of Graph's 400 is for runs
		err = fault.New(fault.Invalid, "%w", err).
			WithRemedy("Search for another word of the group's name, of letters and digits only.")
	}
	if err != nil {
		return nil, err
	}
	v := GroupList{Groups: make([]Group, len(found))}
	for i, g := range found {
		v.Groups[i] = Group{
			ID: g.ID, DisplayName: g.DisplayName, Description: g.Description, Mail: g.Mail, Visibility: g.Visibility,
			Kind: string(g.Kind), Dynamic: g.Dynamic,
		}
	}
	return &one[GroupList]{v}, nil
}
