package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/http"
	"slices"
	"sort"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/directory"
)

// Team is a stored team or security group as the API shows it.
type Team struct {
	ID          string `json:"id" format:"uuid" doc:"The group's object ID." example:"6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94"`
	DisplayName string `json:"displayName,omitempty" example:"Compilers"`
	Description string `json:"description,omitempty"`
	Mail        string `json:"mail,omitempty" example:"compilers@contoso.com"`
	Visibility  string `json:"visibility,omitempty" doc:"Who sees it, as Microsoft writes it." example:"Private"`
	Kind        string `json:"kind" enum:"team,security" doc:"team: in Microsoft Teams. security: a group with rights." example:"team"`
	Dynamic     bool   `json:"dynamic" doc:"Whether a rule of the customer's decides who is a member." example:"false"`
	Waiting
	Life
}

func shapeTeam(t *directory.TeamRecord) Team {
	return Team{
		ID: t.ID, DisplayName: t.DisplayName, Description: t.Description, Mail: t.Mail, Visibility: t.Visibility,
		Kind: string(t.Kind), Dynamic: t.Dynamic, Waiting: shapeWaiting(&t.Life), Life: shapeLife(&t.Life),
	}
}

// TeamDetail is a team with the number of its members.
type TeamDetail struct {
	Team
	Members int `json:"members" doc:"How many users are direct members, stored or not." example:"12"`
}

// TeamPage is a page of teams.
type TeamPage struct {
	Teams []Team `json:"teams" nullable:"false" doc:"In ID order, archived teams included."`
	Page
}

// Member is one direct member of a team.
type Member struct {
	ID          string `json:"id" format:"uuid" doc:"The user's object ID." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
	DisplayName string `json:"displayName,omitempty" doc:"Absent if the person is not stored." example:"Grace Hopper"`
	Stored      bool   `json:"stored" doc:"Whether the person is in the directory: whom the settings do not choose is not." example:"true"`
	Active      bool   `json:"active" doc:"Whether the person is stored and not archived." example:"true"`
}

// MemberPage is a page of members.
type MemberPage struct {
	Members []Member `json:"members" nullable:"false" doc:"In ID order."`
	Page
}

type teamsRequest struct {
	Target
	PageQuery
	Kind string `query:"kind" enum:"team,security" doc:"Only teams of this kind."`
}

// TeamTarget is the team that a path names.
type TeamTarget struct {
	Target
	Team string `path:"team" doc:"The team's ID: the group's object ID, a GUID in lower case." example:"6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94"`
}

type membersRequest struct {
	TeamTarget
	PageQuery
}

func (a *API) teamRoutes() {
	register(a, huma.Operation{
		OperationID: "list-teams", Method: http.MethodGet, Path: "/v1/connections/{id}/teams",
		Tags: []string{tagDirectory}, Summary: "List teams",
		Description: "All teams and security groups stored, archived ones included, as far as the filter lets them pass." + filtersInWords + pagesInWords,
		Responses:   listed[TeamPage](a), Errors: []int{400, 404},
	}, a.teams)
	register(a, huma.Operation{
		OperationID: "read-team", Method: http.MethodGet, Path: "/v1/connections/{id}/teams/{team}",
		Tags: []string{tagDirectory}, Summary: "Read a team", Description: "One team, archived or not, with the number of its members.",
		Errors: []int{404},
	}, a.team)
	register(a, huma.Operation{
		OperationID: "list-members", Method: http.MethodGet, Path: "/v1/connections/{id}/teams/{team}/members",
		Tags: []string{tagDirectory}, Summary: "List a team's members",
		Description: "The users who are direct members, whether they are stored as people or not; members of nested groups are not among them." + pagesInWords,
		Responses:   listed[MemberPage](a), Errors: []int{400, 404},
	}, a.members)
}

func (a *API) teams(ctx context.Context, in *teamsRequest) (*huma.StreamResponse, error) {
	of := in.ID
	if in.Kind != "" {
		of += "?" + in.Kind
	}
	after, err := resume(listTeams, of, in.Continuation)
	if err != nil {
		return nil, err
	}
	if _, err := a.connection(ctx, in.ID); err != nil {
		return nil, err
	}
	read := func(ctx context.Context, after string, n int) ([]directory.TeamRecord, string, error) {
		return a.Teams.Teams(ctx, in.ID, after, n)
	}
	feed := follow(&after, read, shapeTeam)
	if in.Kind != "" {
		feed = sift(&after, read, func(t *directory.TeamRecord) string { return t.ID },
			func(t *directory.TeamRecord) bool { return string(t.Kind) == in.Kind }, shapeTeam)
	}
	return stream(ctx, a, list[Team]{
		operation: "list-teams", field: "teams", limit: in.Limit, feed: feed,
		tail: func(bool) any { return Page{continuation(listTeams, of, after)} },
	})
}

func (a *API) team(ctx context.Context, in *TeamTarget) (*one[TeamDetail], error) {
	t, err := a.storedTeam(ctx, in)
	if err != nil {
		return nil, err
	}
	members, err := a.roster(ctx, in.ID, in.Team)
	return &one[TeamDetail]{TeamDetail{shapeTeam(&t), len(members)}}, err
}

// storedTeam reads the team that a path names.
func (a *API) storedTeam(ctx context.Context, in *TeamTarget) (t directory.TeamRecord, err error) {
	if _, err := a.connection(ctx, in.ID); err != nil {
		return t, err
	}
	if _, ok := directory.Key(in.Team); !ok {
		return t, missingTeam("path.team")
	}
	stored, err := a.Teams.TeamRecords(ctx, in.ID, []string{in.Team})
	if err != nil {
		return t, err
	}
	t, ok := stored[in.Team]
	if !ok {
		return t, missingTeam("path.team")
	}
	return t, nil
}

func missingTeam(field string) *Problem {
	return problem(codeNotFound, "The connection has no team with this ID.").
		withRemedy("Check the ID; GET /v1/connections/{id}/teams lists the teams.").at(field, "expected the ID of a team")
}

func (a *API) members(ctx context.Context, in *membersRequest) (*huma.StreamResponse, error) {
	of := in.ID + "/" + in.Team
	after, err := resume(listMembers, of, in.Continuation)
	if err != nil {
		return nil, err
	}
	if _, err := a.storedTeam(ctx, &in.TeamTarget); err != nil {
		return nil, err
	}
	keys, err := a.roster(ctx, in.ID, in.Team)
	if err != nil {
		return nil, err
	}
	read := func(ctx context.Context, after string, n int) ([]Member, string, error) {
		ids, next := following(keys, after, n)
		stored, err := a.Directory.Records(ctx, in.ID, ids)
		if err != nil {
			return nil, "", err
		}
		page := make([]Member, len(ids))
		for i, id := range ids {
			r, ok := stored[id]
			page[i] = Member{ID: id, DisplayName: r.DisplayName, Stored: ok, Active: ok && r.Active()}
		}
		return page, next, nil
	}
	return stream(ctx, a, list[Member]{
		operation: "list-members", field: "members", limit: in.Limit,
		feed: follow(&after, read, func(m *Member) Member { return *m }),
		tail: func(bool) any { return Page{continuation(listMembers, of, after)} },
	})
}

// roster is a team's direct members in ID order; none for an unknown team. It
// takes 16 bytes a member, a few megabytes for the largest group there is.
func (a *API) roster(ctx context.Context, id, team string) ([][16]byte, error) {
	rows, err := a.Teams.Rosters(ctx, id, team)
	if err != nil {
		return nil, err
	}
	var keys [][16]byte
	for i := range rows {
		for j := range rows[i].Members {
			keys = append(keys, rows[i].Members[j].Key)
		}
	}
	slices.SortFunc(keys, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	return keys, nil
}

// following is the first n IDs after the given one, and the ID to go on
// after, empty at the end.
func following(keys [][16]byte, after string, n int) (ids []string, next string) {
	from := sort.Search(len(keys), func(i int) bool { return guid(keys[i]) > after })
	rest := keys[from:]
	for _, k := range rest[:min(n, len(rest))] {
		ids = append(ids, guid(k))
	}
	if len(rest) > n {
		next = ids[n-1]
	}
	return ids, next
}

// teamPeople reads those members of a team who are stored, page by page.
func (a *API) teamPeople(ctx context.Context, id, team string) (func(context.Context, string, int) ([]directory.Record, string, error), error) {
	keys, err := a.roster(ctx, id, team)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, after string, n int) (page []directory.Record, next string, err error) {
		ids, next := following(keys, after, n)
		stored, err := a.Directory.Records(ctx, id, ids)
		if err != nil {
			return nil, "", err
		}
		for _, id := range ids {
			if r, ok := stored[id]; ok {
				page = append(page, r)
			}
		}
		return page, next, nil
	}, nil
}

// guid is the ID that [directory.Key] made the key of.
func guid(k [16]byte) string {
	h := hex.EncodeToString(k[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
