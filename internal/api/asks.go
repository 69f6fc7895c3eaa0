package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

type personSyncRequest struct {
	Caller
	PersonTarget
}

type eraseRequest struct {
	Caller
	PersonTarget
	Body ErasureRequest
}

// ErasureRequest repeats whom an erasure is about.
type ErasureRequest struct {
	Confirm string `json:"confirm" pattern:"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" patternDescription:"a GUID in lower case" doc:"The person's ID once more." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
}

func (a *API) askRoutes() {
	change(a, huma.Operation{
		OperationID: "preview-connection", Method: http.MethodPost, Path: "/v1/connections/{id}/preview",
		DefaultStatus: http.StatusAccepted, Tags: []string{tagRuns}, Summary: "Preview a sync",
		Description: "Asks for a run that does all that a sync does, but writes beside what is stored: records, changes and the place in Microsoft's lists stay as they are. " +
			"Its run tells what would be created, updated, archived and held, how things would stand afterwards, and samples of the changes, which can be read for 24 hours, until the next preview or until somebody is erased. " +
			"It waits for the end of a sync that is under way. Asking again within two minutes is refused with Retry-After, and Location names the preview that was asked for. " +
			"Settings cannot be tried without saving them: change them first, then preview the sync that they lead to.",
		Responses: refusedWithRun(a), Errors: []int{404, 409},
	}, audited[governRequest]("preview", nil), func(ctx context.Context, in *governRequest) (*accepted, error) {
		return a.ask(in.ID, job.Preview, "", func() (string, error) { return a.Syncer.Preview(ctx, in.ID, in.Actor) })
	})
	change(a, huma.Operation{
		OperationID: "sync-person", Method: http.MethodPost, Path: "/v1/connections/{id}/people/{person}/sync",
		DefaultStatus: http.StatusAccepted, Tags: []string{tagRuns}, Summary: "Sync one person now",
		Description: "Asks for a run that brings one person up to date as a full sync would: found or not, in scope or not, properties, manager, teams. Its steps say what was done, and why. " +
			"The person need not be stored yet; one who was erased, and whom Microsoft still lists, is stored again. It waits for the end of a sync that is under way. Asking for the same person again within ten seconds is refused with Retry-After, and so is a 31st such run of the connection within ten minutes.",
		Responses: refusedWithRun(a), Errors: []int{404, 409},
	}, audited("person.sync", func(in *personSyncRequest) map[string]string { return named(&in.PersonTarget) }), func(ctx context.Context, in *personSyncRequest) (*accepted, error) {
		return a.ask(in.ID, job.Person, in.Person, func() (string, error) { return a.Syncer.Person(ctx, in.ID, in.Person, in.Actor) })
	})
	change(a, huma.Operation{
		OperationID: "erase-person", Method: http.MethodPost, Path: "/v1/connections/{id}/people/{person}/erase",
		DefaultStatus: http.StatusAccepted, Tags: []string{tagRuns}, Summary: "Erase one person",
		Description: "Asks for a run that deletes the person's record for good, takes what the feed told of the person out of it, and leaves a numbered person.erased behind. " +
			"The person is not stored again by later syncs, even if Microsoft still lists them, until somebody asks for a sync of that person. What was deleted cannot be brought back. The connection need not work any more; it suffices that it has ever had a tenant. " +
			"Repeated within ten minutes, the answer is the same run, unless that has ended or a sync of the person was asked for since. An eleventh such run of the connection within ten minutes is refused with Retry-After.",
		Errors: []int{404, 409},
	}, audited("person.erase", func(in *eraseRequest) map[string]string { return named(&in.PersonTarget) }), func(ctx context.Context, in *eraseRequest) (*accepted, error) {
		if in.Body.Confirm != in.Person {
			return nil, problem(codeValidation, "The body names another person than the path.").
				at("body.confirm", "expected the ID of the person in the path")
		}
		return a.ask(in.ID, job.Erase, in.Person, func() (string, error) { return a.Syncer.Erase(ctx, in.ID, in.Person, in.Actor) })
	})
}

// named is the person of a request, for the audit log; nothing if the path
// names somebody by what is no ID, and may be a name.
func named(p *PersonTarget) map[string]string {
	if _, ok := directory.Key(p.Person); !ok {
		return nil
	}
	return map[string]string{"person": p.Person}
}

// ask starts a run of the trigger, about a person if it targets one, and
// answers where to follow it.
func (a *API) ask(id string, trigger job.Trigger, person string, start func() (string, error)) (*accepted, error) {
	if _, ok := directory.Key(person); trigger.Targets() && !ok {
		return nil, missingPerson()
	}
	run, err := start()
	location := "/v1/connections/" + id + "/runs/" + run
	if fault.Is(err, fault.Throttled) && run != "" {
		return nil, &tooSoon{err, location}
	}
	if err != nil {
		return nil, err
	}
	return &accepted{
		Location: location,
		Body:     Run{ID: run, Trigger: string(trigger), Person: person, State: string(job.Queued), QueuedAt: when(a.Now().Truncate(time.Second))},
	}, nil
}

// tooSoon refuses a run because of an earlier one, which is at location.
type tooSoon struct {
	error
	location string
}

func (t *tooSoon) Unwrap() error { return t.error }

// refusedWithRun describes the answer to whoever asks too soon for a run.
func refusedWithRun(a *API) map[string]*huma.Response {
	r := a.failure(http.StatusTooManyRequests)
	r.Headers["Location"] = &huma.Param{
		Description: "The path of the run that was asked for before; absent if it is not one run that stands in the way.",
		Schema:      &huma.Schema{Type: huma.TypeString},
	}
	return map[string]*huma.Response{strconv.Itoa(http.StatusTooManyRequests): r}
}

// queued is a run that was asked for and that no worker has opened yet. Only
// the connection knows of it.
func queued(c *connection.Connection, run string) (Run, bool) {
	if c.Manual.Run == run {
		return Run{ID: run, Trigger: string(job.Manual), State: string(job.Queued), By: c.Manual.By, QueuedAt: when(c.Manual.At)}, true
	}
	if d := &c.Decision; d.Run == run {
		trigger := job.Reject
		if d.Approve {
			trigger = job.Approve
		}
		return Run{ID: run, Trigger: string(trigger), State: string(job.Queued), By: d.By, QueuedAt: when(d.At)}, true
	}
	i := slices.IndexFunc(c.Asks, func(a connection.Ask) bool { return a.Run == run })
	if i < 0 {
		return Run{}, false
	}
	a := &c.Asks[i]
	return Run{ID: run, Trigger: a.Trigger, Person: a.Person, State: string(job.Queued), By: a.By, QueuedAt: when(a.At)}, true
}
