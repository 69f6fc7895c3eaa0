package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/credential"
	"rollcall/internal/fault"
	"rollcall/internal/graph"
	"rollcall/internal/register"
)

const registerUsage = `Usage: go run ./handler register-app [flags]

Makes the app registrations that customers consent to, one for each permission
profile, in the tenant that you are signed in to by "az login" or "azd auth
login", or brings them up to date. Running it again changes nothing that is
right. It writes the settings ENTRA_APP_ID and ENTRA_APPS to standard output.
AZURE_CLOUD, AZURE_AUTHORITY_HOST, GRAPH_ENDPOINT, PRODUCT_NAME, PUBLIC_URL,
ENTRA_APP_ID and ENTRA_APPS are read from the environment, also with ROLLCALL_
before them, as azd has them. docs/app-registration.md tells more.

`

// order is what register-app is to do.
type order struct {
	register.Options
	graph string
}

// registerApp is the subcommand register-app; it returns the exit status.
func registerApp(args []string, getenv func(string) string, out, report io.Writer) int {
	o, err := parseOrder(args, getenv, report)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		for _, e := range mistakes(err) {
			fmt.Fprintln(report, "register-app:", e)
		}
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	creds, err := credential.Engineer(o.Tenant)
	if err == nil {
		err = o.run(ctx, creds, nil, out, report)
	}
	if err != nil {
		tell(report, err)
		return 1
	}
	return 0
}

// tell writes an error and what to do about it.
func tell(report io.Writer, err error) {
	fmt.Fprintln(report, err)
	if remedy := fault.Of(err).Remedy; remedy != "" {
		fmt.Fprintln(report, remedy)
	}
	fmt.Fprintln(report, "What is done stays done: run the command again to do the rest.")
}

// run does the order. transport may be nil.
func (o order) run(ctx context.Context, creds graph.Credentials, transport http.RoundTripper, out, report io.Writer) error {
	client, err := graph.New(o.graph, creds, transport)
	if err != nil {
		return err
	}
	r := register.Registrar{Reader: client, Writer: client, Wait: func(ctx context.Context, d time.Duration) error {
		fmt.Fprintf(report, "Microsoft is not ready yet: trying again in %s\n", d)
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	rep, err := r.Run(ctx, o.Options)
	o.print(rep, report)
	if err != nil || o.DryRun {
		return err
	}
	apps := maps.Clone(o.Known)
	for _, res := range rep.Results {
		apps[res.Profile] = res.Client
	}
	return printApps(out, apps)
}

// print tells what was found and done, profile by profile.
func (o order) print(rep register.Report, w io.Writer) {
	if rep.Tenant != "" {
		fmt.Fprintf(w, "Tenant %s (%s)\n", rep.TenantName, rep.Tenant)
	}
	for _, res := range rep.Results {
		id := res.Client
		if id == "" {
			id = "no registration yet"
		}
		fmt.Fprintf(w, "%s: %s", res.Profile, id)
		if res.Unique != "" {
			fmt.Fprintf(w, ", unique name %s", res.Unique)
		}
		if len(res.Todo) == 0 {
			fmt.Fprint(w, ": unchanged")
		}
		fmt.Fprintln(w)
		for i, step := range res.Todo {
			mark := "done"
			if i >= res.Done {
				mark = "to do"
			}
			fmt.Fprintf(w, "  %s: %s\n", mark, step)
		}
		for _, extra := range res.Extra {
			fmt.Fprintf(w, "  beyond the profile, and kept: %s\n", extra)
		}
	}
}

// printApps writes the settings that name the apps.
func printApps(out io.Writer, apps connection.Apps) error {
	widest := connection.Profiles[len(connection.Profiles)-1].Name
	var others []string
	for _, p := range connection.Profiles {
		if id := apps[p.Name]; id != "" && p.Name != widest {
			others = append(others, p.Name+"="+id)
		}
	}
	var lines strings.Builder
	if id := apps[widest]; id != "" {
		fmt.Fprintf(&lines, "ENTRA_APP_ID=%s\n", id)
	}
	if len(others) > 0 {
		fmt.Fprintf(&lines, "ENTRA_APPS=%s\n", strings.Join(others, ","))
	}
	_, err := io.WriteString(out, lines.String())
	return err
}

// stageName is what azd takes for the name of an environment (azd's source,
// EnvironmentNameRegexp), or nothing.
var stageName = regexp.MustCompile(`^[0-9A-Za-z()_.-]{0,64}$`)

// parseOrder reads flags and environment, or says everything that is wrong.
func parseOrder(args []string, getenv func(string) string, report io.Writer) (o order, err error) {
	get := func(name string) string {
		if v := strings.TrimSpace(getenv(name)); v != "" {
			return v
		}
		return getenv("ROLLCALL_" + name)
	}
	r := &reader{get: get}
	where := cloudNamed(r.choice("AZURE_CLOUD", "public", "", names(clouds)...))
	o.Authority = r.origin("AZURE_AUTHORITY_HOST", where.authority, "", false)
	o.graph = r.origin("GRAPH_ENDPOINT", where.graph, "", false)
	o.Audience = where.audience
	o.Product = r.text("PRODUCT_NAME", "Rollcall", 64, "")
	before := len(r.errs)
	if public := r.optionalOrigin("PUBLIC_URL", "", false); public != "" && len(r.errs) == before {
		o.Redirect = public + "/consent/callback"
	}
	known := &reader{get: get}
	o.Known = known.apps("ENTRA_APP_ID", "ENTRA_APPS")
	if get("ENTRA_APP_ID") == "" {
		known.errs = known.errs[1:] // that it is not set, which here it need not be
	}
	r.errs = append(r.errs, known.errs...)

	f := flag.NewFlagSet("register-app", flag.ContinueOnError)
	f.SetOutput(report)
	f.Usage = func() {
		fmt.Fprint(report, registerUsage)
		f.PrintDefaults()
	}
	var all []string
	for _, p := range connection.Profiles {
		all = append(all, p.Name)
	}
	profiles := f.String("profiles", strings.Join(all, ","), "permission profiles to register, with a comma between")
	f.StringVar(&o.Stage, "stage", getenv("AZURE_ENV_NAME"), "tells the registrations of test and production apart; by default the azd environment's name")
	f.StringVar(&o.Product, "name", o.Product, "the app's name, as customers' administrators read it; by default PRODUCT_NAME")
	f.StringVar(&o.Redirect, "redirect-uri", o.Redirect, "the redirect URI; by default PUBLIC_URL with /consent/callback; without either, redirect URIs stay as they are")
	f.StringVar(&o.Identity, "identity", "", "object ID (principal ID) of the managed identity that the apps trust; without it, federated credentials stay as they are")
	f.StringVar(&o.Tenant, "tenant", getenv("AZURE_TENANT_ID"), "ID of the vendor's tenant; by default the one that you are signed in to")
	f.BoolVar(&o.Principal, "service-principal", false, "add the enterprise applications to the vendor's own tenant as well")
	f.BoolVar(&o.Exact, "exact", false, "remove permissions and redirect URIs beyond those of the profile")
	f.BoolVar(&o.DryRun, "dry-run", false, "say what would be done, and write nothing")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		r.wrong("register-app", "does not understand %q: see -help", f.Arg(0))
	}
	o.Profiles = chosen(r, *profiles)
	o.check(r)
	return o, r.err()
}

func chosen(r *reader, list string) (ps []connection.Profile) {
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(connection.Profiles, func(p connection.Profile) bool { return p.Name == name })
		if i < 0 {
			r.wrong("-profiles", "names the profile %q, which does not exist", name)
			continue
		}
		if !slices.ContainsFunc(ps, func(p connection.Profile) bool { return p.Name == name }) {
			ps = append(ps, connection.Profiles[i])
		}
	}
	return ps
}

// check bounds what the flags give.
func (o *order) check(r *reader) {
	o.Identity, o.Tenant = strings.ToLower(o.Identity), strings.ToLower(o.Tenant)
	for name, id := range map[string]string{"-identity": o.Identity, "-tenant": o.Tenant} {
		if id != "" && !guid.MatchString(id) {
			r.wrong(name, "is %q: want a GUID", id)
		}
	}
	if !stageName.MatchString(o.Stage) {
		r.wrong("-stage", "is %q: want at most 64 letters, digits, hyphens, full stops, underscores and parentheses", o.Stage)
	}
	if o.Product = strings.TrimSpace(o.Product); o.Product == "" || len(o.Product) > 64 {
		r.wrong("-name", "is %q: want 1 to 64 characters", o.Product)
	}
	if o.Redirect == "" {
		return
	}
	// Microsoft compares redirect URIs as text (documented, "Redirect URI
	// restrictions and limitations"; also the bound of 256 characters).
	u, err := url.Parse(o.Redirect)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Path != "/consent/callback" || len(o.Redirect) > 256 {
		r.wrong("-redirect-uri", "is %q: want an https URL that ends in /consent/callback, such as https://rollcall.example.com/consent/callback", o.Redirect)
	}
}
