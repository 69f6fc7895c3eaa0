// Package register makes the app registrations that customers consent to, one
// for each permission profile, and mends those that are there.
//
// A registration never asks for more than its profile through us: what is
// missing is added, what is wrong is set right, and what somebody else added is
// told, and removed only if asked. What is right already is not written.
package register

import (
	"context"
	"slices"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Reader reads the vendor's own tenant.
type Reader interface {
	// Home is the tenant itself.
	Home(ctx context.Context) (id, name string, err error)
	// GraphPermissions are what Microsoft Graph has to grant.
	GraphPermissions(ctx context.Context) ([]connection.Permission, error)
	// Application finds a registration by its client ID, or by its unique name
	// if that is empty.
	Application(ctx context.Context, unique, client string) (connection.Registration, error)
}

// Writer writes there. Each call can be repeated.
type Writer interface {
	CreateApplication(ctx context.Context, unique string, r connection.Registration) (connection.Registration, error)
	UpdateApplication(ctx context.Context, object string, change connection.Registration) error
	Trust(ctx context.Context, object string, t connection.Trust) error
	AddPrincipal(ctx context.Context, client, name string) error
}

// Options say what to register.
type Options struct {
	// Profiles are those to register.
	Profiles []connection.Profile
	// Known are registrations that exist under whatever name. A profile that is
	// not among them is found, and made, under its unique name.
	Known connection.Apps
	// Stage tells the deployments of one vendor apart, such as test and
	// production; it may be empty.
	Stage string
	// Product is what customers' administrators read as the app's name.
	Product string
	// Redirect is the redirect URI; empty leaves what is there.
	Redirect string
	// Identity is the object ID of the managed identity that the apps are to
	// trust; empty leaves what is there. Authority and Audience are those of its
	// cloud.
	Identity, Authority, Audience string
	// Tenant is where all that must be; empty: wherever one is signed in.
	Tenant string
	// Principal adds the enterprise applications to the vendor's own tenant.
	Principal bool
	// Exact removes permissions and redirect URIs beyond ours.
	Exact bool
	// DryRun writes nothing.
	DryRun bool
}

// Registrar registers apps.
type Registrar struct {
	Reader Reader
	Writer Writer
	// Wait waits for so long, or until ctx ends, which is an error.
	Wait func(ctx context.Context, d time.Duration) error
}

// Result is what became of one profile.
type Result struct {
	Profile string
	Unique  string // name; empty if the registration was known by its client ID
	Client  string // empty while there is none
	// Todo is what was to be done when we looked, Done how much of it is.
	Todo []string
	Done int
	// Extra is what the registration has beyond the profile.
	Extra []string
}

// Report is what was found and done.
type Report struct {
	Tenant, TenantName string
	Results            []Result
}

// UniqueName is what the registration of a profile is called where nobody can
// change it. Unlike display name and tags, which anybody may set to the same
// twice, Microsoft Entra keeps it unique and lets it be made in one request.
func UniqueName(stage, profile string) string {
	if stage == "" {
		return "rollcall-" + profile
	}
	return "rollcall-" + stage + "-" + profile
}

// displayName tells the enterprise applications of a customer apart.
func displayName(product, profile string) string {
	if profile == connection.Profiles[len(connection.Profiles)-1].Name {
		return product
	}
	return product + " (" + profile + ")"
}

// work is one profile on its way.
type work struct {
	target
	have connection.Registration
	plan plan
}

// Run looks at all first, so that what cannot be read or granted ends it before
// anything is written, and then writes what is missing. After an error the
// report holds what was done; running again does the rest.
func (r *Registrar) Run(ctx context.Context, o Options) (rep Report, err error) {
	defer fault.Wrap(&err, "register")
	all, err := r.look(ctx, o, &rep)
	if err != nil || o.DryRun {
		return rep, err
	}
	for i := range all {
		if err := r.apply(ctx, &all[i], &rep.Results[i]); err != nil {
			return rep, err
		}
	}
	return rep, nil
}

func (r *Registrar) look(ctx context.Context, o Options, rep *Report) (all []work, err error) {
	if err := r.patiently(ctx, false, func() error {
		rep.Tenant, rep.TenantName, err = r.Reader.Home(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	if o.Tenant != "" && o.Tenant != rep.Tenant {
		return nil, fault.New(fault.Denied, "signed in to the tenant %s (%s), not %s", rep.Tenant, rep.TenantName, o.Tenant).WithRemedy(
			"Sign in to the right one: az login --tenant %s", o.Tenant)
	}
	var names []connection.Permission
	if err := r.patiently(ctx, false, func() error {
		names, err = r.Reader.GraphPermissions(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	for _, p := range o.Profiles {
		w := work{target: target{
			client: o.Known[p.Name], name: displayName(o.Product, p.Name), redirect: o.Redirect, principal: o.Principal, exact: o.Exact,
		}}
		if w.client == "" {
			w.unique = UniqueName(o.Stage, p.Name)
		}
		if w.permissions, err = lookUp(p, names); err != nil {
			return nil, err
		}
		if o.Identity != "" {
			w.trust = &connection.Trust{
				Name: trustName, Issuer: o.Authority + "/" + rep.Tenant + "/v2.0", Subject: o.Identity, Audiences: []string{o.Audience},
			}
		}
		err := r.patiently(ctx, false, func() error {
			w.have, err = r.Reader.Application(ctx, w.unique, w.client)
			return err
		})
		switch {
		case fault.Is(err, fault.NotFound) && w.client != "":
			return nil, fault.New(fault.NotFound, "profile %s: %w", p.Name, err).WithRemedy(
				"ENTRA_APP_ID or ENTRA_APPS names an app that this tenant (%s) does not have. Sign in to the app's own tenant, or leave the setting empty to have one made.", rep.Tenant)
		case err != nil && !fault.Is(err, fault.NotFound):
			return nil, err
		}
		w.plan = compare(w.target, w.have, names)
		rep.Results = append(rep.Results, Result{Profile: p.Name, Unique: w.unique, Client: w.have.Client, Todo: w.plan.steps(), Extra: w.plan.extra})
		all = append(all, w)
	}
	return all, nil
}

// apply does a plan, one request after the other.
func (r *Registrar) apply(ctx context.Context, w *work, res *Result) error {
	p := w.plan
	if p.create {
		if err := r.patiently(ctx, false, func() (err error) {
			w.have, err = r.Writer.CreateApplication(ctx, w.unique, p.change)
			return err
		}); err != nil {
			return err
		}
		res.Client = w.have.Client
		res.Done++
	} else if len(p.update) > 0 {
		if err := r.patiently(ctx, false, func() error { return r.Writer.UpdateApplication(ctx, w.have.Object, p.change) }); err != nil {
			return err
		}
		res.Done += len(p.update)
	}
	if p.trust != nil {
		if err := r.patiently(ctx, p.create, func() error { return r.Writer.Trust(ctx, w.have.Object, *p.trust) }); err != nil {
			return err
		}
		res.Done++
	}
	if p.principal {
		if err := r.patiently(ctx, p.create, func() error { return r.Writer.AddPrincipal(ctx, w.have.Client, w.name) }); err != nil {
			return err
		}
		res.Done++
	}
	return nil
}

const (
	// tries bounds how often one request is sent, rest the first wait between;
	// it doubles, so that a minute passes in all.
	tries = 6
	rest  = 2 * time.Second
	// maxRest bounds a wait that Microsoft asks for: somebody is watching.
	maxRest = 2 * time.Minute
)

// patiently repeats what may pass by itself. made is true if the registration
// is new: Microsoft's replicas may not know it for some seconds, and say so as
// if it did not exist (documented, "Best practices for working with Microsoft
// Graph": eventual consistency).
func (r *Registrar) patiently(ctx context.Context, made bool, do func() error) error {
	passing := []fault.Kind{fault.Unknown, fault.Throttled}
	if made {
		// The enterprise application of an app that is not known yet is refused as
		// a bad request (inferred from the codes that Azure's own tools retry).
		passing = append(passing, fault.NotFound, fault.Invalid)
	}
	wait := rest
	for n := 1; ; n++ {
		err := do()
		e := fault.Of(err)
		if err == nil || n == tries || ctx.Err() != nil || !slices.Contains(passing, e.Kind) || e.After > maxRest {
			return err
		}
		if werr := r.Wait(ctx, max(wait, e.After)); werr != nil {
			return err
		}
		wait *= 2
	}
}
