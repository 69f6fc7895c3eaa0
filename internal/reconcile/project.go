package reconcile

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
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
	var healed bool
	err := w.update(ctx, func(c *connection.Connection) error {
		if c.Again == r.ID {
			next := job.Job{Kind: job.Sync, Connection: c.ID, Run: job.RunID(r.Ended, c.ID, r.ID), Trigger: job.Again}
			if c.Live() { // else it would be dropped
				if err := w.Queue.Send(ctx, next, time.Time{}); err != nil {
					return err
				}
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
		was := c.Status
		w.follow(ctx, c, &r)
		healed = was == connection.Disconnected && c.Status != was
		return nil
	})
	if err != nil || !healed {
		return err
	}
	w.log.InfoContext(ctx, "tenant answers again", "status", string(w.conn.Status))
	if w.Audit == nil {
		return nil
	}
	err = w.Audit.Note(ctx, connection.Entry{
		Connection: w.conn.ID, At: r.Ended, Source: connection.FromRollcall, Action: "reconnected", Outcome: "done",
		Detail: map[string]string{"run": r.ID, "status": string(w.conn.Status)},
	})
	if err != nil { // what Rollcall does by itself goes on
		w.log.ErrorContext(ctx, "not in the audit log", "action", "reconnected", "err", err)
	}
	return nil
}

// follow lets the connection's status follow from the run. That of a paused
// one follows when it is resumed. Nothing follows while a new consent is being
// verified, which a run that was open before says nothing of.
func (w *worker) follow(ctx context.Context, c *connection.Connection, r *job.Run) {
	paused := c.Status == connection.Paused && c.Paused != nil
	if !paused && !c.Live() {
		return
	}
	status, told := outcome(c, r)
	switch {
	case !told:
	case paused:
		p := *c.Paused
		p.Before = status
		c.Paused = &p
	default:
		if err := c.Move(status); err != nil {
			w.log.WarnContext(ctx, "status left as it is", "err", err)
		}
	}
}

// stands is the connection's status, were it not paused.
func stands(c *connection.Connection) connection.Status {
	if c.Status == connection.Paused && c.Paused != nil {
		return c.Paused.Before
	}
	return c.Status
}

// outcome puts what the run means for the connection into it, and returns its
// status; told is false where the run changes nothing about that.
func outcome(c *connection.Connection, r *job.Run) (status connection.Status, told bool) {
	asked := r.Trigger.Asked()
	switch {
	case r.State == job.Stopped:
		return "", false
	case r.State == job.RunFailed && r.Trigger.Targets():
		return "", false // of one person nothing follows for the others
	case r.State == job.RunFailed && r.Class == fault.Ours && c.OwnApp == "":
		return "", false // no customer is to blame, and the vendor is alerted
	case asked && r.State != job.RunFailed && stands(c) == connection.Disconnected:
		return "", false // it may have asked Microsoft nothing
	case r.State == job.RunFailed:
		c.Problem = &connection.Problem{Code: r.Code, Message: r.Error, Remedy: r.Remedy, At: r.Ended, Consent: r.Class == fault.Disconnected}
		c.Learn(r.Class, true, r.Code, r.Ended)
		if stands(c) == connection.Disconnected { // until a run succeeds
			return connection.Disconnected, true
		}
		return connection.Failed, true
	}
	if !asked {
		c.LastSuccess = r.Ended
		c.Learn("", false, "", r.Ended)
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
	case asked && stands(c) != connection.Held:
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
