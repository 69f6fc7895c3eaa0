// Package wiretest starts the stand-ins that the tests of one package talk to,
// over TLS on loopback, as the handler would.
//
// A test that dials anything but loopback fails.
package wiretest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/connection"
	"rollcall/internal/credential"
	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/pki"
	"rollcall/internal/sandbox/servicebus"
	"rollcall/internal/sandbox/tablestore"
	"rollcall/internal/tables"
)

// The queue of every bus, and the namespace that it pretends to be.
const (
	Queue     = "sync-jobs"
	Namespace = "sandbox.servicebus.windows.net"
)

// Options say what a package's tests need.
type Options struct {
	// Microsoft starts Entra, Graph and the managed identity endpoint, with
	// PageSize people on a delta page (0 means 200).
	Microsoft bool
	PageSize  int
	// NodeModules starts a table store: Azurite from that directory, or the one in
	// memory where the environment's ROLLCALL_TABLES is "memory". Empty means none.
	NodeModules string
	// Memory starts a table store in memory, wherever the tests run.
	Memory bool
}

// Wires are the stand-ins of one test process.
type Wires struct {
	CA        *pki.CA
	Microsoft *microsoft.Server
	Tables    *tablestore.Server
	// Transport trusts the CA and reaches loopback only.
	Transport *http.Transport
}

// Main is the whole TestMain of a package: it starts the stand-ins, hands them
// to the tests by use, runs these and stops everything.
func Main(m *testing.M, o Options, use func(*Wires)) {
	os.Exit(run(m, o, use))
}

func run(m *testing.M, o Options, use func(*Wires)) int {
	w, err := start(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "wiretest:", err)
		return 1
	}
	defer w.close()
	use(w)
	return m.Run()
}

func start(o Options) (w *Wires, err error) {
	w = &Wires{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.CA, err = pki.New(); err != nil {
		return w, err
	}
	w.Transport = http.DefaultTransport.(*http.Transport).Clone()
	w.Transport.MaxIdleConnsPerHost = 64
	w.Transport.Proxy = nil
	w.Transport.TLSClientConfig = w.TLS()
	w.Transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if !strings.HasPrefix(addr, "127.0.0.1:") {
			return nil, errors.New("a test dialed " + addr)
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	if o.Microsoft {
		if w.Microsoft, err = microsoft.Start(microsoft.Options{CA: w.CA, Seed: 1, PageSize: o.PageSize}); err != nil {
			return w, err
		}
		// The managed identity is found by the environment, as in Azure.
		for name, v := range map[string]string{"IDENTITY_ENDPOINT": w.Microsoft.IdentityURL(), "IDENTITY_HEADER": w.Microsoft.IdentityHeader()} {
			if err = os.Setenv(name, v); err != nil {
				return w, err
			}
		}
	}
	if o.NodeModules != "" || o.Memory {
		to := tablestore.Options{CA: w.CA, NodeModules: o.NodeModules}
		if o.Memory {
			to.Kind = tablestore.Memory
		}
		if w.Tables, err = tablestore.Start(context.Background(), to); err != nil {
			return w, fmt.Errorf("%w (run: npm ci)", err)
		}
	}
	return w, nil
}

func (w *Wires) close() {
	if w.Transport != nil {
		w.Transport.CloseIdleConnections()
	}
	if w.Microsoft != nil {
		_ = w.Microsoft.Close()
	}
	if w.Tables != nil {
		_ = w.Tables.Close()
	}
}

// TLS is a client's configuration that trusts the stand-ins.
func (w *Wires) TLS() *tls.Config {
	return &tls.Config{RootCAs: w.CA.Pool(), MinVersion: tls.VersionTLS12}
}

// Credentials are new ones, without any tenant's token: of the managed
// identity, and as the changes make them.
func (w *Wires) Credentials(t testing.TB, changes ...func(*credential.Options)) *credential.Credentials {
	t.Helper()
	o := credential.Options{
		Identity: w.Microsoft.IdentityClientID(), Authority: w.Microsoft.AuthorityURL(),
		Apps:   connection.Apps{"mailboxes": w.Microsoft.AppID()},
		Client: &http.Client{Transport: w.Transport, Timeout: 30 * time.Second},
		Vault:  credential.VaultOptions{URL: w.Microsoft.VaultURL(), Endpoint: w.Microsoft.VaultAddr()},
	}
	for _, change := range changes {
		change(&o)
	}
	c, err := credential.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Tenant adds a tenant of so many generated people that has consented.
func (w *Wires) Tenant(t testing.TB, people int) *tenant.Tenant {
	t.Helper()
	tn, err := w.Microsoft.NewTenant(microsoft.TenantSpec{People: people})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Microsoft.Consent(tn.ID); err != nil {
		t.Fatal(err)
	}
	return tn
}

// Fault arms a fault of a tenant and returns a function that fails the test
// unless the fault fired at least once.
func (w *Wires) Fault(t testing.TB, tn *tenant.Tenant, f fault.Fault) (fired func()) {
	t.Helper()
	f.Tenant = tn.ID
	id, err := w.Microsoft.AddFault(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Microsoft.ClearFault(id) })
	return func() {
		t.Helper()
		if w.Microsoft.Fired(id) == 0 {
			t.Errorf("fault %s of %q never fired", f.Kind, f.Path)
		}
	}
}

// Store is the state in the process's table store. A test keeps to its own
// connections.
func (w *Wires) Store(t testing.TB) *tables.Store {
	t.Helper()
	s, err := tables.New(w.Tables.URL(), w.Tables.Credential(), &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: w.Transport},
		Retry:     policy.RetryOptions{MaxRetries: 1, RetryDelay: time.Millisecond},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Bus is a namespace of the test's own with one queue, as deployed, that keeps
// the time of now and takes the tokens that authorize does; nil takes all.
func (w *Wires) Bus(t testing.TB, now func() time.Time, authorize func(audience, token string) error) *servicebus.Server {
	t.Helper()
	secure, err := w.CA.ServerTLS(Namespace)
	if err != nil {
		t.Fatal(err)
	}
	s, err := servicebus.Start("127.0.0.1:0", servicebus.Options{
		Queues: []servicebus.Queue{{Name: Queue, LockDuration: 5 * time.Minute, DuplicateWindow: 24 * time.Hour}},
		Now:    now, TLS: secure, Authorize: authorize,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Token is a credential that always gives itself.
type Token string

// GetToken implements azcore.TokenCredential.
func (k Token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(k), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

// Clock is a virtual clock.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock starts at the given time.
func NewClock(at time.Time) *Clock { return &Clock{at: at.UTC()} }

// Now is the time by the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Advance moves the clock by d.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// Until moves the clock to at, unless it is past it.
func (c *Clock) Until(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.After(c.at) {
		c.at = at
	}
}

// Silent is a logger that drops everything.
func Silent() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
