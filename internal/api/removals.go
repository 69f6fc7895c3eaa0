package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Plan is a list of removals that was held for a human to decide. It never
// grows.
type Plan struct {
	Hash   string     `json:"hash" doc:"Of the list as it was held; a decision must name it." example:"9f2c4e71ab0396d5c8e1f07b2a4d6c83"`
	Run    string     `json:"run,omitempty" doc:"The run that was held. Absent, like at, in a decision that came too late." example:"04f8f6b1c2d-9f2c4e71ab03"`
	At     *time.Time `json:"at,omitempty" doc:"When it was held." example:"2026-11-21T09:40:09Z"`
	Count  int        `json:"count" doc:"How many people it would have archived when it was held." example:"212"`
	Active int        `json:"active" doc:"How many were active then." example:"1840"`
}

// shapePlan returns nil for no plan.
func shapePlan(p *job.Plan) *Plan {
	if p == nil {
		return nil
	}
	return &Plan{Hash: p.Hash, Run: p.Run, At: when(p.At), Count: p.Count, Active: p.Active}
}

// Removal is one person whom the plan that waits would archive.
type Removal struct {
	ID                string `json:"id" format:"uuid" doc:"The user's object ID." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
	DisplayName       string `json:"displayName,omitempty" example:"Grace Hopper"`
	Mail              string `json:"mail,omitempty" example:"grace@contoso.com"`
	UserPrincipalName string `json:"userPrincipalName,omitempty" example:"grace@contoso.com"`
	Reason            string `json:"reason" enum:"softDeleted,deleted,missing" doc:"Why the person would be archived. softDeleted: deleted, and restorable for 30 days. deleted: for good. missing: no longer listed, and confirmed to be gone." example:"softDeleted"`
}

// RemovalsTail ends a page of removals.
type RemovalsTail struct {
	Plan *Plan `json:"plan,omitempty" doc:"The plan that waits; absent if none does."`
	Page
}

// RemovalPage is a page of removals.
type RemovalPage struct {
	Removals []Removal `json:"removals" nullable:"false" doc:"In ID order, without those who have returned since."`
	RemovalsTail
}

type removalsRequest struct {
	Target
	PageQuery
}

type decisionRequest struct {
	Caller
	Target
	Run  string `path:"run" doc:"The ID of the run that was held: the plan's run." example:"04f8f6b1c2d-9f2c4e71ab03"`
	Body DecisionRequest
}

// DecisionRequest names the plan that was read and is decided.
type DecisionRequest struct {
	Hash string `json:"hash" pattern:"^[0-9a-f]{32}$" patternDescription:"32 hexadecimal digits, lower-case" doc:"The plan's hash, as GET …/removals gave it." example:"9f2c4e71ab0396d5c8e1f07b2a4d6c83"`
}

// decisionInWords ends the description of both decisions.
const decisionInWords = " The answer says where to follow the run that does it; that run may answer 404 until a worker has opened it, which waits for the end of a sync that is under way. " +
	"Repeating the call is harmless. Of two opposite decisions the first counts; the other is refused. " +
	"A plan that does not wait, or waits under another run or hash, is refused with 409."

func (a *API) removalRoutes() {
	register(a, huma.Operation{
		OperationID: "list-removals", Method: http.MethodGet, Path: "/v1/connections/{id}/removals",
		Tags: []string{tagRuns}, Summary: "List the removals that wait",
		Description: "Whom the plan that waits would archive, with the plan itself. A plan never grows: who leaves later waits for the next one. " +
			"Who returns drops out, and a plan without people is settled. A continuation serves only while the same plan waits." + pagesInWords,
		Responses: listed[RemovalPage](a), Errors: []int{400, 404},
	}, a.removals)
	register(a, huma.Operation{
		OperationID: "approve-removals", Method: http.MethodPost, Path: "/v1/connections/{id}/runs/{run}/approve",
		DefaultStatus: http.StatusAccepted, Tags: []string{tagRuns}, Summary: "Approve removals",
		Description: "Archives the plan's people, apart from those who have returned or whom Microsoft holds again by then." + decisionInWords,
		Errors:      []int{404, 409},
	}, func(ctx context.Context, in *decisionRequest) (*accepted, error) {
		return a.decide(ctx, in, job.Approve)
	})
	register(a, huma.Operation{
		OperationID: "reject-removals", Method: http.MethodPost, Path: "/v1/connections/{id}/runs/{run}/reject",
		DefaultStatus: http.StatusAccepted, Tags: []string{tagRuns}, Summary: "Reject removals",
		Description: "Keeps the plan's people active. Their removal is not proposed again until they reappear and leave." + decisionInWords,
		Errors:      []int{404, 409},
	}, func(ctx context.Context, in *decisionRequest) (*accepted, error) {
		return a.decide(ctx, in, job.Reject)
	})
}

func (a *API) decide(ctx context.Context, in *decisionRequest, trigger job.Trigger) (*accepted, error) {
	missing := problem(codeNotFound, "There is no connection with this ID.").at("path.id", "expected the ID of a connection")
	switch {
	case !validID(in.ID):
		return nil, missing
	case !validID(in.Run):
		return nil, missingRun()
	}
	run, err := a.Decider.Decide(ctx, in.ID, in.Run, in.Body.Hash, trigger == job.Approve, in.Actor)
	if fault.Is(err, fault.NotFound) {
		return nil, missing
	}
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
	fence, err := a.Plans.Fence(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	plan, of := shapePlan(fence.Plan), in.ID
	if plan != nil {
		of += "/" + plan.Hash // pages of two plans must never read as one list
	}
	after, err := resume(listRemovals, of, in.Continuation)
	if err != nil {
		return nil, err
	}
	return stream(ctx, a, list[Removal]{
		operation: "list-removals", field: "removals", limit: in.Limit,
		feed: func(ctx context.Context, n int) ([]Removal, bool, error) {
			if plan == nil {
				return nil, false, nil // a plan that is still being made is none
			}
			page, next, err := a.held(ctx, in.ID, after, n)
			if err != nil {
				return nil, false, err
			}
			after = next
			return page, next != "", nil
		},
		tail: func(bool) any { return RemovalsTail{plan, Page{continuation(listRemovals, of, after)}} },
	})
}

// held reads up to n removals after the given person, and whom to go on
// after, "" at the end.
func (a *API) held(ctx context.Context, id, after string, n int) (page []Removal, next string, err error) {
	ids, err := a.Removals.Held(ctx, id, after, n)
	if err != nil {
		return nil, "", err
	}
	stored, err := a.Removals.Records(ctx, id, ids)
	if err != nil {
		return nil, "", err
	}
	for _, person := range ids {
		if r, ok := stored[person]; ok && r.Held { // or returned since the list was read
			page = append(page, shapeRemoval(&r))
		}
	}
	if len(ids) == n {
		next = ids[n-1]
	}
	return page, next, nil
}

func shapeRemoval(r *directory.Record) Removal {
	return Removal{ID: r.ID, DisplayName: r.DisplayName, Mail: r.Mail, UserPrincipalName: r.UserPrincipalName, Reason: string(r.Pending)}
}
