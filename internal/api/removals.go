package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// Plan is a list of removals that was held for a human to decide. It never
// grows.
type Plan struct {
	Hash   string     `json:"hash" doc:"Of the list as it was held; a decision must name it." example:"9f2c4e71ab0396d5c8e1f07b2a4d6c83"`
	Run    string     `json:"run,omitempty" doc:"The run that was held. Absent, like at, in a decision that came too late." example:"04f8f6b1c2d-9f2c4e71ab03"`
	At     *time.Time `json:"at,omitempty" doc:"When it was held." example:"2026-11-21T09:40:09Z"`
	Count  int        `json:"count" doc:"How many people it would have archived when it was held." example:"212"`
	Active int        `json:"active" doc:"How many people were active then." example:"1840"`

	Teams       int `json:"teams" doc:"How many teams it would have archived when it was held." example:"0"`
	Memberships int `json:"memberships" doc:"How many memberships it would have ended when it was held." example:"0"`
}

// shapePlan returns nil for no plan.
func shapePlan(p *job.Plan) *Plan {
	if p == nil {
		return nil
	}
	return &Plan{Hash: p.Hash, Run: p.Run, At: when(p.At), Count: p.Count, Active: p.Active, Teams: p.Teams, Memberships: p.Memberships}
}

// Removal is one person, team or membership that the plan that waits would
// remove.
type Removal struct {
	ID                string `json:"id,omitempty" format:"uuid" doc:"The object ID of the user or group; absent from a membership." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
	DisplayName       string `json:"displayName,omitempty" doc:"Of the person or team." example:"Grace Hopper"`
	Mail              string `json:"mail,omitempty" doc:"Of the person or team." example:"grace@contoso.com"`
	UserPrincipalName string `json:"userPrincipalName,omitempty" doc:"Of the person." example:"grace@contoso.com"`
	Reason            string `json:"reason,omitempty" enum:"softDeleted,deleted,missing,outOfScope" doc:"Why the person or team would be archived; absent from a membership. softDeleted: deleted, and restorable for 30 days. deleted: for good. missing: no longer listed, and confirmed to be gone. outOfScope: still in the tenant, and no longer among those whom the settings choose." example:"softDeleted"`
	Team              string `json:"team,omitempty" format:"uuid" doc:"The team that the membership is of." example:"6b0c2f4e-8d31-4a57-b9e0-2f7c1d5a3e94"`
	TeamName          string `json:"teamName,omitempty" doc:"The team's display name, of a membership." example:"Compilers"`
	Person            string `json:"person,omitempty" format:"uuid" doc:"Whose membership it is." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
	PersonName        string `json:"personName,omitempty" doc:"The person's display name, of a membership; absent if the person is not stored." example:"Grace Hopper"`
}

// RemovalsTail ends a page of removals.
type RemovalsTail struct {
	Plan *Plan `json:"plan,omitempty" doc:"The plan that waits, or that would wait after a preview; absent if none does. That of a preview cannot be decided, unless it is one that waits now too."`
	Page
}

// RemovalPage is a page of removals.
type RemovalPage struct {
	Removals []Removal `json:"removals" nullable:"false" doc:"In ID order, memberships by team and then person; without those that have returned since."`
	RemovalsTail
}

type removalsRequest struct {
	Target
	PageQuery
	Kind string `query:"kind" enum:"people,teams,memberships" default:"people" doc:"Which removals of the plan to list."`
	Run  string `query:"run" doc:"The ID of a preview that has ended: lists what would wait after the sync, out of what the preview has stored. Absent, what waits now is listed." example:"04f8f6b1c2d-9f2c4e71ab03"`
}

type decisionRequest struct {
	Caller
	Target
	Run  string `path:"run" doc:"The ID of the run that was held: the plan's run." example:"04f8f6b1c2d-9f2c4e71ab03"`
	Body DecisionRequest
}

// detail is the plan, for the audit log.
func (r *decisionRequest) detail() map[string]string {
	d := map[string]string{"plan": r.Body.Hash}
	if validID(r.Run) {
		d["run"] = r.Run
	}
	return d
}

// DecisionRequest names the plan that was read and is decided.
type DecisionRequest struct {
	Hash string `json:"hash" pattern:"^[0-9a-f]{32}$" patternDescription:"32 hexadecimal digits, lower-case" doc:"The plan's hash, as GET …/removals gave it." example:"9f2c4e71ab0396d5c8e1f07b2a4d6c83"`
}

// decisionInWords ends the description of both decisions.
const decisionInWords = " The answer says where to follow the run that does it; that run is queued until a worker has opened it, which waits for the end of a sync that is under way. " +
	"Repeating the call is harmless. Of two opposite decisions the first counts; the other is refused. " +
	"A plan that does not wait, or waits under another run or hash, is refused with 409."

func (a *API) removalRoutes() {
	register(a, huma.Operation{
		OperationID: "list-removals", Method: http.MethodGet, Path: "/v1/connections/{id}/removals",
		Tags: []string{tagRuns}, Summary: "List the removals that wait",
		Description: "The people, teams or memberships that the plan that waits would remove, with the plan itself. A plan never grows: who leaves later waits for the next one. " +
			"Who returns drops out, and an empty plan is settled. A decision is on all three kinds at once. A continuation serves only while the same plan waits, for the same kind. " +
			"Memberships of at most 200 teams are answered at a time. With run, a preview's removals are listed, held ones and those that a sync would leave to a later one, as long as its changes can be read." + pagesInWords,
		Responses: listed[RemovalPage](a), Errors: []int{400, 404},
	}, a.removals)
	change(a, huma.Operation{
		OperationID: "approve-removals", Method: http.MethodPost, Path: "/v1/connections/{id}/runs/{run}/approve",
		DefaultStatus: http.StatusAccepted, Tags: []string{tagRuns}, Summary: "Approve removals",
		Description: "Archives the plan's people and teams and ends its memberships, apart from what has returned or what Microsoft holds again by then." + decisionInWords,
		Errors:      []int{404, 409},
	}, audited("plan.approve", (*decisionRequest).detail), func(ctx context.Context, in *decisionRequest) (*accepted, error) {
		return a.decide(ctx, in, job.Approve)
	})
	change(a, huma.Operation{
		OperationID: "reject-removals", Method: http.MethodPost, Path: "/v1/connections/{id}/runs/{run}/reject",
		DefaultStatus: http.StatusAccepted, Tags: []string{tagRuns}, Summary: "Reject removals",
		Description: "Keeps the plan's people, teams and memberships. Their removal is not proposed again until they reappear and leave." + decisionInWords,
		Errors:      []int{404, 409},
	}, audited("plan.reject", (*decisionRequest).detail), func(ctx context.Context, in *decisionRequest) (*accepted, error) {
		return a.decide(ctx, in, job.Reject)
	})
}

func (a *API) decide(ctx context.Context, in *decisionRequest, trigger job.Trigger) (*accepted, error) {
	if !validID(in.Run) {
		return nil, missingRun()
	}
	run, err := a.Decider.Decide(ctx, in.ID, in.Run, in.Body.Hash, trigger == job.Approve, in.Actor)
	if err != nil {
		return nil, err
	}
	return &accepted{
		Location: "/v1/connections/" + in.ID + "/runs/" + run,
		Body:     Run{ID: run, Trigger: string(trigger), State: string(job.Queued), QueuedAt: when(a.Now().Truncate(time.Second))},
	}, nil
}

func (a *API) removals(ctx context.Context, in *removalsRequest) (*huma.StreamResponse, error) {
	if _, err := a.connection(ctx, in.ID); err != nil {
		return nil, err
	}
	from := proposals{a, in.ID, in.Run != ""}
	if from.preview {
		from.part += previewSuffix
	}
	fence, err := a.Plans.Fence(ctx, from.part)
	if err != nil {
		return nil, err
	}
	of := in.ID + "?" + in.Kind
	if from.preview {
		if err := previewed(&fence, in.Run); err != nil {
			return nil, err
		}
		of += "/" + in.Run
	}
	plan := shapePlan(fence.Plan)
	if plan != nil {
		of += "/" + plan.Hash // pages of two plans must never read as one list
	}
	after, err := resume(listRemovals, of, in.Continuation)
	if err != nil {
		return nil, err
	}
	feed := from.of(directory.Kind(in.Kind), &after)
	if plan == nil && !from.preview { // one that is still being made is none
		feed = func(context.Context, int) ([]Removal, bool, error) { return nil, false, nil }
	}
	return stream(ctx, a, list[Removal]{
		operation: "list-removals", field: "removals", limit: in.Limit, feed: feed,
		tail: func(bool) any { return RemovalsTail{plan, Page{continuation(listRemovals, of, after)}} },
	})
}

// previewed refuses a run that is not the preview that is stored, or that has
// not come to its end.
func previewed(f *job.Fence, run string) error {
	refuse := func(detail, remedy string) error {
		return problem(codeNotFound, "%s", detail).withRemedy(remedy).at("query.run", "expected the ID of the connection's newest preview, once it has ended")
	}
	switch {
	case f.Run.ID != run:
		return refuse("No preview with this ID is stored.", "Ask for another preview: the newest one can be read for 24 hours, unless somebody is erased.")
	case f.Open():
		return refuse("The preview has not ended yet.", "Read the run until it has ended, then ask again.")
	case f.Run.State != job.Succeeded && f.Run.State != job.Held:
		return refuse("The preview has failed.", "Read the run for the cause, then ask for another preview.")
	}
	return nil
}
