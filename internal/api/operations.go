package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/job"
)

// Fleet does to one connection what is done to all.
type Fleet interface {
	// PauseWithAll leaves who is paused already as it is.
	PauseWithAll(ctx context.Context, id, actor string) (connection.Connection, error)
	// ResumeWithAll resumes who was paused by PauseWithAll, and nobody else.
	ResumeWithAll(ctx context.Context, id, actor string) (connection.Connection, error)
}

// Requeuer starts runs out of turn.
type Requeuer interface {
	// Requeue starts a run within the window after since. A repeat with the same
	// arguments adds none. It returns [fault.Denied] for who cannot run.
	Requeue(ctx context.Context, id string, since time.Time, window time.Duration) (run string, err error)
}

// Operations is what an operator does to many connections, and to the queue.
type Operations struct {
	Fleet       Fleet
	Requeuer    Requeuer
	DeadLetters DeadLetters
}

// sweepTime bounds the time in which one call goes through connections; it may
// end before its limit then, and says where to go on.
const sweepTime = 45 * time.Second

// SweepQuery is what everything takes that goes through all connections.
type SweepQuery struct {
	Caller
	Limit        int    `query:"limit" minimum:"1" maximum:"1000" default:"200" doc:"The most connections to go through in this call. It may be fewer, and still continue."`
	Continuation string `query:"continuation" doc:"Where to go on, as the answer before said."`
}

type requeueAllRequest struct {
	SweepQuery
	Spread int `query:"spread" minimum:"0" maximum:"21600" default:"600" doc:"Over how many seconds from the first call on the runs are spread. A continuation keeps its own."`
}

// Sweep is what one call has done to connections.
type Sweep struct {
	Done    int            `json:"done" doc:"To how many it was done." example:"180"`
	Skipped map[string]int `json:"skipped" doc:"How many it does not concern, by their status." example:"{\"invited\":3,\"paused\":1}"`
	Refused map[string]int `json:"refused" doc:"How many refused it, by the problem's code, as when something else happened to them meanwhile. Their audit logs tell more." example:"{}"`
	Page
}

// sweepInWords ends the descriptions of what goes through all connections.
const sweepInWords = " One call goes through some of them, in ID order, for 45 seconds at most; send the continuation until it is absent. What is done to each is in its own audit log. " +
	"If a call fails or its answer is lost, send it again: what is done already is not done twice."

func (a *API) operationRoutes() {
	a.deadLetterRoutes()
	a.exportRoutes()
	change(a, huma.Operation{
		OperationID: "requeue-connection", Method: http.MethodPost, Path: "/v1/connections/{id}/requeue",
		DefaultStatus: http.StatusAccepted, Tags: []string{tagOperations}, Summary: "Requeue a connection",
		Description: "Starts a run out of turn, for an operator who makes up for what was lost: no cooldown is asked for, and the schedule stays as it is. " +
			"A run that meets one under way ends as merged. It can be read once a worker has opened it.",
		Errors: []int{404, 409},
	}, audited[governRequest]("requeue", nil), func(ctx context.Context, in *governRequest) (*accepted, error) {
		return a.ask(in.ID, job.Schedule, "", func() (string, error) {
			return a.Operations.Requeuer.Requeue(ctx, in.ID, a.Now().UTC(), 0)
		})
	})
	sweeping(a, huma.Operation{
		OperationID: "requeue-all", Path: "/v1/operations/requeue", Summary: "Requeue all connections",
		Description: "Starts a run of every connection that can be synced, spread over a window, each at its own point in it. Who is paused, offboarded or not connected is skipped and counted." + sweepInWords +
			" But a repeat of the first call, which sends no continuation, starts further runs; those that meet one under way end as merged.",
	}, "requeue.all", func(ctx context.Context, in *requeueAllRequest) (*one[Sweep], error) { return a.requeueAll(ctx, in) })
	sweeping(a, huma.Operation{
		OperationID: "pause-all", Path: "/v1/operations/pause", Summary: "Pause all connections",
		Description: "Pauses every connection that can be paused, as POST /v1/connections/{id}/pause does. Who is paused already stays so, as paused for its own reason. " +
			"Who is connected after the call has come past is not paused; repeat the whole once to be sure." + sweepInWords,
	}, "pause.all", func(ctx context.Context, in *SweepQuery) (*one[Sweep], error) {
		return a.sweep(ctx, in, pass{
			list: "pause-all", action: "pause.all",
			concerns: func(c *connection.Connection) bool {
				return slices.Contains(connection.Transitions[c.Status], connection.Paused)
			},
			do: func(ctx context.Context, id string) error {
				_, err := a.Operations.Fleet.PauseWithAll(ctx, id, in.Actor)
				return err
			},
		})
	})
	sweeping(a, huma.Operation{
		OperationID: "resume-all", Path: "/v1/operations/resume", Summary: "Resume all connections",
		Description: "Resumes every connection that was paused by POST /v1/operations/pause. Who was paused for its own reason, before or since, stays paused and is counted as skipped." + sweepInWords,
	}, "resume.all", func(ctx context.Context, in *SweepQuery) (*one[Sweep], error) {
		return a.sweep(ctx, in, pass{
			list: "resume-all", action: "resume.all",
			concerns: func(c *connection.Connection) bool {
				return c.Status == connection.Paused && c.Paused != nil && c.Paused.All
			},
			do: func(ctx context.Context, id string) error {
				_, err := a.Operations.Fleet.ResumeWithAll(ctx, id, in.Actor)
				return err
			},
		})
	})
}

// sweeping registers an operation that goes through all connections.
func sweeping[I any](a *API, op huma.Operation, action string, handle func(context.Context, *I) (*one[Sweep], error)) {
	op.Method, op.DefaultStatus, op.Tags, op.Errors = http.MethodPost, http.StatusOK, []string{tagOperations}, []int{400, 409}
	op.Extensions = map[string]any{auditExtension: []string{action}}
	register(a, op, handle)
}

// requeueAll keeps when it began, and its window, in the continuation, so that
// a repeated call names the same runs.
func (a *API) requeueAll(ctx context.Context, in *requeueAllRequest) (*one[Sweep], error) {
	after, err := resume(listRequeue, "", in.Continuation)
	if err != nil {
		return nil, err
	}
	since, window := a.Now().UTC().Truncate(time.Millisecond), time.Duration(in.Spread)*time.Second
	if after != "" {
		parts := strings.SplitN(after, ".", 3)
		ms, e1 := strconv.ParseInt(parts[0], 10, 64)
		if len(parts) != 3 || e1 != nil {
			return nil, problem(codeContinuation, "The continuation is damaged.").at("query.continuation", "expected a continuation of this list")
		}
		seconds, e2 := strconv.Atoi(parts[1])
		if e2 != nil || seconds < 0 || seconds > 21600 {
			return nil, problem(codeContinuation, "The continuation is damaged.").at("query.continuation", "expected a continuation of this list")
		}
		since, window = time.UnixMilli(ms).UTC(), time.Duration(seconds)*time.Second
	}
	return a.sweep(ctx, &in.SweepQuery, pass{
		list: listRequeue, action: "requeue.all", prefix: fmt.Sprintf("%d.%d.", since.UnixMilli(), int(window.Seconds())),
		concerns: func(c *connection.Connection) bool { return c.Live() },
		do: func(ctx context.Context, id string) error {
			_, err := a.Operations.Requeuer.Requeue(ctx, id, since, window)
			return err
		},
	})
}

// pass is one way through all connections.
type pass struct {
	list, action string
	// prefix stands before the ID in the cursor.
	prefix   string
	concerns func(*connection.Connection) bool
	do       func(ctx context.Context, id string) error
}

// sweep does one call's part of a pass. Where something fails that may succeed
// later, it ends before that connection: the next call then answers why.
func (a *API) sweep(ctx context.Context, in *SweepQuery, p pass) (*one[Sweep], error) {
	cursor, err := resume(p.list, "", in.Continuation)
	if err != nil {
		return nil, err
	}
	after := strings.TrimPrefix(cursor, p.prefix)
	out := Sweep{Skipped: map[string]int{}, Refused: map[string]int{}}
	until, seen := a.Now().Add(sweepTime), 0
	answer := func(err error) (*one[Sweep], error) {
		if err != nil && out.Done+len(out.Refused) == 0 {
			return nil, err
		}
		if after != "" {
			out.Continuation = continuation(p.list, "", p.prefix+after)
		}
		return &one[Sweep]{out}, nil
	}
	for seen < in.Limit {
		cs, next, err := a.Connections.Connections(ctx, after, min(chunk, in.Limit-seen))
		if err != nil {
			return answer(err)
		}
		for i := range cs {
			if seen > 0 && a.Now().After(until) {
				return answer(nil)
			}
			if err := a.pass(ctx, &cs[i], in.Actor, p, &out); err != nil {
				return answer(err)
			}
			after = cs[i].ID
			seen++
		}
		if after = next; after == "" {
			break
		}
		if len(cs) == 0 { // rows that cannot be read: they count too, or there were no end
			seen++
		}
	}
	return answer(nil)
}

// pass does to one connection what is done to all, if it concerns it. The error
// is one that may pass.
func (a *API) pass(ctx context.Context, c *connection.Connection, actor string, p pass, out *Sweep) error {
	switch {
	case mayChange(c) != nil:
		out.Skipped[string(connection.Offboarded)]++
		return nil
	case !p.concerns(c):
		out.Skipped[string(c.Status)]++
		return nil
	}
	entry := connection.Entry{Connection: c.ID, Source: connection.FromAPI, Actor: actor}
	acts := []act{{p.action, nil}}
	if err := a.note(ctx, entry, acts); err != nil {
		return err
	}
	err := p.do(ctx, c.ID)
	if err == nil {
		out.Done++
		return nil
	}
	refusal := answer(ctx, a.Log, p.list, err)
	a.noteRefusal(ctx, entry, acts, refusal)
	if refusal.Status >= http.StatusInternalServerError || refusal.Status == http.StatusTooManyRequests || refusal.Status == http.StatusForbidden {
		return refusal
	}
	out.Refused[refusal.code()]++
	return nil
}
