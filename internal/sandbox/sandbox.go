// Package sandbox runs the whole product on one machine without any account:
// the shipped handler under a Functions host, with Service Bus, Table Storage
// and Microsoft on loopback.
//
// The handler cannot tell it from Azure except by its settings, and nothing
// that it starts outlives it.
package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"rollcall/internal/sandbox/host"
	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/pki"
	"rollcall/internal/sandbox/servicebus"
	"rollcall/internal/sandbox/tablestore"
)

const (
	// namespace is the name by which the handler knows the Service Bus; the
	// connection goes to loopback.
	namespace = "sandbox.servicebus.windows.net"
	// Queue is the queue of jobs.
	Queue = "sync-jobs"
)

// Options say what to run. Dist and NodeModules are required.
type Options struct {
	// Dist is the staged package, as a folder or as a zip; NodeModules the folder
	// with azurite.
	Dist, NodeModules string
	// Addr is where the app is reached over TLS; 127.0.0.1:0 by default.
	Addr string
	// Settings are handler settings over the sandbox's own.
	Settings map[string]string
	// Seed makes directories and IDs repeat from start to start.
	Seed uint64
	// ConsentDelay is how long a consent takes to spread, PageSize how many
	// people a page of users/delta holds (default 200), MembersPage how many
	// members one of groups/delta does (default 500).
	ConsentDelay time.Duration
	PageSize     int
	MembersPage  int
	// Timers fires the timers by their schedules; otherwise only on demand.
	Timers bool
	// Deliveries is how often each queue message is delivered; 1 by default.
	Deliveries int
	Quoting    host.Quoting
	EmptyBody  host.EmptyBody
	// LockDuration and MaxDeliveries are the queue's; 5 min and 10 by default,
	// as deployed.
	LockDuration  time.Duration
	MaxDeliveries int
	// Now is the clock of everything but the handler; nil means time.Now.
	Now func() time.Time
	// Launch runs the handler in another way than by its binary; see host.
	Launch func(ctx context.Context, l host.Launch) (host.Process, error)
	// Log takes what the host and the handler write; nil discards it.
	Log io.Writer
}

// Sandbox is a running one.
type Sandbox struct {
	Microsoft *microsoft.Server
	Bus       *servicebus.Server
	Tables    *tablestore.Server
	Host      *host.Host
	// PublicURL is where browsers and the vendor's product reach the app.
	PublicURL string
	// FunctionKey opens /v1, MasterKey the host's own /admin too.
	FunctionKey, MasterKey string
	// Apps are the client IDs of the vendor's app registrations by profile:
	// "base", "teams" and "mailboxes".
	Apps map[string]string
	CA   *pki.CA
	// RootFile holds the root certificate, for SSL_CERT_FILE and curl.
	RootFile string

	transport *http.Transport // of all clients: a handshake costs more than a call
	front     *http.Server
	dir       string
	host      host.Options
	more      []*host.Host
}

// Start starts everything and returns when the handler is ready.
func Start(ctx context.Context, o Options) (_ *Sandbox, err error) {
	s := &Sandbox{FunctionKey: rand.Text(), MasterKey: rand.Text()}
	defer func() {
		if err != nil {
			err = fmt.Errorf("sandbox: %w", errors.Join(err, s.Close()))
		}
	}()
	if o.Log == nil {
		o.Log = io.Discard
	}
	if s.CA, err = pki.New(); err != nil {
		return nil, err
	}
	s.transport = http.DefaultTransport.(*http.Transport).Clone()
	s.transport.TLSClientConfig = &tls.Config{RootCAs: s.CA.Pool(), MinVersion: tls.VersionTLS12}
	s.transport.MaxIdleConnsPerHost = 64
	s.transport.Proxy = nil
	if s.dir, err = os.MkdirTemp("", "rollcall-sandbox-"); err != nil {
		return nil, err
	}
	if filepath.Ext(o.Dist) == ".zip" {
		to := filepath.Join(s.dir, "package")
		if err = unzip(o.Dist, to); err != nil {
			return nil, err
		}
		o.Dist = to
	}
	s.RootFile = filepath.Join(s.dir, "root.pem")
	if err = os.WriteFile(s.RootFile, s.CA.PEM(), 0o600); err != nil {
		return nil, err
	}
	s.Microsoft, err = microsoft.Start(microsoft.Options{
		CA: s.CA, Now: o.Now, Seed: o.Seed, ConsentDelay: o.ConsentDelay, PageSize: o.PageSize, MembersPage: o.MembersPage,
	})
	if err != nil {
		return nil, err
	}
	if err = s.addApps(); err != nil {
		return nil, err
	}
	s.Tables, err = tablestore.Start(ctx, tablestore.Options{
		CA: s.CA, NodeModules: o.NodeModules, Log: o.Log,
		Authorize: func(token string) error { return s.Microsoft.VerifyToken(token, "https://storage.azure.com") },
	})
	if err != nil {
		return nil, err
	}
	if err = s.startBus(o); err != nil {
		return nil, err
	}
	if err = s.startFront(o.Addr); err != nil {
		return nil, err
	}
	s.Microsoft.SetRedirectURIs(s.PublicURL + "/consent/callback")
	s.host = host.Options{
		Dist: o.Dist, Env: s.env(o.Settings), Keys: host.Keys{Function: s.FunctionKey, Master: s.MasterKey},
		ServiceBus: s.busClient, Quoting: o.Quoting, EmptyBody: o.EmptyBody, Now: o.Now, Timers: o.Timers,
		Log: o.Log, Launch: o.Launch, Deliveries: max(o.Deliveries, 1),
	}
	if s.Host, err = host.Start(ctx, s.host); err != nil {
		return nil, err
	}
	to, err := url.Parse(s.Host.URL())
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		ErrorLog: log.New(io.Discard, "", 0), // a killed handler is part of the story
	}
	s.front.Handler = proxy
	return s, nil
}

func (s *Sandbox) startBus(o Options) (err error) {
	secure, err := s.CA.ServerTLS(namespace)
	if err != nil {
		return err
	}
	if o.LockDuration == 0 {
		o.LockDuration = 5 * time.Minute
	}
	if o.MaxDeliveries == 0 {
		o.MaxDeliveries = 10
	}
	s.Bus, err = servicebus.Start("127.0.0.1:0", servicebus.Options{
		Queues: []servicebus.Queue{{
			Name: Queue, LockDuration: o.LockDuration, MaxDeliveryCount: o.MaxDeliveries, DuplicateWindow: 24 * time.Hour,
		}},
		Now: o.Now, TLS: secure,
		Authorize: func(_, token string) error { return s.Microsoft.VerifyToken(token, "https://servicebus.azure.net") },
	})
	return err
}

// addApps registers the vendor's apps of the smaller profiles beside the
// default one, which asks for all. The permissions are written out, since the
// sandbox must not take them from what it is to prove.
func (s *Sandbox) addApps() (err error) {
	base := []string{"User.Read.All", "Organization.Read.All", "LicenseAssignment.Read.All"}
	teams := append(slices.Clone(base), "GroupMember.Read.All", "Member.Read.Hidden")
	s.Apps = map[string]string{"mailboxes": s.Microsoft.AppID()}
	if s.Apps["base"], err = s.Microsoft.AddApp(microsoft.AppSpec{Name: "Rollcall base", Permissions: base}); err != nil {
		return err
	}
	s.Apps["teams"], err = s.Microsoft.AddApp(microsoft.AppSpec{Name: "Rollcall teams", Permissions: teams})
	return err
}

// startFront listens where Azure's front end would: over TLS, in front of the
// host. The address must be known before the handler starts.
func (s *Sandbox) startFront(addr string) error {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	secure, err := s.CA.ServerTLS()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%w (choose another address with -addr)", err)
	}
	s.PublicURL = "https://" + l.Addr().String()
	s.front = &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	s.front.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "starting", http.StatusServiceUnavailable) })
	go func() { _ = s.front.Serve(tls.NewListener(l, secure)) }() // ends with Close
	return nil
}

// env is the handler's whole environment, as the app settings would be.
func (s *Sandbox) env(over map[string]string) []string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	settings := map[string]string{
		"PUBLIC_URL":           s.PublicURL,
		"LINK_KEYS":            base64.StdEncoding.EncodeToString(key),
		"AZURE_CLIENT_ID":      s.Microsoft.IdentityClientID(),
		"ENTRA_APP_ID":         s.Apps["mailboxes"],
		"ENTRA_APPS":           "base=" + s.Apps["base"] + ",teams=" + s.Apps["teams"],
		"AZURE_AUTHORITY_HOST": s.Microsoft.AuthorityURL(),
		"GRAPH_ENDPOINT":       s.Microsoft.GraphURL(),
		"TABLES_ENDPOINT":      s.Tables.URL(),
		"KEY_VAULT_URL":        s.Microsoft.VaultURL(),
		// The vault's name leads to Azure; this is where it is on loopback.
		"KEY_VAULT_CUSTOM_ENDPOINT":                     s.Microsoft.VaultAddr(),
		"ServiceBusConnection__fullyQualifiedNamespace": namespace,
		"SERVICEBUS_CUSTOM_ENDPOINT":                    s.Bus.Addr(),
		// What App Service gives to an app with a managed identity.
		"IDENTITY_ENDPOINT": s.Microsoft.IdentityURL(),
		"IDENTITY_HEADER":   s.Microsoft.IdentityHeader(),
		"SSL_CERT_FILE":     s.RootFile,
	}
	for k, v := range over {
		settings[k] = v
	}
	env := make([]string, 0, len(settings))
	for k, v := range settings {
		env = append(env, k+"="+v)
	}
	return env
}

// busClient is the Functions host's own connection to the queue.
func (s *Sandbox) busClient() (*azservicebus.Client, error) {
	return azservicebus.NewClient(namespace, identity{s.Microsoft}, &azservicebus.ClientOptions{
		CustomEndpoint: s.Bus.Addr(),
		TLSConfig:      &tls.Config{RootCAs: s.CA.Pool(), MinVersion: tls.VersionTLS12},
	})
}

// Send puts a message on the queue, as if it came late or once more. The ID
// must be a new one, or the queue drops it.
func (s *Sandbox) Send(ctx context.Context, id string, body []byte) error {
	c, err := s.busClient()
	if err != nil {
		return fmt.Errorf("sandbox: send %s: %w", id, err)
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	q, err := c.NewSender(Queue, nil)
	if err == nil {
		err = q.SendMessage(ctx, &azservicebus.Message{MessageID: &id, Body: body}, nil)
	}
	if err != nil {
		return fmt.Errorf("sandbox: send %s: %w", id, err)
	}
	return nil
}

// Client returns an HTTP client that trusts the sandbox and follows no
// redirects.
func (s *Sandbox) Client() *http.Client {
	return &http.Client{
		Transport:     s.transport,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// AnotherHost starts one more host with a handler of its own, as Azure does
// when there is more to do. It shares everything but its address, which
// PublicURL does not lead to, and Close stops it too. Log must bear two writers.
func (s *Sandbox) AnotherHost(ctx context.Context) (*host.Host, error) {
	h, err := host.Start(ctx, s.host)
	if err != nil {
		return nil, fmt.Errorf("sandbox: another host: %w", err)
	}
	s.more = append(s.more, h)
	return h, nil
}

// Close stops everything; the handler is killed, as Azure would.
func (s *Sandbox) Close() error {
	var errs []error
	if s.transport != nil {
		s.transport.CloseIdleConnections()
	}
	if s.front != nil {
		errs = append(errs, s.front.Close())
	}
	if s.Host != nil {
		errs = append(errs, s.Host.Close())
	}
	for _, h := range s.more {
		errs = append(errs, h.Close())
	}
	if s.Bus != nil {
		errs = append(errs, s.Bus.Close())
	}
	if s.Tables != nil {
		errs = append(errs, s.Tables.Close())
	}
	if s.Microsoft != nil {
		errs = append(errs, s.Microsoft.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
