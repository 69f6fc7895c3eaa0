package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/fault"
	"rollcall/internal/job"
)

type accepted struct {
	Location string `header:"Location" doc:"The path of the run."`
	Body     Run
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
	change(a, huma.Operation{
		OperationID: "sync-connection", Method: http.MethodPost, Path: "/v1/connections/{id}/sync",
		DefaultStatus: http.StatusAccepted, Tags: []string{tagRuns}, Summary: "Sync now",
		Description: "Asks for a run and answers where to follow it. Asking again within the cooldown is refused with Retry-After. " +
			"A sync that meets one under way joins it: its run ends as merged, and another run follows.",
		Responses: refusedWithRun(a), Errors: []int{404, 409},
	}, audited[governRequest]("sync", nil), func(ctx context.Context, in *governRequest) (*accepted, error) {
		return a.ask(in.ID, job.Manual, "", func() (string, error) { return a.Syncer.Manual(ctx, in.ID, in.Actor) })
	})
	register(a, huma.Operation{
		OperationID: "list-runs", Method: http.MethodGet, Path: "/v1/connections/{id}/runs",
		Tags: []string{tagRuns}, Summary: "List runs",
		Description: "The connection's runs, newest first. A sync that was accepted and has not begun is not among them; read it by its ID." + pagesInWords,
		Responses:   listed[RunPage](a), Errors: []int{400, 404},
	}, func(ctx context.Context, in *pageRequest) (*huma.StreamResponse, error) {
		c, err := a.connection(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return paged(ctx, a, in, listRuns, a.Runs.Runs, runOf(&c))
	})
	register(a, huma.Operation{
		OperationID: "read-run", Method: http.MethodGet, Path: "/v1/connections/{id}/runs/{run}",
		Tags: []string{tagRuns}, Summary: "Read a run",
		Description: "How far it is, what it did and left out, with reasons, and, if it failed, why and what to do. A run that was asked for and has not begun is shown as queued. " +
			"A preview comes with samples of the changes it has found: up to five of each type, out of the first 1,000 and the last 1,000.",
		Errors: []int{404},
	}, a.run)
}

func (a *API) run(ctx context.Context, in *runRequest) (*one[Run], error) {
	c, err := a.connection(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if !validID(in.Run) {
		return nil, missingRun()
	}
	asked, waits := queued(&c, in.Run)
	r, err := a.Runs.Run(ctx, in.ID, in.Run)
	unknown := fault.Is(err, fault.NotFound)
	if err != nil && !unknown {
		return nil, err
	}
	if r.Trigger == job.Preview && r.Ended.IsZero() || unknown && asked.Trigger == string(job.Preview) {
		// A preview under way is in its own fence; its record may not be
		// written yet.
		f, err := a.Plans.Fence(ctx, in.ID+previewSuffix)
		if err != nil {
			return nil, err
		}
		if f.Run.ID == in.Run && (f.Run.Ended.IsZero() || unknown) {
			r, unknown = f.Run, false
		}
	}
	switch {
	case unknown && waits:
		return &one[Run]{asked}, nil
	case unknown:
		return nil, missingRun()
	}
	v := runOf(&c)(&r)
	if r.Trigger == job.Preview {
		v.Samples, err = a.samples(ctx, in.ID, &r)
	}
	return &one[Run]{v}, err
}

func missingRun() *Problem {
	return problem(codeNotFound, "The connection has no run with this ID.").
		withRemedy("Check the ID; GET /v1/connections/{id}/runs lists the runs.").at("path.run", "expected the ID of a run")
}
