package reconcile

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/job"
)

// project writes what the fence says of the run that ended to where people
// look: its record and the connection. It may be done any number of times.
func (w *worker) project(ctx context.Context) error {
	if w.previewing() {
		return w.projectPreview(ctx)
	}
	r := w.fence.Run
	if w.conn.LastRun == r.ID && w.conn.Again != r.ID {
		return nil
	}
	if err := w.Connections.PutRun(ctx, w.conn.ID, r); err != nil {
		return err
	}
	return w.update(ctx, func(c *connection.Connection) error {
		if c.Again == r.ID {
			next := job.Job{Kind: job.Sync, Connection: c.ID, Run: job.RunID(r.Ended, c.ID, r.ID), Trigger: job.Again}
			if err := w.Queue.Send(ctx, next, time.Time{}); err != nil {
				return err
			}
			c.Again = ""
		}
		if c.LastRun == r.ID {
			return nil
		}
		c.LastRun = r.ID
		if r.Override && c.Override != nil && !c.Override.At.After(r.Ended) {
			c.Override = nil // leave for one run
		}
		status, told := outcome(c, &r)
		if !told {
			return nil
		}
		if err := c.Move(status); err != nil {
			w.log.WarnContext(ctx, "status left as it is", "err", err)
		}
		return nil
	})
}

// outcome puts what the run means for the connection into it, and returns its
// status; told is false where the run changes nothing about that.
func outcome(c *connection.Connection, r *job.Run) (status connection.Status, told bool) {
	asked := r.Trigger.Asked()
	switch {
	case r.State == job.RunFailed && r.Trigger.Targets():
		return "", false // of one person nothing follows for the others
	case r.State == job.RunFailed:
		c.Problem = &connection.Problem{Code: r.Code, Message: r.Error, Remedy: r.Remedy, At: r.Ended}
		return connection.Failed, true
	}
	if !asked {
		c.LastSuccess = r.Ended
	}
	switch {
	case r.State == job.Held:
		c.Problem = &connection.Problem{
			Code: "removals_held", Message: heldText(r.Plan),
			Remedy: "Ask the customer whether this is meant, then approve or reject the plan of run " + r.Plan.Run + ".",
			At:     r.Ended,
		}
		if len(r.Skipped) > 0 {
			also := skippedProblem(r)
			c.Problem.Message += " " + also.Message
			c.Problem.Remedy += " " + also.Remedy
			c.Problem.Consent = also.Consent
		}
		return connection.Held, true
	case asked && c.Status != connection.Held:
		return "", false // what else is wrong, such a run does not mend
	case len(r.Skipped) > 0:
		c.Problem = skippedProblem(r)
		return connection.Degraded, true
	}
	c.Problem = nil
	return connection.OK, true
}

// heldText says what waits for a human.
func heldText(p *job.Plan) string {
	var what []string
	if p.Count > 0 {
		what = append(what, fmt.Sprintf("%d of %d people would be archived", p.Count, p.Active))
	}
	if p.Teams > 0 {
		what = append(what, fmt.Sprintf("%d teams would be archived", p.Teams))
	}
	if p.Memberships > 0 {
		what = append(what, fmt.Sprintf("%d memberships would end", p.Memberships))
	}
	return strings.Join(what, ", ") + " at once. None was; nothing else of their kind is removed until it is decided, and everything but removals is written."
}

// skippedProblem sums up what the run left out.
func skippedProblem(r *job.Run) *connection.Problem {
	p := &connection.Problem{Code: r.Skipped[0].Code, At: r.Ended}
	var messages, remedies []string
	for _, s := range r.Skipped {
		p.Consent = p.Consent || s.Consent
		messages = append(messages, s.Message)
		if s.Remedy != "" && !strings.Contains(strings.Join(remedies, " "), s.Remedy) {
			remedies = append(remedies, s.Remedy)
		}
	}
	p.Message, p.Remedy = strings.Join(messages, " "), strings.Join(remedies, " ")
	return p
}
