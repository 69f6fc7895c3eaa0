package pages

import (
	"net/http"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/job"
)

const (
	// refresh is how many seconds a page that shows progress stands.
	refresh = 5
	// refreshKey is the query key of who does not want that: whoever reads
	// slowly must be able to stop it (WCAG 2.1, 2.2.1).
	refreshKey, refreshOff = "refresh", "off"
)

// View shows where a connection stands.
func (p *Pages) View(w http.ResponseWriter, r *http.Request, v consent.View) {
	p.view(w, r, v, false)
}

// Unconfirmed shows it again to who pressed the button and has not confirmed
// that they may consent.
func (p *Pages) Unconfirmed(w http.ResponseWriter, r *http.Request, v consent.View) {
	p.view(w, r, v, v.Stage == consent.Invitation)
}

func (p *Pages) view(w http.ResponseWriter, r *http.Request, v consent.View, unconfirmed bool) {
	pg := p.page(r, v.Company)
	pg.View, pg.address = v, v.Link
	status, name, title := http.StatusOK, string(v.Stage), string(v.Stage)+".title"
	switch v.Stage {
	case consent.Invitation:
		pg.Step = 1
		pg.Expires = at(v.Expires)
		pg.missing = missing(v)
		pg.Grants, pg.Rest = pg.grants(v)
		pg.letter(v.Link)
		switch pg.Reason = reason(v); pg.Reason {
		case "":
		case "unconfirmed":
			pg.Troubles = pg.blocking(v.Problem)
		default:
			pg.Troubles = pg.troubles(v)
		}
		if pg.Renewal = v.Verified; pg.Renewal {
			title = "again.title"
		}
		pg.Waits = v.App == ""
		if pg.Unconfirmed = unconfirmed; unconfirmed {
			status = http.StatusUnprocessableEntity
		}
	case consent.Verifying:
		pg.Step = 3
		pg.Live = true
		pg.Since = at(v.Since)
		pg.Troubles = pg.blocking(v.Problem)
	default:
		name, title = string(consent.Connected), "connected.title"
		pg.Step = steps
		pg.connected(v)
	}
	if pg.still = r.URL.Query().Get(refreshKey) == refreshOff; pg.Live && !pg.still {
		pg.Refresh = refresh
	}
	pg.Title = pg.T(title)
	p.write(w, r, status, name, pg)
}

// reason is why a connection needs a consent once more, as the key of its
// text; empty if this is the first.
func reason(v consent.View) string {
	switch {
	case v.Status == connection.Disconnected:
		return "disconnected"
	case v.Status == connection.Failed && v.Verified:
		return "failed"
	case v.Status == connection.Failed:
		return "unconfirmed"
	case v.Problem != nil && v.Problem.Consent:
		return "degraded"
	case v.Verified:
		return "more"
	default:
		return ""
	}
}

// connected fills in what a connected connection shows.
func (p *page) connected(v consent.View) {
	waits := v.Status == connection.Connected && ended(v.Run) // for its first run
	switch {
	case v.Run == nil:
		p.RunText = p.T("run.none")
	case waits:
		p.RunText = p.T("run.queued")
	case v.Standing == connection.Throttled:
		p.RunText = p.T("run.throttled")
	default:
		p.RunText = p.T("run." + string(v.Run.State))
	}
	if v.Paused && v.Run == nil {
		p.RunText = ""
	}
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

// ended reports whether there is nothing more to see of a run.
func ended(r *job.Run) bool {
	if r == nil {
		return false
	}
	switch r.State {
	case job.Queued, job.Running, job.Waiting:
		return false
	}
	return true
}
