package pages

import (
	"net/http"
	"slices"

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
		if pg.Reason != "" {
			pg.ReasonText = pg.T("again." + pg.Reason + ".text")
		}
		lacks := v.Own && slices.ContainsFunc(pg.Troubles, func(t trouble) bool { return t.lacks })
		pg.Lead = pg.T("invitation.lead")
		switch pg.Renewal = v.Verified; {
		case !pg.Renewal && lacks:
			pg.ReasonText = pg.T("again.unconfirmed.own")
		case !pg.Renewal:
		case lacks:
			title, pg.Lead = "again.title", pg.T("again.own.lead")
		case pg.Reason == "failed":
			title, pg.Lead = "again.title", pg.T("again.failed.lead")
		default:
			title, pg.Lead = "again.title", pg.T("again.lead")
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
