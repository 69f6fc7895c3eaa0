package consent

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Begin starts the first leg for the browser that holds the given secret, and
// returns where to send it: to sign in, or back to the link's page if there is
// nothing left to consent to. The error is a [*Refusal] if the link is dead, and
// [fault.Throttled] if its button is pressed too often.
func (f *Flow) Begin(ctx context.Context, token, browser string) (to string, err error) {
	defer fault.Wrap(&err, "consent: begin")
	if !ValidSecret(browser) {
		return "", &Refusal{Cause: BadRequest}
	}
	c, err := f.open(ctx, token)
	if err != nil {
		return "", err
	}
	consenting := c.Status == connection.Consenting
	if !consenting && !c.MayConsent() {
		return f.Links.URL(c), nil
	}
	if wait := f.presses.take(c.ID, maxPresses, pressEvery, f.Now()); wait > 0 {
		return "", &fault.Error{Kind: fault.Throttled, After: wait, Err: fmt.Errorf("connection %s: more than %d presses in %s", c.ID, maxPresses, pressEvery)}
	}
	if consenting {
		// Whoever presses the button again may be looking at a connection whose
		// message was never sent.
		return f.Links.URL(c), f.Queue.Send(ctx, message(c), time.Time{})
	}
	o, err := f.offer(ctx, c)
	if err != nil {
		if fault.Is(err, fault.Denied) {
			f.Log.ErrorContext(ctx, "no app to consent to", "connection", c.ID, "err", err)
		}
		return "", err
	}
	s := state{
		Leg: legSignIn, Browser: hash(browser), Connection: c.ID, Link: c.Link,
		Profile: o.profile.Name, App: o.app.ID, Own: o.app.Own,
		Nonce: NewSecret(), Verifier: NewSecret(),
	}
	secret, err := f.putState(ctx, s)
	if err != nil {
		return "", err
	}
	f.note(ctx, c, connection.Identity{}, actBegin, "done", s.details()...)
	return f.SignIn.AuthURL(s.app(), secret, s.Nonce, s.Verifier), nil
}

// Return ends the leg that the query belongs to and returns where to send the
// browser next: to admin consent after the first leg, to the link's page after
// the second. The error is a [*Refusal] for whatever is not proved, and then
// the connection stays as it was; the audit log holds the refusal, with the IDs
// of who was proved.
func (f *Flow) Return(ctx context.Context, query url.Values, browser string) (to string, err error) {
	defer fault.Wrap(&err, "consent: return")
	cb, err := parseCallback(query)
	if err != nil {
		return "", &Refusal{Cause: BadRequest, Err: err}
	}
	s, err := f.takeState(ctx, cb.State, browser)
	if err != nil {
		return "", err
	}
	c, err := f.load(ctx, s.Connection, s.Link)
	current, who := false, s.identity().Identity
	switch {
	case !s.begunBy(browser):
		// Who came back is not who went, and is told nothing.
		err, who = &Refusal{Cause: OtherBrowser, Connection: s.Connection}, connection.Identity{}
	case err == nil:
		current, err = f.current(ctx, c, s)
	}
	switch {
	case err != nil:
	case !current:
		err = f.refuse(c, StateUnknown, cb)
	case !cb.fits(s.Leg):
		err = f.refuse(c, WrongLeg, cb)
	case s.Leg == legSignIn:
		to, err = f.signedIn(ctx, c, s, cb)
	default:
		to, err = f.consented(ctx, c, s, cb)
	}
	var r *Refusal
	// Of a connection that has ended nothing more is written, lest a purge be
	// undone.
	if errors.As(err, &r) && c.ID != "" && c.Status != connection.Offboarded {
		if who.Object == "" {
			who = r.who
		}
		r.who = who
		f.note(ctx, c, who, actRefused, "refused: "+string(r.Cause), "code", r.Code, "expected", r.Expected)
	}
	return to, err
}

// refuse is a refusal to a browser that has shown that it may know whose link
// this is.
func (f *Flow) refuse(c connection.Connection, cause Cause, cb callback) *Refusal {
	return &Refusal{Cause: cause, Connection: c.ID, Company: c.Name, Link: f.Links.URL(c), Renewal: c.WasVerified(), Code: cb.code()}
}

// signedIn ends the first leg: who is this, and may they bind their tenant?
func (f *Flow) signedIn(ctx context.Context, c connection.Connection, s state, cb callback) (string, error) {
	switch {
	case cb.Error == "access_denied":
		return "", f.refuse(c, SignInDeclined, cb)
	case cb.Error != "":
		return "", f.refuse(c, SignInFailed, cb)
	case !c.MayConsent(): // finished meanwhile, in another tab
		return f.Links.URL(c), nil
	}
	id, err := f.SignIn.Redeem(ctx, s.app(), cb.Code, s.Verifier, s.Nonce)
	if err != nil {
		r := f.refuse(c, Unproven, cb)
		r.Err, r.Code = err, fault.Of(err).Code
		switch fault.Of(err).Kind {
		case fault.Invalid:
			return "", r
		case fault.Expired:
			r.Cause = SignInExpired
			return "", r
		}
		return "", err
	}
	if !ValidGUID(id.Tenant) || !ValidGUID(id.Object) {
		return "", f.refuse(c, Unproven, cb)
	}
	p := proven(id)
	if err := f.mayBind(c, p); err != nil {
		return "", err
	}
	if err := f.unowned(ctx, c, p); err != nil {
		return "", err
	}
	secret, err := f.putState(ctx, state{
		Leg: legConsent, Browser: s.Browser, Connection: c.ID, Link: c.Link,
		Profile: s.Profile, App: s.App, Own: s.Own,
		Tenant: p.Tenant, Object: p.Object, Admin: p.admin,
	})
	if err != nil {
		return "", err
	}
	f.note(ctx, c, p.Identity, actSignedIn, "done", s.details()...)
	return f.consentURL(p.Tenant, s.App, secret), nil
}

// consentURL is admin consent to one app at one tenant. Application permissions are
// granted only as a whole, by /.default (documented: Microsoft identity
// platform, admin consent endpoint).
func (f *Flow) consentURL(tenant, app, state string) string {
	q := url.Values{
		"client_id":    {app},
		"scope":        {f.Scope},
		"redirect_uri": {f.Callback},
		"state":        {state},
	}
	return strings.TrimSuffix(f.Authority, "/") + "/" + tenant + "/v2.0/adminconsent?" + q.Encode()
}

// consented ends the second leg. The error is judged first: admin_consent=True
// arrives with errors too (documented: admin consent endpoint, error response).
func (f *Flow) consented(ctx context.Context, c connection.Connection, s state, cb callback) (string, error) {
	switch {
	case cb.Error == "access_denied":
		return "", f.refuse(c, ConsentDeclined, cb)
	case cb.Error != "":
		return "", f.refuse(c, ConsentFailed, cb)
	case !strings.EqualFold(cb.AdminConsent, "true"):
		return "", f.refuse(c, ConsentDeclined, cb)
	case !strings.EqualFold(cb.Tenant, s.Tenant):
		r := f.refuse(c, OtherTenant, cb)
		r.Expected = s.Tenant
		return "", r
	}
	return f.bind(ctx, c, s)
}

// bind notes the consent, claims the tenant, then stores the consent, then
// sends its check. If the process dies after the claim, the link still works
// and claims anew; if it dies after the store, [Verifier.Repair] sends the
// check.
func (f *Flow) bind(ctx context.Context, c connection.Connection, s state) (string, error) {
	p := s.identity()
	verify := connection.Verify{ID: connection.NewID(), Since: f.Now().UTC()}
	given := append(s.details(), "tenant", p.Tenant, "consent", verify.ID)
	for try := range maxConflicts {
		if err := f.mayBind(c, p); err != nil {
			return "", err
		}
		if s.Own != c.OwnApp { // exchanged meanwhile
			return "", f.refuse(c, StateUnknown, callback{})
		}
		if !c.MayConsent() { // the same tenant, bound meanwhile in another tab
			return f.Links.URL(c), nil
		}
		if try == 0 { // no tenant is bound without a record of who did it
			if err := put(ctx, f.Audit, f.entry(c, p.Identity, actGiven, "asked", given...)); err != nil {
				return "", err
			}
		}
		if err := f.Claims.Claim(ctx, p.Tenant, c.ID); fault.Is(err, fault.Conflict) {
			return "", f.owned(c, p)
		} else if err != nil {
			return "", err
		}
		if verify.Before = nil; c.WasVerified() {
			verify.Before = &connection.Consented{Status: c.Status, Profile: c.Profile, App: c.App}
		}
		if err := c.Move(connection.Consenting); err != nil {
			return "", err
		}
		// What was consented to, which may be less than the settings need by now:
		// [connection.Connection.Covered] tells, and the link opens again.
		c.Tenant, c.Profile, c.App, c.Problem, c.Verify = p.Tenant, s.Profile, s.App, nil, verify
		if s.Own != "" {
			c.Profile = ""
		}
		stored, err := f.Connections.UpdateConnection(ctx, c)
		if err == nil {
			f.note(ctx, c, p.Identity, actGiven, "done", given...)
			// Consent is on record and will be checked even if this fails, so
			// the administrator is not told of it.
			if err := f.Queue.Send(ctx, message(stored), time.Time{}); err != nil {
				f.Log.ErrorContext(ctx, "verification not sent", "connection", c.ID, "tenant", p.Tenant, "err", err)
			}
			return f.Links.URL(stored), nil
		}
		if !fault.Is(err, fault.Conflict) {
			return "", err
		}
		if c, err = f.load(ctx, s.Connection, s.Link); err != nil {
			return "", err
		}
	}
	return "", fault.New(fault.Conflict, "connection %s: still changing after %d tries", s.Connection, maxConflicts)
}
