package schedule

import (
	"context"
	"crypto/rand"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const (
	// previewCooldown is the least time between two previews of one
	// connection: each of them reads as much as a sync does.
	previewCooldown = 2 * time.Minute
	// personCooldown is the least time between two syncs of one person.
	personCooldown = 10 * time.Second
	// sameErasure is how long a repeated erasure is the one asked for before.
	sameErasure = 10 * time.Minute
)

// Preview starts a run that writes beside the stored directory, not into it,
// and returns that run. It returns [fault.NotFound] for an unknown connection,
// [fault.Denied] with code "not_connected" for one that cannot run, and
// [fault.Throttled] within two minutes of the last preview.
func (s *Scheduler) Preview(ctx context.Context, id, actor string) (run string, err error) {
	defer fault.Wrap(&err, "schedule: preview of %s", id)
	return s.ask(ctx, id, connection.Ask{Trigger: string(job.Preview), By: actor}, previewCooldown)
}

// Person starts a run that brings one person up to date and returns it. The
// person is named by a lower-case GUID; any other name is [fault.Invalid].
// Otherwise it fails as [Scheduler.Preview] does; the person's last sync must
// be ten seconds ago.
func (s *Scheduler) Person(ctx context.Context, id, person, actor string) (run string, err error) {
	defer fault.Wrap(&err, "schedule: sync of person %s of %s", person, id)
	if err := checkPerson(person); err != nil {
		return "", err
	}
	return s.ask(ctx, id, connection.Ask{Trigger: string(job.Person), Person: person, By: actor}, personCooldown)
}

// Erase starts the run that erases one person and returns it. Repeated within
// ten minutes it returns the same run and sends the same message again, which
// the queue drops if it has it. It fails as [Scheduler.Person] does, but is
// never throttled.
func (s *Scheduler) Erase(ctx context.Context, id, person, actor string) (run string, err error) {
	defer fault.Wrap(&err, "schedule: erasure of person %s of %s", person, id)
	if err := checkPerson(person); err != nil {
		return "", err
	}
	return s.ask(ctx, id, connection.Ask{Trigger: string(job.Erase), Person: person, By: actor}, 0)
}

func checkPerson(id string) error {
	if _, ok := directory.Key(id); !ok {
		return fault.New(fault.Invalid, "not a lower-case GUID").
			WithRemedy("Name the person by the user's object ID: a GUID in lower case.")
	}
	return nil
}

// ask notes who asked for what, under the version that was read, and then
// sends the run's message. A message that was not sent is sent by whoever asks
// again: its identity is the run's, so that the queue drops repeats.
func (s *Scheduler) ask(ctx context.Context, id string, a connection.Ask, cooldown time.Duration) (run string, err error) {
	for try := 1; ; try++ {
		c, err := s.Connections.Connection(ctx, id)
		if err != nil {
			return "", err
		}
		if !c.Live() {
			return "", fault.New(fault.Denied, "status is %q", c.Status).WithCode("not_connected").
				WithRemedy("Send the customer's administrator the link; the first sync starts by itself when they have consented.")
		}
		now := s.Now().UTC()
		if last := lastAsk(&c, &a); last != nil {
			passed := now.Sub(last.At)
			switch {
			case a.Run != "" && last.Run == a.Run: // stored by a try whose answer was lost
				return last.Run, s.send(ctx, id, last)
			case a.Trigger == string(job.Erase) && passed < sameErasure:
				return last.Run, s.send(ctx, id, last)
			case passed < cooldown:
				if passed > resendAfter {
					if err := s.send(ctx, id, last); err != nil {
						s.Log.WarnContext(ctx, "run asked for before not confirmed", "connection", id, "run", last.Run, "err", err)
					}
				}
				e := fault.New(fault.Throttled, "last asked for at %s", last.At.Format(time.RFC3339)).WithCode("cooldown").
					WithRemedy("Wait for the time that Retry-After gives, or read the run that was asked for: %s.", last.Run)
				e.After = cooldown - passed
				return "", e
			}
		}
		a.At, a.Run = now, job.RunID(now, id, rand.Text())
		note(&c, a)
		switch _, err := s.Connections.UpdateConnection(ctx, c); {
		case err == nil:
			return a.Run, s.send(ctx, id, &a)
		case !fault.Is(err, fault.Conflict) || try == maxUpdates:
			return "", err
		}
	}
}

// lastAsk is the newest run of the same kind and person, nil if there is none.
func lastAsk(c *connection.Connection, a *connection.Ask) *connection.Ask {
	for i := range c.Asks {
		if c.Asks[i].Trigger == a.Trigger && c.Asks[i].Person == a.Person {
			return &c.Asks[i]
		}
	}
	return nil
}

// note adds the run to those asked for. The newest preview is kept whatever
// else is asked for: by it the janitor knows that there is something to drop.
func note(c *connection.Connection, a connection.Ask) {
	preview := connection.Ask{Trigger: string(job.Preview)}
	last := lastAsk(c, &preview)
	if last != nil {
		preview = *last
	}
	c.Ask(a)
	if last != nil && lastAsk(c, &preview) == nil {
		c.Asks[len(c.Asks)-1] = preview
	}
}

func (s *Scheduler) send(ctx context.Context, id string, a *connection.Ask) error {
	return s.Queue.Send(ctx, job.Job{
		Kind: job.Sync, Connection: id, Run: a.Run, Trigger: job.Trigger(a.Trigger), Person: a.Person,
	}, time.Time{})
}
