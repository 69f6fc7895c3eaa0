package schedule

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const (
	// waveLeast and waveShare are how many connections at least, and what part
	// of those verified and not paused that use the vendor's app, as one in so
	// many, make a wave when they seem withdrawn within an hour: so many customers
	// do not leave at once.
	waveLeast = 3
	waveShare = 50
)

// Waves keeps the last wave.
type Waves interface {
	// Wave is zero before the first one.
	Wave(ctx context.Context) (connection.Wave, error)
	// PutWave returns [fault.Conflict] if another was stored since the Version.
	PutWave(ctx context.Context, w connection.Wave) error
}

// Audit is the audit log.
type Audit interface {
	Note(ctx context.Context, e connection.Entry) error
}

// sighting is one time at which a connection seemed withdrawn.
type sighting struct {
	at time.Time
	of string
}

// counts reports whether a suspicion can be part of a wave: it is of the
// vendor's app, and the connection was not acquitted since it last succeeded.
// Else one that is tried each hour could keep a wave going.
func counts(c *connection.Connection) bool {
	return c.OwnApp == "" && c.Health.Acquitted.IsZero()
}

func sightings(cs []connection.Connection) (all []sighting) {
	for _, c := range cs {
		if !counts(&c) {
			continue
		}
		s := c.Health.Suspicion
		all = append(all, sighting{s.First, c.ID})
		if s.Last.After(s.First) {
			all = append(all, sighting{s.Last, c.ID})
		}
	}
	slices.SortFunc(all, func(a, b sighting) int { return a.at.Compare(b.at) })
	return all
}

// waves are the waves that the sightings, in order of time, make or carry on,
// the last one known included if they carry it on. The same sightings make the
// same last wave, whether it is known already or not.
func waves(last connection.Wave, all []sighting, verified int) (ws []connection.Wave) {
	var w *connection.Wave
	open := func(next connection.Wave) {
		ws = append(ws, next)
		w = &ws[len(ws)-1]
	}
	for i, s := range all {
		switch {
		case w != nil && w.Has(s.at):
		case last.Has(s.at):
			open(last)
		case crowd(all[i:], verified):
			open(connection.Wave{Since: s.at, Last: s.at})
		default:
			continue
		}
		if s.at.After(last.Last) { // else it was counted in an earlier sweep
			w.Tenants++
		}
		if s.at.After(w.Last) {
			w.Last = s.at
		}
	}
	return ws
}

// crowd reports whether within an hour of the first sighting so many
// connections were seen that they make a wave.
func crowd(all []sighting, verified int) bool {
	seen := map[string]bool{}
	for _, s := range all {
		if s.at.After(all[0].at.Add(connection.WaveLull)) {
			break
		}
		if seen[s.of] = true; len(seen) >= waveLeast && len(seen)*waveShare >= verified {
			return true
		}
	}
	return false
}

// judge decides what becomes of the suspicions. Who is part of a wave is
// acquitted, once, and while one goes on nobody is marked; else who was seen
// twice, hours apart, is disconnected, and who was acquitted not before a day
// has passed. Of all this a connection's own app knows nothing but the two
// sightings. The wave is stored before anything follows from
// it, so that a janitor that dies in between goes on in the next sweep, and its
// alert is raised by whoever stored it, once.
func (j *Janitor) judge(ctx context.Context, suspects []connection.Connection, verified int, now time.Time) error {
	if len(suspects) == 0 {
		return nil
	}
	last, err := j.Waves.Wave(ctx)
	if err != nil {
		return err
	}
	ws := waves(last, sightings(suspects), verified)
	if n := len(ws); n > 0 && ws[n-1].Last.After(last.Last) {
		w := ws[n-1]
		w.Version = last.Version
		fresh := w.Since.After(last.Last)
		if fresh {
			w.ID = rand.Text()
		}
		if ours, err := j.putWave(ctx, w); !ours || err != nil {
			return err
		}
		if fresh {
			j.Log.ErrorContext(ctx, "disconnect wave", "connections", w.Tenants, "verified", verified, "since", w.Since, "last", w.Last)
		}
	}
	ws = append(ws, last)
	_, short, first := each(ctx, every(suspects), func(ctx context.Context, c connection.Connection) error {
		return j.sentence(ctx, c, ws, now)
	})
	return cmp.Or(first, short)
}

// putWave stores the wave; ours is false if another janitor was faster, who is
// at it then.
func (j *Janitor) putWave(ctx context.Context, w connection.Wave) (ours bool, err error) {
	err = j.Waves.PutWave(ctx, w)
	if !fault.Is(err, fault.Conflict) {
		return err == nil, err
	}
	// It may be stored by a try whose answer was lost.
	stored, err := j.Waves.Wave(ctx)
	return err == nil && stored.ID == w.ID && stored.Last.Equal(w.Last), err
}

// sentence does to one suspect what follows from the waves.
func (j *Janitor) sentence(ctx context.Context, c connection.Connection, ws []connection.Wave, now time.Time) (err error) {
	defer fault.Wrap(&err, "schedule: suspicion of %s", c.ID)
	marked, seen := false, c.Health.Suspicion.Last
	open := c.OwnApp == "" && slices.ContainsFunc(ws, func(w connection.Wave) bool { return w.Open(now) })
	err = update(ctx, j.Previews, c, func(c *connection.Connection) bool {
		marked = false
		s := c.Health.Suspicion
		switch {
		case !c.Live() || s == nil || !s.Last.Equal(seen): // what is new is for the next sweep
			return false
		case counts(c) && slices.ContainsFunc(ws, func(w connection.Wave) bool { return w.Has(s.First) || w.Has(s.Last) }):
			c.Acquit(now)
			return true
		case open || !s.Confirmed() || now.Before(c.Health.Acquitted.Add(connection.WaveMost)):
			return false
		}
		j.note(ctx, c, s)
		marked = c.Withdraw(now) == nil
		return marked
	})
	if err == nil && marked {
		j.Log.WarnContext(ctx, "customer has withdrawn the app", "connection", c.ID)
	}
	return err
}

// note puts into the audit log that the connection is disconnected, before it
// is marked so: under an ID of its own, so that a janitor that dies in between
// notes it once.
func (j *Janitor) note(ctx context.Context, c *connection.Connection, s *connection.Suspicion) {
	err := j.Audit.Note(ctx, connection.Entry{
		ID: job.RunID(s.Last, c.ID, "disconnected"), Connection: c.ID, At: s.Last, Source: connection.FromRollcall,
		Action: "disconnected", Outcome: "done", Detail: map[string]string{"code": s.Code, "first": s.First.UTC().Format(time.RFC3339)},
	})
	if err != nil {
		j.Log.ErrorContext(ctx, "not in the audit log", "connection", c.ID, "action", "disconnected", "err", err)
	}
}
