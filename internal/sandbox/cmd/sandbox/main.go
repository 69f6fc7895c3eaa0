// Command sandbox runs Rollcall on this machine against a loopback Microsoft.
//
//	sandbox        starts everything with three customers and prints where it is
//	sandbox demo   tells the whole story by itself and checks every figure
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/tenant"
)

func main() {
	var o sandbox.Options
	flag.StringVar(&o.Dist, "dist", "dist", "folder of the staged package (make dist), or a zip of what is in it")
	flag.StringVar(&o.NodeModules, "node-modules", "node_modules", "folder with azurite (npm ci)")
	flag.StringVar(&o.Addr, "addr", "127.0.0.1:7443", "where to reach the app")
	people := flag.Int("people", 1000, "people in the largest of the three tenants")
	data := flag.String("data", "", "folder with a directory export (docs/sandbox.md), for the first tenant")
	wait := flag.Duration("cooldown", 0, "least time between two manual syncs of a connection, 1s to 24h; default: the handler's own, 30m")
	logFile := flag.String("log", "", "file for the logs of host and handler; default: standard error, and none in the demo")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if *wait != 0 {
		o.Settings = map[string]string{"SYNC_COOLDOWN": wait.String()}
	}
	if err := start(ctx, o, *people, *data, *logFile, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context, o sandbox.Options, people int, data, logFile, command string) error {
	o.Seed = 1
	o.Log = io.Discard
	if command == "" {
		o.Log = os.Stderr
	}
	if logFile != "" {
		f, err := os.Create(logFile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		w := bufio.NewWriter(f)
		defer func() { _ = w.Flush() }()
		o.Log = w
	}
	switch command {
	case "":
		return serve(ctx, o, people, data)
	case "demo":
		if data != "" || len(o.Settings) > 0 {
			return errors.New("the demo makes its own tenants and has a cooldown of its own: leave out -data and -cooldown")
		}
		return demo(ctx, os.Stdout, o, people)
	default:
		return fmt.Errorf("unknown command %q: want demo, or nothing", command)
	}
}

// customers are the three tenants of the sandbox.
func customers(people int) []microsoft.TenantSpec {
	specs := []microsoft.TenantSpec{
		{Name: "Contoso", Domain: "contoso.example", People: people},
		{Name: "Fabrikam & Söhne", Domain: "fabrikam.example", People: max(people/4, 1)},
		{Name: "Tailspin Toys", Domain: "tailspin.example", People: max(people/50, 1)},
	}
	for i := range specs {
		s := &specs[i]
		s.Teams = min(max(s.People/25, 2), tenant.MaxTeams)
		s.Memberships = min(3*s.People, s.People*s.Teams, tenant.MaxMemberships)
	}
	return specs
}

// serve runs the sandbox until ctx ends.
func serve(ctx context.Context, o sandbox.Options, people int, data string) error {
	o.Timers = true
	o.ConsentDelay = 3 * time.Second
	s, err := sandbox.Start(ctx, o)
	if err != nil {
		return err
	}
	fmt.Printf("\nRollcall runs.\n\n  app            %s\n  function key   %s\n  master key     %s   (for /admin/functions/<timer>)\n  root CA        %s\n  control API    %s   (docs/sandbox.md)\n\nInvitations: open a link in a browser, or consent by hand with curl.\n\n",
		s.PublicURL, s.FunctionKey, s.MasterKey, s.RootFile, s.Microsoft.ControlURL())
	for i, spec := range customers(people) {
		t, err := customer(s, spec, data, i == 0)
		if err == nil {
			settings := map[string]any{}
			if i == 0 { // all that there is; the others have what is recommended
				settings = map[string]any{"securityGroups": true, "mailboxes": true, "mailboxTypes": true}
			}
			var inv sandbox.Invitation
			inv, err = s.InviteWith(ctx, t.ID, t.Name, settings)
			fmt.Printf("  %-17s tenant %s\n  %-17s %d people, %d groups, %d licenses\n  %-17s connection %s\n  %-17s %s\n\n",
				t.Name, t.ID, "", t.Directory.Len(), t.GroupCount(), len(t.SKUs()), "", inv.ID, "", inv.Link)
		}
		if err != nil {
			return closed(s, err)
		}
	}
	fmt.Printf("For example:\n\n  curl --cacert %s -H 'x-functions-key: %s' %s/v1/connections\n", s.RootFile, s.FunctionKey, s.PublicURL)
	fmt.Printf("  curl --cacert %s -H 'x-functions-key: %s' -X POST %s/admin/functions/synctimer   # fires the timer\n\n", s.RootFile, s.MasterKey, s.PublicURL)
	fmt.Printf("Below …/v1/connections/{id}: people, teams, positions, licenses, mailboxes, runs, changes.\n\nCtrl-C stops everything.\n")
	select {
	case <-ctx.Done():
		return s.Close()
	case <-s.Host.Done():
		return closed(s, fmt.Errorf("the Functions host stopped: %w", s.Host.Err()))
	}
}

// customer adds one of the customers; the first is loaded from an export if
// there is one.
func customer(s *sandbox.Sandbox, spec microsoft.TenantSpec, data string, first bool) (*tenant.Tenant, error) {
	if data == "" || !first {
		return s.Microsoft.NewTenant(spec)
	}
	t, sum, err := s.Microsoft.LoadTenant(data)
	if err != nil {
		return nil, err
	}
	fmt.Printf("Loaded from %s: %d people, %d groups, %d memberships, %d licenses.\n", data, sum.People, sum.Groups, sum.Memberships, sum.SKUs)
	fmt.Printf("Left out: %d managers and %d members who are not in it, %d removals; %d long texts were cut.\n\n",
		sum.UnknownManagers, sum.UnknownMembers, sum.Removed, sum.Clipped)
	return t, nil
}

// closed closes the sandbox after a failure.
func closed(s *sandbox.Sandbox, err error) error {
	if cerr := s.Close(); cerr != nil {
		return fmt.Errorf("%w; %w", err, cerr)
	}
	return err
}
