package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	apifunc "rollcall/functions/api"
	"rollcall/functions/connect"
	"rollcall/functions/consentcallback"
	janitorfunc "rollcall/functions/janitor"
	"rollcall/functions/syncnow"
	"rollcall/functions/synctimer"
	"rollcall/functions/syncworker"
	"rollcall/internal/api"
	"rollcall/internal/bus"
	"rollcall/internal/connection"
	"rollcall/internal/consent"
	"rollcall/internal/credential"
	"rollcall/internal/funchost"
	"rollcall/internal/govern"
	"rollcall/internal/graph"
	"rollcall/internal/job"
	"rollcall/internal/obs"
	"rollcall/internal/pages"
	"rollcall/internal/reconcile"
	"rollcall/internal/schedule"
	"rollcall/internal/signin"
	"rollcall/internal/tables"
	"rollcall/internal/telemetry"
)

// httpDeadline is how long a request of a browser or of the vendor's product
// may take: less than the 230 s after which Azure's front end gives up.
const httpDeadline = 2 * time.Minute

// lanes is how many pages of a first list of people are asked for at once: 8 of
// 999 people bring more than one partition of Table Storage takes, 2,000 rows a
// second.
const lanes = 8

// build makes the concrete parts, joins them and returns the route table. It
// sends nothing. A nil seen records nothing.
func build(c config, log *slog.Logger, now func() time.Time, seen *telemetry.Telemetry) (http.Handler, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = 512
	transport.MaxIdleConnsPerHost = 64 // net/http keeps 2: hundreds of tenants share three hosts
	transport.ResponseHeaderTimeout = time.Minute
	client := &http.Client{Transport: transport, Timeout: 2 * time.Minute}

	creds, err := credential.New(credential.Options{
		Identity: c.identity, Authority: c.authority, Audience: c.cloud.audience, Apps: c.apps,
		Kind: credential.Kind(c.credential), CertificateFiles: c.certificates,
		Vault:  credential.VaultOptions{URL: c.vault, Endpoint: c.vaultDial, Certificate: c.certificate, Secret: c.secret},
		Client: client, Now: now, Log: log,
	})
	if err != nil {
		return nil, err
	}
	store, err := tables.New(c.tables, creds.Azure(), &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: tables.Sender{Transport: seen.Tables(transport), Timeout: client.Timeout},
		// Two quick tries more: what takes longer goes back to the queue.
		Retry: policy.RetryOptions{MaxRetries: 2, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 2 * time.Second},
	}})
	if err != nil {
		return nil, err
	}
	store.Now, store.Log = now, log
	jobs, err := bus.New(creds.Azure(), bus.Options{Namespace: c.namespace, Endpoint: c.busEndpoint, Queue: queue, Trace: obs.Traceparent})
	if err != nil {
		return nil, err
	}
	msgraph, err := graph.New(c.graph, creds, seen.Graph(c.graph, transport))
	if err != nil {
		return nil, err
	}
	msgraph.Now = now
	links, err := consent.NewLinks(c.publicURL, c.linkKeys...)
	if err != nil {
		return nil, err
	}
	html, err := pages.New(c.product, c.publicURL, c.authority, log)
	if err != nil {
		return nil, err
	}

	callback, graphScope := c.publicURL+"/consent/callback", c.graph+"/.default"
	scheduler := &schedule.Scheduler{
		Connections: store, Plans: store, Runs: store, Queue: jobs, Now: now, Log: log,
		Interval: c.interval, Spread: c.spread, Cooldown: c.cooldown,
	}
	engine := &reconcile.Engine{
		Graph: msgraph, Store: store, Connections: store, Queue: jobs, Audit: store, Watch: seen, Now: now, Log: log,
		Board:  &reconcile.Board{Rows: store, Now: now, Log: log},
		Budget: c.budget, MinDelay: c.minDelay, MaxDelay: c.maxDelay, MaxAge: c.maxAge,
		Lanes: lanes, Guard: c.guard, FullEvery: c.fullEvery, ArchivedMaxAge: c.archived,
	}
	verifier := &consent.Verifier{
		Connections: store, Queue: jobs, Prober: msgraph, Starter: scheduler, Audit: store, Base: c.verify, Now: now, Log: log,
		Roles: func(ctx context.Context, a connection.Access) ([]string, error) {
			cred, err := creds.Tenant(a) // the one that the probe made afresh
			if err != nil {
				return nil, err
			}
			// As Graph is asked, so that it is the token that is kept.
			t, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{graphScope}, EnableCAE: true})
			return consent.TokenRoles(t.Token), err
		},
	}
	governor := &govern.Governor{
		Connections: store, Fences: store, Claims: store, Data: store, Queue: jobs, Audit: store, Now: now, Log: log, Budget: c.budget,
	}
	flow := &consent.Flow{
		Connections: store, Claims: store, Nonces: store, Queue: jobs, Runs: store, Links: links, Audit: store,
		SignIn: signin.New(signin.Config{
			Authority: c.authority, Callback: callback, Prove: creds.Prove, Refused: creds.Refused, Transport: transport, Now: now,
		}),
		Registered: c.apps, Own: creds, Authority: c.authority, Scope: graphScope, Callback: callback, Now: now, Log: log,
	}
	machine := api.New(api.Options{
		Connections: store, Runs: store, Directory: store, Teams: store, Holdings: store, Groups: msgraph, Removals: store, Plans: store,
		Syncer: scheduler, Decider: scheduler, Linker: links, Governor: governor, Audit: store, Apps: creds, Registered: c.apps,
		Service:    api.Service{Cloud: c.cloud.name, Credential: c.credential, Vault: c.vault, Credentials: creds, Waves: store},
		Operations: api.Operations{Fleet: governor, Requeuer: scheduler, DeadLetters: jobs},
		LinkTTL:    c.linkTTL, Now: now, Log: log,
	})
	janitor := &schedule.Janitor{
		Store: store, Previews: store, Places: store, Repairers: []schedule.Repairer{governor, engine, scheduler, verifier},
		Waves: store, Audit: store, Credentials: creds, Aged: seen.Aged, Now: now, Log: log, Retention: c.retention,
	}
	worker := syncworker.Function{
		Workers: map[job.Kind]syncworker.Worker{
			job.Sync: seen.Job(engine.Sync), job.Verify: seen.Job(verifier.Verify), job.Offboard: seen.Job(governor.Purge),
		},
		Queue: jobs, Now: now, Log: log, MinDelay: c.minDelay, MaxDelay: c.maxDelay,
	}

	trigger := func(name string, do func(context.Context, funchost.Invocation) error) http.Handler {
		return funchost.Trigger{Name: name, Do: do, Deadline: c.deadline(), Log: log, Begin: seen.Begin}
	}
	serve := func(pattern string, h http.Handler) http.Handler { return seen.Requests(pattern, within(h)) }
	mux := http.NewServeMux()
	// The host asks for the root until it is answered, and pings it later.
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	// timer and queue: the host posts to the function's name; no HTTP route leads there
	mux.Handle("POST /synctimer", trigger("synctimer", synctimer.Do(scheduler)))
	mux.Handle("POST /janitor", trigger("janitor", janitorfunc.Do(janitor)))
	mux.Handle("POST /syncworker", trigger("syncworker", worker.Do))
	// machine API: the host has checked the function key
	mux.Handle(syncnow.Pattern, serve(syncnow.Pattern, syncnow.Handler(machine)))
	mux.Handle(apifunc.Pattern, serve(apifunc.Pattern, apifunc.Handler(machine)))
	// administrator's path: open to everyone
	mux.Handle("/connect/", serve("/connect/", connect.Handler(flow, html)))
	mux.Handle("/consent/callback", serve("/consent/callback", consentcallback.Handler(flow, html)))
	return funchost.Correlate(funchost.Guard(mux)), nil
}

// within bounds the time that a request may take.
func within(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), httpDeadline)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
