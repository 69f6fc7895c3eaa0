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
	// window is the time in which so many runs for one person, whoever it is,
	// may be asked for. Each of them keeps the connection's other runs waiting.
	window      = 10 * time.Minute
	maxPersons  = 30
	maxErasures = 10
)

// Preview starts a run that writes beside the stored directory, not into it,
// and returns that run. It returns [fault.NotFound] for an unknown connection,
// [fault.Denied] for one that cannot run, with the codes of [Scheduler.Manual],
// and [fault.Throttled] within two minutes of the last preview, with the run of
// that one.
func (s *Scheduler) Preview(ctx context.Context, id, actor string) (run string, err error) {
	defer fault.Wrap(&err, "schedule: preview of %s", id)
	return s.ask(ctx, id, connection.Ask{Trigger: string(job.Preview), By: actor}, limits{cooldown: previewCooldown})
}

// Person starts a run that brings one person up to date and returns it. The
// person is named by a lower-case GUID; any other name is [fault.Invalid].
// Otherwise it fails as [Scheduler.Preview] does; the person's last sync must
// be ten seconds ago. It is also [fault.Throttled], without a run, if 30 were
// asked for within ten minutes.
func (s *Scheduler) Person(ctx context.Context, id, person, actor string) (run string, err error) {
	defer fault.Wrap(&err, "schedule: sync of person %s of %s", person, id)
	if err := checkPerson(person); err != nil {
		return "", err
	}
	return s.ask(ctx, id, connection.Ask{Trigger: string(job.Person), Person: person, By: actor}, limits{cooldown: personCooldown, most: maxPersons})
}

// Erase starts the run that erases one person and returns it. Repeated within
// ten minutes it returns the same run, unless that has ended or somebody has
// asked for a sync of the person since, and sends its message if that is not
// known to have arrived. It fails as [Scheduler.Person] does, but with a limit
// of ten within ten minutes, and the connection need not be able to run: it
// suffices that it has ever had a tenant, and is not offboarded.
func (s *Scheduler) Erase(ctx context.Context, id, person, actor string) (run string, err error) {
	defer fault.Wrap(&err, "schedule: erasure of person %s of %s", person, id)
	if err := checkPerson(person); err != nil {
		return "", err
	}
	return s.ask(ctx, id, connection.Ask{Trigger: string(job.Erase), Person: person, By: actor}, limits{most: maxErasures})
}

func checkPerson(id string) error {
	if _, ok := directory.Key(id); !ok {
		return fault.New(fault.Invalid, "not a lower-case GUID").
			WithRemedy("Name the person by the user's object ID: a GUID in lower case.")
	}
	return nil
}

// limits is how often runs of one trigger may be asked for: the least time
// between two of the same person, and the most within the window, if not 0.
type limits struct {
	cooldown time.Duration
	most     int
}

// ask stores who asked for what, under the version that was read, and then
// sends the run's message. Once it is stored it is promised: a message that
// was not sent is sent by whoever asks again or by [Scheduler.Repair]. Its
// identity is the run's, so that the queue drops repeats.
func (s *Scheduler) ask(ctx context.Context, id string, a connection.Ask, l limits) (run string, err error) {
	for try := 1; ; try++ {
		c, err := s.Connections.Connection(ctx, id)
		if err != nil {
			return "", err
		}
		if err := refuse(&c); err != nil && !(a.Trigger == string(job.Erase) && erasable(&c)) {
			return "", err
		}
		now := s.Now().UTC()
		if last := lastAsk(&c, &a); last != nil {
			passed := now.Sub(last.At)
			mine := a.Run != "" && last.Run == a.Run // stored by a try whose answer was lost
			same := false
			if a.Trigger == string(job.Erase) && passed < sameErasure {
				if same, err = s.underWay(ctx, &c, last); err != nil {
					return "", err
				}
			}
			if !last.Sent && (mine || same || passed > resendAfter && passed < l.cooldown) {
				s.dispatch(ctx, c, *last)
			}
			switch {
			case mine || same:
				return last.Run, nil
			case passed < l.cooldown:
				e := fault.New(fault.Throttled, "last asked for at %s", last.At.Format(time.RFC3339)).WithCode("cooldown").
					WithRemedy("Wait for the time that Retry-After gives, or read the run that was asked for: %s.", last.Run)
				e.After = l.cooldown - passed
				return last.Run, e
			}
		}
		if wait := crowded(&c, a.Trigger, l.most, now); wait > 0 {
			e := fault.New(fault.Throttled, "%d within %s", l.most, window).WithCode("too_many").
				WithRemedy("At most %d such runs can be asked for within ten minutes. Wait for the time that Retry-After gives; for many people, ask for a sync of the connection.", l.most)
			e.After = wait
			return "", e
		}
		a.At, a.Run = now, job.RunID(now, id, rand.Text())
		note(&c, a)
		switch stored, err := s.Connections.UpdateConnection(ctx, c); {
		case err == nil:
			s.dispatch(ctx, stored, a)
			return a.Run, nil
		case !fault.Is(err, fault.Conflict) || try == maxUpdates:
			return "", err
		}
	}
}

// erasable reports whether there may be stored people, and runs to erase one.
func erasable(c *connection.Connection) bool {
	return c.Tenant != "" && c.Status != connection.Offboarded
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

// underWay reports whether an erasure that was asked for is still to come to
// its end, and nobody has asked for a sync of the person since, which would
// store the person again.
func (s *Scheduler) underWay(ctx context.Context, c *connection.Connection, erasure *connection.Ask) (bool, error) {
	for _, a := range c.Asks { // newest first
		if a.Run == erasure.Run {
			break
		}
		if a.Trigger == string(job.Person) && a.Person == erasure.Person {
			return false, nil
		}
	}
	r, err := s.Runs.Run(ctx, c.ID, erasure.Run)
	if fault.Is(err, fault.NotFound) { // no worker has opened it yet
		return true, nil
	}
	return err == nil && r.Ended.IsZero(), err
}

// crowded is how long it takes until fewer than most runs of the trigger were
// asked for within the window; 0 if so already, or if there is no limit.
func crowded(c *connection.Connection, trigger string, most int, now time.Time) time.Duration {
	n := 0
	for _, a := range c.Asks { // newest first
		if a.Trigger != trigger {
			continue
		}
		if n++; n == most {
			return max(a.At.Add(window).Sub(now), 0)
		}
	}
	return 0
}

// note adds the run to those asked for. If there are too many, the oldest
// whose message was sent goes, but never the newest preview: by it the janitor
// knows that there is something to drop.
func note(c *connection.Connection, a connection.Ask) {
	if len(c.Asks) >= connection.MaxAsks {
		newest := lastAsk(c, &connection.Ask{Trigger: string(job.Preview)})
		drop := -1
		for i := range c.Asks {
			kept := newest == &c.Asks[i] && a.Trigger != newest.Trigger
			if !kept && (c.Asks[i].Sent || drop < 0 || !c.Asks[drop].Sent) {
				drop = i
			}
		}
		c.Asks = append(c.Asks[:drop], c.Asks[drop+1:]...)
	}
	c.Ask(a)
}

// dispatch sends the messages of what was asked for and notes which arrived.
// What fails is logged: it is stored, and [Scheduler.Repair] sends it.
func (s *Scheduler) dispatch(ctx context.Context, c connection.Connection, asks ...connection.Ask) {
	sent := map[string]bool{}
	for _, a := range asks {
		err := s.Queue.Send(ctx, job.Job{
			Kind: job.Sync, Connection: c.ID, Run: a.Run, Trigger: job.Trigger(a.Trigger), Person: a.Person,
		}, time.Time{})
		if err != nil {
			s.Log.WarnContext(ctx, "run asked for not confirmed; it will be sent again", "connection", c.ID, "run", a.Run, "err", err)
			continue
		}
		sent[a.Run] = true
	}
	if err := s.markSent(ctx, c, sent); err != nil {
		s.Log.WarnContext(ctx, "runs asked for not noted as sent; they will be sent again", "connection", c.ID, "err", err)
	}
}

// markSent notes that the messages of these runs have arrived.
func (s *Scheduler) markSent(ctx context.Context, c connection.Connection, runs map[string]bool) error {
	return update(ctx, s.Connections, c, func(c *connection.Connection) (changed bool) {
		for i := range c.Asks {
			if a := &c.Asks[i]; runs[a.Run] && !a.Sent {
				a.Sent, changed = true, true
			}
		}
		return changed
	})
}

// repairAsks sends again what was asked for and whose sending was never
// confirmed. A run that has a record was sent, whatever is noted: by now the
// queue may have forgotten its message, which would then run twice.
func (s *Scheduler) repairAsks(ctx context.Context, c connection.Connection, now time.Time) (err error) {
	defer fault.Wrap(&err, "schedule: repair what was asked for of %s", c.ID)
	var lost []connection.Ask
	opened := map[string]bool{}
	for _, a := range c.Asks {
		if a.Sent || now.Sub(a.At) <= resendAfter {
			continue
		}
		switch _, err := s.Runs.Run(ctx, c.ID, a.Run); {
		case err == nil:
			opened[a.Run] = true
		case fault.Is(err, fault.NotFound):
			lost = append(lost, a)
		default:
			return err
		}
	}
	if len(opened) > 0 {
		if err := s.markSent(ctx, c, opened); err != nil {
			return err
		}
	}
	if len(lost) > 0 {
		s.dispatch(ctx, c, lost...)
	}
	return nil
}
