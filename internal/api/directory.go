package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/directory"
)

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
	Department        string   `json:"department,omitempty" example:"Compilers"`
	OfficeLocation    string   `json:"officeLocation,omitempty"`
	EmployeeID        string   `json:"employeeId,omitempty"`
	EmployeeHireDate  string   `json:"employeeHireDate,omitempty" doc:"RFC 3339, as Microsoft wrote it." example:"2019-04-01T00:00:00Z"`
	AssignedLicenses  []string `json:"assignedLicenses,omitempty" nullable:"false" doc:"SKU IDs."`
	Manager           string   `json:"manager,omitempty" doc:"The manager's object ID."`

	Active     bool       `json:"active" doc:"False for a person who left; the record stays." example:"true"`
	ArchivedAt *time.Time `json:"archivedAt,omitempty" doc:"When the person was archived; absent while active."`
	Reason     string     `json:"reason,omitempty" enum:"softDeleted,deleted,missing" doc:"How it is known that the person left. softDeleted: deleted, and restorable for 30 days. deleted: for good. missing: no longer listed, and confirmed to be gone."`
	CreatedAt  time.Time  `json:"createdAt" doc:"When the record was first stored." example:"2026-11-21T09:40:03Z"`
	LastChange int64      `json:"lastChange" doc:"The number of this person's newest change." example:"17"`
}

func shapePerson(r *directory.Record) Person {
	return Person{
		ID: r.ID, Mail: r.Mail, OtherMails: r.OtherMails, ProxyAddresses: r.ProxyAddresses,
		UserPrincipalName: r.UserPrincipalName, DisplayName: r.DisplayName, GivenName: r.GivenName, Surname: r.Surname,
		BusinessPhones: r.BusinessPhones, MobilePhone: r.MobilePhone, PreferredLanguage: r.PreferredLanguage,
		AccountEnabled: r.AccountEnabled, UserType: r.UserType, JobTitle: r.JobTitle, Department: r.Department,
		OfficeLocation: r.OfficeLocation, EmployeeID: r.EmployeeID, EmployeeHireDate: r.EmployeeHireDate,
		AssignedLicenses: r.AssignedLicenses, Manager: r.Manager,
		Active: r.Active(), ArchivedAt: when(r.Archived), Reason: string(r.Reason),
		CreatedAt: r.Created.UTC(), LastChange: r.Changed,
	}
}

// Change is one committed difference.
type Change struct {
	Number int64                      `json:"number" doc:"From 1, without gaps within a connection." example:"1284"`
	Type   string                     `json:"type" enum:"person.created,person.updated,person.archived,person.reactivated" doc:"What happened. Skip a type that you do not know; more may follow." example:"person.updated"`
	ID     string                     `json:"id" doc:"To whom." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
	Run    string                     `json:"run" doc:"The run that found it." example:"04f8f6b1c2d-9f2c4e71ab03"`
	At     time.Time                  `json:"at" example:"2026-11-21T09:40:05Z"`
	Set    map[string]json.RawMessage `json:"set,omitempty" doc:"The properties that changed, by their names in Person, with their new values; null for one that was cleared. person.created has all that hold a value."`
	Reason string                     `json:"reason,omitempty" enum:"softDeleted,deleted,missing" doc:"Why the person was archived."`
}

func shapeChange(c *directory.Change) Change {
	return Change{
		Number: c.Number, Type: string(c.Type), ID: c.ID, Run: c.Run,
		At: c.At.UTC(), Set: c.Set, Reason: string(c.Reason),
	}
}

type peopleRequest struct {
	Target
	PageQuery
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

type changesRequest struct {
	Target
	After int64 `query:"after" minimum:"0" default:"0" doc:"List the changes with higher numbers: the last of the answer before, or 0 for all." example:"1283"`
	Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The most changes to answer. An answer may hold fewer and still have more."`
}

// ChangesTail ends a page of changes.
type ChangesTail struct {
	Last int64 `json:"last" doc:"What to send as after next: the number of the last change here, or after itself if there is none." example:"1284"`
	More bool  `json:"more" doc:"Whether further changes can be read at once." example:"false"`
}

// ChangesPage is a page of changes.
type ChangesPage struct {
	Changes []Change `json:"changes" nullable:"false" doc:"By ascending number, without gaps."`
	ChangesTail
}

func (a *API) directoryRoutes() {
	register(a, huma.Operation{
		OperationID: "list-people", Method: http.MethodGet, Path: "/v1/connections/{id}/people",
		Tags: []string{tagDirectory}, Summary: "List people",
		Description: "Everybody stored, archived people included, in ID order." + pagesInWords,
		Responses:   listed[PeoplePage](a), Errors: []int{400, 404},
	}, a.people)
	register(a, huma.Operation{
		OperationID: "list-changes", Method: http.MethodGet, Path: "/v1/connections/{id}/changes",
		Tags: []string{tagDirectory}, Summary: "Follow changes",
		Description: "The numbered differences in order. Applying all of them to nothing gives what is stored. " +
			"If the change that should come next is no longer kept, the answer is 410: read the people anew.",
		Responses: listed[ChangesPage](a), Errors: []int{400, 404, 410},
	}, a.changes)
}

func (a *API) people(ctx context.Context, in *peopleRequest) (*huma.StreamResponse, error) {
	after, err := resume(listPeople, in.ID, in.Continuation)
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
	return stream(ctx, a, list[Person]{
		operation: "list-people", field: "people", limit: in.Limit,
		feed: follow(&after, read, shapePerson),
		tail: func(bool) any { return PeopleTail{newest, Page{continuation(listPeople, in.ID, after)}} },
	})
}

func (a *API) changes(ctx context.Context, in *changesRequest) (*huma.StreamResponse, error) {
	if _, err := a.connection(ctx, in.ID); err != nil {
		return nil, err
	}
	newest, err := a.Directory.LastChange(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	last := in.After
	if last > newest {
		return nil, problem(codePosition, "The connection's newest change is %d.", newest).
			at("query.after", "expected a number that this connection has reached")
	}
	return stream(ctx, a, list[Change]{
		operation: "list-changes", field: "changes", limit: in.Limit,
		feed: func(ctx context.Context, n int) ([]Change, bool, error) {
			if last >= newest {
				return nil, false, nil
			}
			stored, err := a.Directory.Changes(ctx, in.ID, last, n)
			if err != nil {
				return nil, false, err
			}
			cs := make([]Change, len(stored))
			next := last
			for i := range stored {
				if next++; stored[i].Number != next {
					return nil, false, lost(next)
				}
				cs[i] = shapeChange(&stored[i])
			}
			if next == last {
				return nil, false, lost(next + 1)
			}
			last = next
			return cs, last < newest, nil
		},
		tail: func(more bool) any { return ChangesTail{last, more} },
	})
}

// lost says that a change is missing. Numbers have no gaps, so it was there.
func lost(number int64) error {
	return problem(codeGone, "Change %d is no longer kept.", number)
}
