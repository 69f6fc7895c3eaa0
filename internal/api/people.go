package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/directory"
)

// Life is what is known of a record beside what Microsoft says.
type Life struct {
	Active     bool       `json:"active" doc:"False for who or what is gone; the record stays." example:"true"`
	ArchivedAt *time.Time `json:"archivedAt,omitempty" doc:"When it was archived; absent while active."`
	Reason     string     `json:"reason,omitempty" enum:"softDeleted,deleted,missing,outOfScope" doc:"How it is known to be gone. softDeleted: deleted, and restorable for 30 days. deleted: for good. missing: no longer listed, and confirmed to be gone. outOfScope: still in the tenant, and no longer among those whom the settings choose."`
	CreatedAt  time.Time  `json:"createdAt" doc:"When the record was first stored." example:"2026-11-21T09:40:03Z"`
	LastChange int64      `json:"lastChange" doc:"The number of this record's newest change." example:"17"`
}

func shapeLife(l *directory.Life) Life {
	return Life{
		Active: l.Active(), ArchivedAt: when(l.Archived), Reason: string(l.Reason),
		CreatedAt: second(l.Created), LastChange: l.Changed,
	}
}

// Waiting is whether a removal is proposed.
type Waiting struct {
	Removal string `json:"removal,omitempty" enum:"pending,held,kept" doc:"What has become of a removal that was proposed; absent if none was. pending: it is judged at the end of a run. held: it is part of a plan that waits for a human. kept: a human has rejected it, and it is not proposed again until the record's subject reappears and leaves."`
}

func shapeWaiting(l *directory.Life) Waiting {
	switch {
	case l.Held:
		return Waiting{"held"}
	case l.Pending != "":
		return Waiting{"pending"}
	case l.Kept:
		return Waiting{"kept"}
	}
	return Waiting{}
}

// Person is a stored person as the API shows them. A property is absent if
// Microsoft holds no value.
type Person struct {
	ID                string   `json:"id" format:"uuid" doc:"The user's object ID." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
	Mail              string   `json:"mail,omitempty" example:"grace@contoso.com"`
	OtherMails        []string `json:"otherMails,omitempty" nullable:"false"`
	ProxyAddresses    []string `json:"proxyAddresses,omitempty" nullable:"false"`
	UserPrincipalName string   `json:"userPrincipalName,omitempty" example:"grace@contoso.com"`
	DisplayName       string   `json:"displayName,omitempty" example:"Grace Hopper"`
	GivenName         string   `json:"givenName,omitempty" example:"Grace"`
	Surname           string   `json:"surname,omitempty" example:"Hopper"`
	BusinessPhones    []string `json:"businessPhones,omitempty" nullable:"false"`
	MobilePhone       string   `json:"mobilePhone,omitempty"`
	PreferredLanguage string   `json:"preferredLanguage,omitempty" example:"en-US"`
	AccountEnabled    *bool    `json:"accountEnabled,omitempty" example:"true"`
	UserType          string   `json:"userType,omitempty" doc:"Member or Guest." example:"Member"`
	JobTitle          string   `json:"jobTitle,omitempty" example:"Rear Admiral"`
	Position          string   `json:"position,omitempty" doc:"The ID of the position that the job title stands for; absent without a job title." example:"5c1b9d0e7fa2384466d1"`
	Department        string   `json:"department,omitempty" example:"Compilers"`
	OfficeLocation    string   `json:"officeLocation,omitempty"`
	EmployeeID        string   `json:"employeeId,omitempty"`
	EmployeeHireDate  string   `json:"employeeHireDate,omitempty" doc:"RFC 3339, as Microsoft wrote it." example:"2019-04-01T00:00:00Z"`
	AssignedLicenses  []string `json:"assignedLicenses,omitempty" nullable:"false" doc:"SKU IDs."`
	Manager           string   `json:"manager,omitempty" doc:"The manager's object ID."`
	Waiting
	Life
}

func shapePerson(r *directory.Record) Person {
	return Person{
		ID: r.ID, Mail: r.Mail, OtherMails: r.OtherMails, ProxyAddresses: r.ProxyAddresses,
		UserPrincipalName: r.UserPrincipalName, DisplayName: r.DisplayName, GivenName: r.GivenName, Surname: r.Surname,
		BusinessPhones: r.BusinessPhones, MobilePhone: r.MobilePhone, PreferredLanguage: r.PreferredLanguage,
		AccountEnabled: r.AccountEnabled, UserType: r.UserType, JobTitle: r.JobTitle, Position: directory.PositionID(r.JobTitle),
		Department: r.Department, OfficeLocation: r.OfficeLocation, EmployeeID: r.EmployeeID, EmployeeHireDate: r.EmployeeHireDate,
		AssignedLicenses: r.AssignedLicenses, Manager: r.Manager, Waiting: shapeWaiting(&r.Life), Life: shapeLife(&r.Life),
	}
}

type peopleRequest struct {
	Target
	PageQuery
	Position string `query:"position" pattern:"^[0-9a-f]{20}$" patternDescription:"the ID of a position" doc:"Only active people of this position, by its ID."`
	License  string `query:"license" pattern:"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" patternDescription:"a GUID in lower case" doc:"Only active people who hold this license, by its SKU ID."`
	Team     string `query:"team" pattern:"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" patternDescription:"a GUID in lower case" doc:"Only direct members of this team, by its ID; a team that is not stored is 404."`
}

// filter names what is asked for, so that a continuation serves no other
// filter; empty for everybody.
func (r *peopleRequest) filter() string {
	if r.Position == "" && r.License == "" && r.Team == "" {
		return ""
	}
	return "?" + r.Position + "," + r.License + "," + r.Team
}

func (r *peopleRequest) keep(p *directory.Record) bool {
	return (r.Position == "" || p.Active() && directory.PositionID(p.JobTitle) == r.Position) &&
		(r.License == "" || p.Active() && slices.Contains(p.AssignedLicenses, r.License))
}

// PeopleTail ends a page of people.
type PeopleTail struct {
	LastChange int64 `json:"lastChange" doc:"The number of the connection's newest change when this page was begun. All pages, and then the changes after the first page's number, give the exact state." example:"1284"`
	Page
}

// PeoplePage is a page of people.
type PeoplePage struct {
	People []Person `json:"people" nullable:"false" doc:"In ID order, archived people included."`
	PeopleTail
}

// PersonTarget is the person that a path names.
type PersonTarget struct {
	Target
	Person string `path:"person" doc:"The person's ID: the user's object ID, a GUID in lower case." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
}

// PersonDetail is a person with what hangs together with them.
type PersonDetail struct {
	Person
	Line  Line      `json:"line" doc:"The chain of managers upwards, the person's own manager first."`
	Teams []TeamRef `json:"teams,omitzero" nullable:"false" doc:"The active teams of which the person is a direct member; only if asked for."`
}

type personRequest struct {
	PersonTarget
	Teams bool `query:"teams" doc:"Whether to answer the person's teams too. It takes a look at the members of all teams of the connection, which takes long in a large tenant." example:"true"`
}

// Line is a reporting line.
type Line struct {
	Managers []Superior `json:"managers" nullable:"false" doc:"At most 50."`
	Cycle    bool       `json:"cycle,omitempty" doc:"True if the line leads back to somebody in it; it ends before that."`
	Missing  string     `json:"missing,omitempty" doc:"The ID of the next manager, who is not stored; the line ends there."`
	More     bool       `json:"more,omitempty" doc:"True if the line goes on after 50 managers."`
}

// Superior is one manager of a reporting line.
type Superior struct {
	ID          string `json:"id" format:"uuid" doc:"The user's object ID." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
	DisplayName string `json:"displayName,omitempty" example:"Grace Hopper"`
	Archived    bool   `json:"archived" doc:"Whether the manager has left." example:"false"`
}

// TeamRef names a team.
type TeamRef struct {
	ID          string `json:"id" format:"uuid" doc:"The group's object ID." example:"6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94"`
	DisplayName string `json:"displayName,omitempty" example:"Compilers"`
}

func (a *API) peopleRoutes() {
	register(a, huma.Operation{
		OperationID: "list-people", Method: http.MethodGet, Path: "/v1/connections/{id}/people",
		Tags: []string{tagDirectory}, Summary: "List people",
		Description: "Everybody stored, archived people included, as far as the filters let them pass: those by position and license let active people pass only. Together with the changes it gives an exact copy: read all pages, then follow the changes " +
			"from the first page's lastChange on. A change that is in the copy already does nothing when applied again." + filtersInWords + pagesInWords,
		Responses: listed[PeoplePage](a), Errors: []int{400, 404},
	}, a.people)
	register(a, huma.Operation{
		OperationID: "read-person", Method: http.MethodGet, Path: "/v1/connections/{id}/people/{person}",
		Tags: []string{tagDirectory}, Summary: "Read a person",
		Description: "The record of one person, archived or not, with the reporting line upwards. With teams=true it comes with the person's teams, for which the members of all teams are looked through: ask for them only where they are needed.",
		Errors:      []int{404},
	}, a.person)
}

func (a *API) people(ctx context.Context, in *peopleRequest) (*huma.StreamResponse, error) {
	of := in.ID + in.filter()
	after, err := resume(listPeople, of, in.Continuation)
	if err != nil {
		return nil, err
	}
	if _, err := a.connection(ctx, in.ID); err != nil {
		return nil, err
	}
	// Read before the people: a change that comes in between is then in the
	// page and is applied once more by whoever follows on, to no effect.
	newest, err := a.Directory.LastChange(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	read := func(ctx context.Context, after string, n int) ([]directory.Record, string, error) {
		return a.Directory.People(ctx, in.ID, after, n)
	}
	if in.Team != "" {
		stored, err := a.Teams.TeamRecords(ctx, in.ID, []string{in.Team})
		if err != nil {
			return nil, err
		}
		if _, ok := stored[in.Team]; !ok {
			return nil, missingTeam("query.team")
		}
		if read, err = a.teamPeople(ctx, in.ID, in.Team); err != nil {
			return nil, err
		}
	}
	feed := follow(&after, read, shapePerson)
	if in.filter() != "" {
		feed = sift(&after, read, func(r *directory.Record) string { return r.ID }, in.keep, shapePerson)
	}
	return stream(ctx, a, list[Person]{
		operation: "list-people", field: "people", limit: in.Limit, feed: feed,
		tail: func(bool) any { return PeopleTail{newest, Page{continuation(listPeople, of, after)}} },
	})
}

// maxLine bounds the managers of a reporting line, each of which takes a read.
const maxLine = 50

func (a *API) person(ctx context.Context, in *personRequest) (*one[PersonDetail], error) {
	if _, err := a.connection(ctx, in.ID); err != nil {
		return nil, err
	}
	key, ok := directory.Key(in.Person)
	if !ok {
		return nil, missingPerson()
	}
	stored, err := a.Directory.Records(ctx, in.ID, []string{in.Person})
	if err != nil {
		return nil, err
	}
	r, ok := stored[in.Person]
	if !ok {
		return nil, missingPerson()
	}
	v := PersonDetail{Person: shapePerson(&r)}
	if v.Line, err = a.line(ctx, in.ID, &r); err != nil || !in.Teams {
		return &one[PersonDetail]{v}, err
	}
	member, err := a.Teams.TeamsOf(ctx, in.ID, [][16]byte{key})
	if err != nil {
		return nil, err
	}
	v.Teams, err = a.teamRefs(ctx, in.ID, member[key])
	return &one[PersonDetail]{v}, err
}

// line follows the managers from one person upwards.
func (a *API) line(ctx context.Context, id string, r *directory.Record) (Line, error) {
	l := Line{Managers: []Superior{}}
	met := map[string]bool{r.ID: true}
	for next := r.Manager; next != ""; {
		switch {
		case met[next]:
			l.Cycle = true
			return l, nil
		case len(l.Managers) == maxLine:
			l.More = true
			return l, nil
		}
		met[next] = true
		stored, err := a.Directory.Records(ctx, id, []string{next})
		if err != nil {
			return l, err
		}
		m, ok := stored[next]
		if !ok {
			l.Missing = next
			return l, nil
		}
		l.Managers = append(l.Managers, Superior{ID: m.ID, DisplayName: m.DisplayName, Archived: !m.Active()})
		next = m.Manager
	}
	return l, nil
}

// teamRefs names those of the teams that are active, in ID order.
func (a *API) teamRefs(ctx context.Context, id string, teams []string) ([]TeamRef, error) {
	refs := make([]TeamRef, 0, len(teams))
	if len(teams) == 0 {
		return refs, nil
	}
	stored, err := a.Teams.TeamRecords(ctx, id, teams)
	if err != nil {
		return nil, err
	}
	for _, team := range slices.Sorted(slices.Values(teams)) {
		if t, ok := stored[team]; ok && t.Active() {
			refs = append(refs, TeamRef{t.ID, t.DisplayName})
		}
	}
	return refs, nil
}

func missingPerson() *Problem {
	return problem(codeNotFound, "The connection has no person with this ID.").
		withRemedy("Check the ID; GET /v1/connections/{id}/people lists the people.").at("path.person", "expected the ID of a person")
}
