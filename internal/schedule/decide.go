package schedule

import (
	"context"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Decide puts a human's decision on a held plan of removals on the queue and
// returns its run. It returns [fault.NotFound] for an unknown connection,
// [fault.Conflict] with code "plan_decided" if no plan of that run with that
// hash waits, or another decision on it is under way, and [fault.Denied] with
// the codes of [Scheduler.Manual] if the connection cannot run.
//
// The first decision on a plan counts; it is stored, with who made it, before
// its message is sent. After any other error the call is to be repeated: the
// same decision gives the same run, so that the queue drops repeats.
func (s *Scheduler) Decide(ctx context.Context, id, run, hash string, approve bool, actor string) (decision string, err error) {
	defer fault.Wrap(&err, "schedule: decision on run %s of %s", run, id)
	c, err := s.Connections.Connection(ctx, id)
	if err != nil {
		return "", err
	}
	f, err := s.Plans.Fence(ctx, id)
	if err != nil {
		return "", err
	}
	if f.Plan == nil || f.Plan.Run != run || f.Plan.Hash != hash {
		return "", decided("no such plan waits")
	}
	if err := refuse(&c); err != nil { // the worker would drop the message
		e := fault.Of(err)
		if e.Code == "not_connected" {
			err = e.WithRemedy("Have the customer's administrator finish consenting, then decide again; until then the plan waits.")
		}
		return "", err
	}
	trigger := job.Reject
	if approve {
		trigger = job.Approve
	}
	decision = decisionRun(&f, id, trigger)
	deciding := f.Open() && (f.Run.Trigger == job.Approve || f.Run.Trigger == job.Reject)
	if deciding && f.Run.ID != decision {
		return "", decided("run " + f.Run.ID + " is deciding it")
	}
	made := connection.Decision{Plan: hash, Run: decision, Approve: approve, At: s.Now().UTC(), By: actor}
	other := false
	err = update(ctx, s.Connections, c, func(c *connection.Connection) bool {
		other = c.Decision.Plan == hash && c.Decision.Approve != approve && !f.Ended(c.Decision.Run)
		repeated := c.Decision.Run == decision
		c.Decision = made
		return !other && !repeated
	})
	if err != nil {
		return "", err
	}
	if other {
		return "", decided("another decision on it was made")
	}
	j := job.Job{Kind: job.Sync, Connection: id, Run: decision, Trigger: trigger, Plan: hash}
	if err := s.Queue.Send(ctx, j, time.Time{}); err != nil {
		return "", err
	}
	return decision, nil
}

func decided(why string) error {
	return fault.New(fault.Conflict, "%s", why).WithCode("plan_decided").
		WithRemedy("Read the removals that wait now, and the connection's runs: the plan was decided, was replaced, or its people have returned.")
}

// decisionRun is the ID of the decision's run: a function of the plan and of
// how often that decision has failed, since the message of a run that ended
// opens nothing.
func decisionRun(f *job.Fence, id string, trigger job.Trigger) string {
	// Ends: the fence remembers a bounded number of runs.
	for at := f.Plan.At.Add(time.Millisecond); ; at = at.Add(time.Millisecond) {
		if run := job.RunID(at, id, string(trigger)+f.Plan.Hash); !f.Ended(run) {
			return run
		}
	}
}
