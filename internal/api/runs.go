package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Run is a run as the API shows it.
type Run struct {
	ID         string     `json:"id" example:"04f8f6b1c2d-9f2c4e71ab03"`
	Trigger    string     `json:"trigger" enum:"first,schedule,manual,again,approve,reject" doc:"Who started it. again: a sync asked for while another was under way. approve, reject: a decision on the removals that plan names." example:"manual"`
	By         string     `json:"by,omitempty" doc:"Who asked for it, as the vendor asserted; absent if nobody did." example:"ada@vendor.example"`
	State      string     `json:"state" enum:"queued,running,waiting,succeeded,held,failed,merged" doc:"queued: accepted, not begun. waiting: for Microsoft, until nextTry. held: everything is written but the removals of plan, which wait for a decision. merged: its work was done by the run mergedInto." example:"succeeded"`
	Phase      string     `json:"phase,omitempty" doc:"What the run is at, or was at when it ended." example:"people"`
	Full       bool       `json:"full" doc:"Whether the whole tenant is read, rather than what changed since the last run."`
	Why        string     `json:"why,omitempty" doc:"Why it is full." example:"first sync"`
	Slices     int        `json:"slices" doc:"How many pieces the work was cut into so far." example:"1"`
	QueuedAt   *time.Time `json:"queuedAt,omitempty" doc:"When it was asked for; only while queued." example:"2026-11-21T09:40:00Z"`
	Began      *time.Time `json:"began,omitempty" example:"2026-11-21T09:40:02Z"`
	Ended      *time.Time `json:"ended,omitempty" example:"2026-11-21T09:40:09Z"`
	NextTry    *time.Time `json:"nextTry,omitempty" doc:"When a waiting run goes on."`
	MergedInto string     `json:"mergedInto,omitempty" doc:"The run that did its work."`
	Counters   *Counters  `json:"counters,omitempty" doc:"Absent while queued."`
	Problem    *Trouble   `json:"problem,omitempty" doc:"What went wrong; absent if nothing."`
	Plan       *Plan      `json:"plan,omitempty" doc:"The removals that waited when the run ended, or that it decides; absent if none."`
	LastChange int64      `json:"lastChange" doc:"The number of the connection's newest change when this was written." example:"1284"`
}

// Counters is what a run did. What became of people is exact.
type Counters struct {
	Created      int `json:"created" doc:"People stored for the first time." example:"12"`
	Updated      int `json:"updated" example:"3"`
	Archived     int `json:"archived" doc:"People who left; their records stay." example:"1"`
	Reactivated  int `json:"reactivated" doc:"People who came back." example:"0"`
	Unchanged    int `json:"unchanged" doc:"People listed without a difference; those of a page that was read again after a crash count again." example:"4"`
	Seen         int `json:"seen" doc:"People that Microsoft listed, repeats included." example:"20"`
	GraphCalls   int `json:"graphCalls" doc:"Requests to Microsoft Graph, repeated ones included." example:"2"`
	Throttles    int `json:"throttles" doc:"How often Microsoft asked to slow down." example:"0"`
	Retries      int `json:"retries" example:"0"`
	Transactions int `json:"transactions" doc:"Commits to the store." example:"2"`
	Pages        int `json:"pages" example:"1"`
}

func shapeRun(r *job.Run) Run {
	v := Run{
		ID: r.ID, Trigger: string(r.Trigger), State: string(r.State), By: r.By, Phase: r.Phase, Full: r.Full, Why: r.Why,
		Slices: r.Slices, Began: when(r.Began), Ended: when(r.Ended), NextTry: when(r.NextTry),
		MergedInto: r.MergedInto, LastChange: r.LastChange,
		Counters: &Counters{
			Created: r.Created, Updated: r.Updated, Archived: r.Archived, Reactivated: r.Reactivated,
			Unchanged: r.Unchanged, Seen: r.Seen, GraphCalls: r.GraphCalls, Throttles: r.Throttles,
			Retries: r.Retries, Transactions: r.Transactions, Pages: r.Pages,
		},
	}
	v.Plan = shapePlan(r.Plan)
	if r.Error != "" || r.Code != "" {
		v.Problem = &Trouble{Code: r.Code, Message: r.Error, Remedy: r.Remedy}
	}
	return v
}

// queued is a manual run that no worker has opened yet. Only the connection
// knows of it.
func queued(m connection.Manual) Run {
	return Run{ID: m.Run, Trigger: string(job.Manual), State: string(job.Queued), By: m.By, QueuedAt: when(m.At)}
}

type syncRequest struct {
	Caller
	Target
}

type accepted struct {
	Location string `header:"Location" doc:"The path of the run."`
	Body     Run
}

type runsRequest struct {
	Target
	PageQuery
}

type runRequest struct {
	Target
	Run string `path:"run" doc:"The run's ID." example:"04f8f6b1c2d-9f2c4e71ab03"`
}

// RunPage is a page of runs.
type RunPage struct {
	Runs []Run `json:"runs" nullable:"false" doc:"Newest first."`
	Page
}

func (a *API) runRoutes() {
	register(a, huma.Operation{
		OperationID: "sync-connection", Method: http.MethodPost, Path: "/v1/connections/{id}/sync",
		DefaultStatus: http.StatusAccepted, Tags: []string{tagRuns}, Summary: "Sync now",
		Description: "Asks for a run and answers where to follow it. Asking again within the cooldown is refused with Retry-After. " +
			"A sync that meets one under way joins it: its run ends as merged, and another run follows.",
		Errors: []int{404, 409},
	}, a.sync)
	register(a, huma.Operation{
		OperationID: "list-runs", Method: http.MethodGet, Path: "/v1/connections/{id}/runs",
		Tags: []string{tagRuns}, Summary: "List runs",
		Description: "The connection's runs, newest first. A sync that was accepted and has not begun is not among them; read it by its ID." + pagesInWords,
		Responses:   listed[RunPage](a), Errors: []int{400, 404},
	}, a.runs)
	register(a, huma.Operation{
		OperationID: "read-run", Method: http.MethodGet, Path: "/v1/connections/{id}/runs/{run}",
		Tags: []string{tagRuns}, Summary: "Read a run",
		Description: "How far it is, what it did and, if it failed, why and what to do.",
		Errors:      []int{404},
	}, a.run)
}

func (a *API) sync(ctx context.Context, in *syncRequest) (*accepted, error) {
	missing := problem(codeNotFound, "There is no connection with this ID.").at("path.id", "expected the ID of a connection")
	if !validID(in.ID) {
		return nil, missing
	}
	run, err := a.Syncer.Manual(ctx, in.ID, in.Actor)
	if fault.Is(err, fault.NotFound) {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	return &accepted{
		Location: "/v1/connections/" + in.ID + "/runs/" + run,
		Body:     queued(connection.Manual{Run: run, At: a.Now().Truncate(time.Second)}),
	}, nil
}

func (a *API) runs(ctx context.Context, in *runsRequest) (*huma.StreamResponse, error) {
	after, err := resume(listRuns, in.ID, in.Continuation)
	if err != nil {
		return nil, err
	}
	if _, err := a.connection(ctx, in.ID); err != nil {
		return nil, err
	}
	read := func(ctx context.Context, after string, n int) ([]job.Run, string, error) {
		return a.Runs.Runs(ctx, in.ID, after, n)
	}
	return stream(ctx, a, list[Run]{
		operation: "list-runs", field: "runs", limit: in.Limit,
		feed: follow(&after, read, shapeRun),
		tail: func(bool) any { return Page{continuation(listRuns, in.ID, after)} },
	})
}

func (a *API) run(ctx context.Context, in *runRequest) (*one[Run], error) {
	c, err := a.connection(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if !validID(in.Run) {
		return nil, missingRun()
	}
	r, err := a.Runs.Run(ctx, in.ID, in.Run)
	switch {
	case fault.Is(err, fault.NotFound) && c.Manual.Run == in.Run:
		return &one[Run]{queued(c.Manual)}, nil
	case fault.Is(err, fault.NotFound):
		return nil, missingRun()
	case err != nil:
		return nil, err
	}
	return &one[Run]{shapeRun(&r)}, nil
}

func missingRun() *Problem {
	return problem(codeNotFound, "The connection has no run with this ID.").
		withRemedy("Check the ID; GET /v1/connections/{id}/runs lists the runs.").at("path.run", "expected the ID of a run")
}
