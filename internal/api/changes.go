package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/directory"
)

// Change is one committed difference.
type Change struct {
	Number   int64                      `json:"number" doc:"From 1, without gaps within a connection." example:"1284"`
	Type     string                     `json:"type" enum:"person.created,person.updated,person.archived,person.reactivated,person.erased,redacted,team.created,team.updated,team.archived,team.reactivated,team.members,license.created,license.updated,license.archived,license.reactivated,mailbox.created,mailbox.updated,mailbox.archived,mailbox.reactivated,position.created,position.archived,position.reactivated" doc:"What happened; the description of the operation says what comes with each. Skip a type that you do not know; more may follow." example:"person.updated"`
	ID       string                     `json:"id,omitempty" doc:"To whom or what: the ID of the person, team, license, mailbox or position. Absent from a redacted change." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
	Run      string                     `json:"run" doc:"The run that found it." example:"04f8f6b1c2d-9f2c4e71ab03"`
	At       time.Time                  `json:"at" example:"2026-11-21T09:40:05Z"`
	Set      map[string]json.RawMessage `json:"set,omitempty" doc:"The properties that changed, by their names in Person, Team, License, Mailbox or Position, with their new values; null for one that was cleared. A creation has all that hold a value."`
	Reason   string                     `json:"reason,omitempty" enum:"softDeleted,deleted,missing,outOfScope" doc:"Why it was archived."`
	Joined   []string                   `json:"joined,omitempty" nullable:"false" doc:"Only in team.members: the users, by object ID, who became direct members. They may not be stored as people, or not yet."`
	Left     []string                   `json:"left,omitempty" nullable:"false" doc:"Only in team.members: the users, by object ID, who are direct members no more."`
	Position *Move                      `json:"position,omitempty" doc:"Only in changes of people: how the person's position changed; absent if it did not."`
}

// Move is a person's change of position.
type Move struct {
	From string `json:"from,omitempty" doc:"The position's ID; absent if the person had none." example:"5c1b9d0e7fa2384466d1"`
	To   string `json:"to,omitempty" doc:"The position's ID; absent if the person has none." example:"e07a11c94b5d62f3880a"`
}

// shapeChange leaves out the earlier values: only previews have them.
func shapeChange(c *directory.Change) Change {
	v := Change{
		Number: c.Number, Type: string(c.Type), ID: c.ID, Run: c.Run,
		At: second(c.At), Set: c.Set.All(), Reason: string(c.Reason), Joined: c.Joined, Left: c.Left,
	}
	if c.Position != nil {
		v.Position = &Move{c.Position.From, c.Position.To}
	}
	return v
}

// typesInWords tells what comes with each type of change.
const typesInWords = "\n\n" +
	"- `person.created`, `person.updated`: `set`, by the names in Person; `position` if the person's position changed.\n" +
	"- `person.archived`: `reason`, and `set` if anything changed beside; the record stays. `person.reactivated`: the same record is back, with `set` for what changed meanwhile. Both have `position` if the person has one: who is archived counts in none.\n" +
	"- `person.erased`: the record is gone for good, with the memberships and the mailbox, of which nothing else tells. Delete your copy and all that was made of it. `position` if the person had one.\n" +
	"- `redacted`: stands where a change of an erased person was, so that numbers have no gaps. It tells nothing: skip it.\n" +
	"- `team.created`, `team.updated`, `team.archived`, `team.reactivated`: `set`, by the names in Team; `reason` if archived.\n" +
	"- `team.members`: `joined` and `left`, the direct memberships that began and ended. One change may tell of many; a team that is new has further ones.\n" +
	"- `license.created`, `license.updated`, `license.archived`, `license.reactivated`: `set`, by the names partNumber, status, total and consumed; `reason` if archived. Who holds a license is in assignedLicenses of people.\n" +
	"- `mailbox.created`, `mailbox.updated`, `mailbox.archived`, `mailbox.reactivated`: `set`, by the names in Mailbox; `reason` if archived.\n" +
	"- `position.created`: `set` has the title. `position.archived`: nobody holds it any more. `position.reactivated`: somebody does again. How many do follows from the people."

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

func (a *API) changeRoutes() {
	register(a, huma.Operation{
		OperationID: "list-changes", Method: http.MethodGet, Path: "/v1/connections/{id}/changes",
		Tags: []string{tagDirectory}, Summary: "Follow changes",
		Description: "The numbered differences in order. Applying all of them to nothing gives what is stored. " +
			"If the change that should come next is no longer kept, the answer is 410: read everything anew. " +
			"For a copy of everything, read people first, then the other lists, and then follow the changes from the first page of people on." + typesInWords,
		Responses: listed[ChangesPage](a), Errors: []int{400, 404, 410},
	}, a.changes)
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
