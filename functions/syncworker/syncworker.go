// Package syncworker is the queue function that does the jobs. A message is
// done with unless its job could neither be done nor put back for later.
package syncworker

import (
	"context"
	"log/slog"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/funchost"
	"rollcall/internal/job"
)

// Worker does jobs of one kind. A nil error means that the job is done with.
type Worker func(ctx context.Context, j job.Job) error

// Queue puts a job back for later.
type Queue interface {
	Send(ctx context.Context, j job.Job, at time.Time) error
}

// Function dispatches jobs to the use case of their kind.
type Function struct {
	Workers map[job.Kind]Worker
	Queue   Queue
	Now     func() time.Time
	Log     *slog.Logger
	// MinDelay and MaxDelay bound the wait before a job that could not even
	// be begun is tried again; it doubles with every try.
	MinDelay, MaxDelay time.Duration
}

// Do does the job of one message.
func (f Function) Do(ctx context.Context, inv funchost.Invocation) error {
	body, err := inv.Payload("job")
	var j job.Job
	if err == nil {
		j, err = job.Decode(body)
	}
	if err != nil {
		if fault.Is(err, fault.Invalid) {
			// Nobody can ever read it: it is logged and done with.
			f.Log.ErrorContext(ctx, "unreadable message dropped", "err", err)
			return nil
		}
		return err // of a newer version: an upgraded instance may take it, and the dead-letter queue keeps it
	}
	err = f.Workers[j.Kind](ctx, j)
	if err == nil {
		return nil
	}
	switch e := fault.Of(err); e.Kind {
	case fault.Invalid, fault.NotFound:
		f.Log.ErrorContext(ctx, "job dropped: trying again cannot help", "connection", j.Connection, "run", j.Run, "kind", e.Kind.String(), "err", err)
		return nil
	default:
		return f.later(ctx, j, e, err)
	}
}

// later puts the job back for later: a failed message would come back at
// once, and a short outage would spend all its deliveries in seconds.
func (f Function) later(ctx context.Context, j job.Job, e *fault.Error, cause error) error {
	j.Try++
	delay := f.MinDelay
	for n := 1; n < j.Try && delay < f.MaxDelay; n++ {
		delay *= 2
	}
	delay = max(min(delay, f.MaxDelay), e.After)
	if e.Code == job.OpenRun { // nothing has failed
		delay = e.After
	}
	f.Log.WarnContext(ctx, "job put back", "connection", j.Connection, "run", j.Run, "try", j.Try, "delay", delay, "remedy", e.Remedy, "err", cause)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return f.Queue.Send(ctx, j, f.Now().Add(delay))
}
