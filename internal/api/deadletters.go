package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// DeadLetters are the messages that the queue has given up delivering.
type DeadLetters interface {
	// DeadLetters lists those of a connection, of all if that is empty; next is
	// empty at the end.
	DeadLetters(ctx context.Context, connection, after string, limit int) (ds []job.DeadLetter, next string, err error)
	// Resubmit puts those of a connection on the queue again that judge sends,
	// at most limit, or only the one with the sequence number unless that is 0.
	// It reports how many met each fate, and whether more wait for another call.
	Resubmit(ctx context.Context, connection string, sequence int64, limit int,
		judge func(context.Context, job.Job) (job.Fate, error)) (met map[job.Fate]int, more bool, err error)
}

// DeadLetter is a message that the queue has given up delivering. Messages hold
// IDs only; of what is no message of ours only the number is told.
type DeadLetter struct {
	Sequence    string     `json:"sequence" doc:"The number that the queue gave the message; POST /v1/connections/{id}/resubmit takes it." example:"4711"`
	Message     string     `json:"message,omitempty" doc:"The message's identity; absent if it does not look like ours." example:"k7vq2x5n3jd4mzs6ab2chtwyeu/04f8f6b1c2d-9f2c4e71ab03/0"`
	Version     int        `json:"version" doc:"The version of the message; 0 if it is none of ours." example:"1"`
	Readable    bool       `json:"readable" doc:"Whether this build can work on it. One of a newer version waits for the newer build." example:"true"`
	Connection  string     `json:"connection,omitempty" doc:"Absent unless readable." example:"k7vq2x5n3jd4mzs6ab2chtwyeu"`
	Run         string     `json:"run,omitempty" doc:"The run's ID for sync, the consent's for verify, the offboarding's for offboard." example:"04f8f6b1c2d-9f2c4e71ab03"`
	Kind        string     `json:"kind,omitempty" enum:"sync,verify,offboard" doc:"What the message asks for." example:"sync"`
	Trigger     string     `json:"trigger,omitempty" doc:"Who started the run; absent where a run goes on." example:"schedule"`
	Slice       int        `json:"slice" doc:"Which continuation of the run it is, or which attempt at verifying." example:"0"`
	Reason      string     `json:"reason,omitempty" doc:"Why the queue gave it up, in Service Bus' own word." example:"MaxDeliveryCountExceeded"`
	Description string     `json:"description,omitempty" doc:"The same in words; absent unless the reason is Service Bus' own." example:"Message could not be consumed after 10 delivery attempts."`
	Enqueued    *time.Time `json:"enqueued,omitempty" doc:"When it was put on the queue." example:"2026-11-21T06:00:00Z"`
	Deliveries  int        `json:"deliveries" doc:"How many deliveries failed." example:"10"`
}

// DeadLetterPage is a page of dead letters.
type DeadLetterPage struct {
	DeadLetters []DeadLetter `json:"deadLetters" nullable:"false" doc:"The oldest first."`
	Page
}

// Resubmission is what became of dead letters.
type Resubmission struct {
	Resubmitted int  `json:"resubmitted" doc:"How many were put on the queue again." example:"2"`
	Ended       int  `json:"ended" doc:"How many were deleted, because their run, or the connection, has ended: they would do nothing." example:"1"`
	Left        int  `json:"left" doc:"How many stay where they are: of another version, or a sync of one person, which might bring back somebody who was erased since; name its sequence to resubmit it all the same." example:"0"`
	More        bool `json:"more" doc:"Whether more of them wait for another call." example:"false"`
}

type deadLettersRequest struct {
	PageQuery
	Connection string `query:"connection" pattern:"^[a-z0-9-]{1,64}$" patternDescription:"the ID of a connection" doc:"Only those of this connection."`
}

type resubmitRequest struct {
	Caller
	Target
	Sequence string `query:"sequence" pattern:"^[1-9][0-9]{0,17}$" patternDescription:"the sequence of a dead letter" doc:"Only this one."`
}

// Resolve refuses an empty sequence: somebody meant one, and would get all.
func (r *resubmitRequest) Resolve(c huma.Context) []error {
	u := c.URL()
	if r.Sequence == "" && u.Query().Has("sequence") {
		return []error{&huma.ErrorDetail{Location: "query.sequence", Message: "expected the sequence of a dead letter; left out, it stands for all"}}
	}
	return nil
}

// maxResubmitted is how many dead letters one call puts on the queue again: as
// many as a minute suffices for by far.
const maxResubmitted = 200

func (a *API) deadLetterRoutes() {
	register(a, huma.Operation{
		OperationID: "list-dead-letters", Method: http.MethodGet, Path: "/v1/operations/dead-letters",
		Tags: []string{tagOperations}, Summary: "List dead letters",
		Description: "The messages that the queue has given up delivering, the oldest first. Nothing is taken off the queue. At most 5,000 are looked at for one answer: one for a connection may hold none, and still continue." + pagesInWords,
		Errors:      []int{400},
	}, a.deadLetters)
	t := audited("dead-letters.resubmit", func(in *resubmitRequest) map[string]string {
		if in.Sequence == "" {
			return nil
		}
		return map[string]string{"sequence": in.Sequence}
	})
	t.ended = true // what is left of a purge is resubmitted too
	change(a, huma.Operation{
		OperationID: "resubmit-dead-letters", Method: http.MethodPost, Path: "/v1/connections/{id}/resubmit",
		DefaultStatus: http.StatusOK, Tags: []string{tagOperations}, Summary: "Resubmit dead letters of a connection",
		Description: "Puts the connection's dead letters on the queue again, under identities that the queue has not seen, and takes them off the dead letters; at most 200 in one call. " +
			"Mend first what they failed of. A run goes on where it was, one that has ended does nothing. If the answer is lost, ask again: what was sent already is not sent twice.",
		Errors: []int{404, 409},
	}, t, a.resubmit)
}

func (a *API) deadLetters(ctx context.Context, in *deadLettersRequest) (*one[DeadLetterPage], error) {
	after, err := resume(listDeadLetters, in.Connection, in.Continuation)
	if err != nil {
		return nil, err
	}
	ds, next, err := a.Operations.DeadLetters.DeadLetters(ctx, in.Connection, after, in.Limit)
	if err != nil {
		return nil, err
	}
	page := DeadLetterPage{DeadLetters: []DeadLetter{}, Page: Page{continuation(listDeadLetters, in.Connection, next)}}
	for _, d := range ds {
		j := &d.Job
		page.DeadLetters = append(page.DeadLetters, DeadLetter{
			Sequence: strconv.FormatInt(d.Sequence, 10), Message: d.MessageID, Version: j.Version, Readable: d.Readable,
			Connection: j.Connection, Run: j.Run, Kind: string(j.Kind), Trigger: string(j.Trigger), Slice: j.Slice,
			Reason: d.Reason, Description: d.Description, Enqueued: when(d.Enqueued), Deliveries: d.Deliveries,
		})
	}
	return &one[DeadLetterPage]{page}, nil
}

func (a *API) resubmit(ctx context.Context, in *resubmitRequest) (*one[Resubmission], error) {
	c, err := a.connection(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if c.Status == connection.Paused && c.Offboarding == nil { // a worker would drop what is for a paused one
		return nil, problem(codePaused, "%s", samples[codePaused])
	}
	sequence, _ := strconv.ParseInt(in.Sequence, 10, 64) // at most 18 digits; 0 if absent
	met, more, err := a.Operations.DeadLetters.Resubmit(ctx, in.ID, sequence, maxResubmitted, func(ctx context.Context, j job.Job) (job.Fate, error) {
		return a.fate(ctx, &c, j, sequence != 0)
	})
	if err != nil {
		if met[job.Resent]+met[job.Done] == 0 {
			return nil, err
		}
		a.Log.WarnContext(ctx, "resubmission ended early", "connection", in.ID, "resubmitted", met[job.Resent], "err", err)
		more = true
	}
	return &one[Resubmission]{Resubmission{met[job.Resent], met[job.Done], met[job.Left], more}}, nil
}

// fate is what becomes of a dead letter of the connection.
func (a *API) fate(ctx context.Context, c *connection.Connection, j job.Job, named bool) (job.Fate, error) {
	switch {
	case j.Kind != job.Sync:
		return job.Resent, nil
	case mayChange(c) != nil:
		return job.Done, nil
	}
	r, err := a.Runs.Run(ctx, c.ID, j.Run)
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		return job.Left, err
	case err == nil && !r.Ended.IsZero():
		return job.Done, nil
	case j.Trigger == job.Person && !named:
		return job.Left, nil
	}
	return job.Resent, nil
}
