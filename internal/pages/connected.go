package pages

import (
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/job"
)

// connected fills in what a connected connection shows.
func (p *page) connected(v consent.View) {
	waits := v.Status == connection.Connected && ended(v.Run) // for its first run
	p.Sync = p.T("connected.sync")
	if v.LastSuccess.IsZero() && v.Status == connection.Connected {
		p.Sync = p.T("connected.first")
	}
	switch {
	case v.Run == nil:
		p.RunText = p.T("run.none")
	case waits:
		p.RunText = p.T("run.queued")
	case v.Standing == connection.Throttled:
		p.RunText = p.T("run.throttled")
	case v.Run.State == job.Held && !v.Held && v.Status != connection.Held: // decided since
		p.RunText = p.T("run." + string(job.Succeeded))
	default:
		p.RunText = p.T("run." + string(v.Run.State))
	}
	if v.Paused && v.Run == nil {
		p.RunText = ""
	}
	p.stored(v)
	p.figures(v)
	times := func(key string, t time.Time) {
		if !t.IsZero() {
			p.Times = append(p.Times, timed{p.T(key), at(t)})
		}
	}
	if v.Run != nil {
		times("run.ended", v.Run.Ended)
		if v.Run.State == job.Waiting {
			times("run.next", v.Run.NextTry)
		}
	}
	if v.Paused {
		return
	}
	p.Troubles = p.troubles(v)
	if waits || !ended(v.Run) {
		p.Live = true
		return
	}
	times("run.due", v.NextDue)
}

// stored counts what is stored, of what the settings choose.
func (p *page) stored(v consent.View) {
	s := v.Stored
	if s == nil {
		return
	}
	p.Stored = []fact{{p.T("stored.people"), p.Number(s.People)}}
	if groups(v.Settings) {
		p.Stored = append(p.Stored, fact{p.T("stored.teams"), p.Number(s.Teams)}, fact{p.T("stored.memberships"), p.Number(s.Memberships)})
	}
}

// phases are what a run is at, as the last part of their texts' keys. A phase
// that is not here is not told.
var phases = map[string]string{
	"scope": "scope", "people": "people", "rejudge": "compare", "sweep": "compare", "managers": "managers",
	"teams": "teams", "teamsweep": "teams", "members": "teams", "licenses": "licenses", "mailboxes": "mailboxes",
	"fold": "finish", "judge": "finish", "settle": "finish", "hold": "finish", "positions": "finish", "tidy": "finish",
}

// figures say what the newest sync is at, or what it has changed.
func (p *page) figures(v consent.View) {
	r := v.Run
	if r == nil {
		return
	}
	figure := func(key string, n int) {
		if n > 0 {
			p.Figures = append(p.Figures, fact{p.T(key), p.Number(n)})
		}
	}
	live := !ended(r)
	if live {
		if key := phases[r.Phase]; key != "" {
			p.Figures = append(p.Figures, fact{p.T("run.phase"), p.T("run.phase." + key)})
		}
		figure("run.seen", r.Seen)
	}
	figure("run.created", r.Created)
	figure("run.updated", r.Updated)
	figure("run.archived", r.Archived)
	figure("run.reactivated", r.Reactivated)
	figure("run.teams", r.Teams.Created+r.Teams.Updated+r.Teams.Archived+r.Teams.Reactivated)
	figure("run.memberships", r.Memberships.Created+r.Memberships.Archived)
	if len(p.Figures) == 0 && r.State == job.Succeeded {
		p.RunText += " " + p.T("run.nothing")
	}
}

// Errands reports whether one of the troubles is the administrator's to mend.
func (p page) Errands() bool {
	for _, t := range p.Troubles {
		if t.yours {
			return true
		}
	}
	return false
}
