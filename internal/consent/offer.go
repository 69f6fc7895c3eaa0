package consent

import (
	"context"
	"slices"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// OwnApps knows the app registrations that connections bring themselves.
// KnownApp returns the client ID of the one in the named Key Vault secret, as
// read a moment ago at most: [fault.NotFound] or [fault.Invalid] if the secret
// holds none. Strangers make us ask, so it must cost nothing to ask often.
type OwnApps interface {
	KnownApp(ctx context.Context, secret string) (clientID string, err error)
}

// ownProfile stands for what an app registration of the connection's own asks
// for. Which permissions those are is its owner's to say, so it is nowhere on
// record as a profile.
const ownProfile = "own"

// offer is what a tenant is asked to consent to: one app, with all of its
// permissions.
type offer struct {
	profile connection.Profile
	app     connection.App
}

// offer chooses the app that asks for the connection's consent: its own, or
// the vendor's with the fewest permissions that cover the settings. Without
// one, the error is a [*Refusal].
func (f *Flow) offer(ctx context.Context, c connection.Connection) (offer, error) {
	settings := c.Chosen()
	if c.OwnApp == "" {
		p, id, ok := f.Registered.For(settings)
		if !ok {
			err := fault.New(fault.Invalid, "no registered app covers %v", connection.Needs(settings)).
				WithRemedy("Register an app for a permission profile that covers the settings, or choose fewer categories.")
			return offer{}, f.unfit(c, err)
		}
		return offer{p, connection.App{ID: id}}, nil
	}
	id, err := f.Own.KnownApp(ctx, c.OwnApp)
	if err != nil {
		switch fault.Of(err).Kind {
		case fault.NotFound, fault.Invalid, fault.Denied:
			return offer{}, f.unfit(c, err)
		}
		return offer{}, err
	}
	return offer{ownOffer(settings), connection.App{ID: id, Own: c.OwnApp}}, nil
}

// current reports whether the app that a trip is about is still the
// connection's own, or one of the vendor's for a connection without. Which of
// the vendor's may have changed: each stands for what was consented to.
func (f *Flow) current(ctx context.Context, c connection.Connection, s state) (bool, error) {
	switch {
	case s.Own != c.OwnApp:
		return false, nil
	case s.Own == "":
		return f.Registered[s.Profile] == s.App, nil
	}
	id, err := f.Own.KnownApp(ctx, s.Own)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Invalid) {
		return false, nil
	}
	return id == s.App, err
}

// unfit refuses consent because there is no app to consent to.
func (f *Flow) unfit(c connection.Connection, err error) *Refusal {
	return &Refusal{Cause: NoProfile, Connection: c.ID, Company: c.Name, Link: f.Links.URL(c), Renewal: c.WasVerified(), Err: err}
}

// ownOffer is what an app of the connection's own has to ask for.
func ownOffer(s connection.Settings) connection.Profile {
	return connection.Profile{Name: ownProfile, Permissions: connection.Needs(s)}
}

// consentedTo is what the tenant has consented to. A connection from before
// there were profiles consented to the app that asks for most.
func (f *Flow) consentedTo(c connection.Connection) offer {
	o := offer{profileOf(c), connection.App{ID: c.App, Own: c.OwnApp}}
	switch {
	case c.OwnApp != "":
		o.profile = ownOffer(c.Chosen())
	case c.App == "" && c.Tenant != "":
		o.app.ID = f.Registered.Widest()
		for _, p := range connection.Profiles {
			if f.Registered[p.Name] == o.app.ID {
				o.profile = p
			}
		}
	}
	return o
}

// profileOf is the profile that the tenant has consented to; empty if it is
// not one of ours.
func profileOf(c connection.Connection) connection.Profile {
	i := slices.IndexFunc(connection.Profiles, func(p connection.Profile) bool { return p.Name == c.Profile })
	if i < 0 {
		return connection.Profile{Name: c.Profile}
	}
	return connection.Profiles[i]
}
