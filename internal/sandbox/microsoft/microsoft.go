// Package microsoft is the sandbox's Microsoft: Entra sign-in, admin consent
// and tokens, the managed identity endpoint, Graph and Key Vault, all on
// loopback, over directories that can be edited while it runs. A client needs nothing but
// other addresses and one root certificate to take it for the real one.
package microsoft

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"rollcall/internal/sandbox/microsoft/control"
	"rollcall/internal/sandbox/microsoft/entra"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/graph"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/token"
	"rollcall/internal/sandbox/microsoft/vault"
	"rollcall/internal/sandbox/microsoft/wire"
	"rollcall/internal/sandbox/pki"
)

// Options configure a stand-in. Only CA is required: IDs that are left empty
// are made from the seed.
type Options struct {
	CA               *pki.CA
	Now              func() time.Time // default time.Now
	Seed             uint64
	AppID            string        // client ID of the default app registration; more with AddApp
	AppName          string        // default "Rollcall"
	Permissions      []string      // application permissions that the app asks for; default [DefaultPermissions]
	RedirectURIs     []string      // registered redirect URIs, compared as text
	IdentityClientID string        // client ID of the vendor's user-assigned managed identity; default a new one each time
	VendorTenant     string        // the vendor's own tenant
	ConsentDelay     time.Duration // how long a consent takes to spread
	PageSize         int           // people on a users/delta page; default 200, as observed at Microsoft
	MembersPage      int           // members on a groups/delta page, all groups together; default 500
}

// DefaultPermissions are what the app asks for unless told otherwise: all that
// Rollcall may use.
var DefaultPermissions = []string{
	"User.Read.All", "Organization.Read.All", "LicenseAssignment.Read.All", "GroupMember.Read.All", "Member.Read.Hidden",
	"Reports.Read.All", "MailboxSettings.Read",
}

// TenantSpec describes a tenant to add; see [tenant.Spec].
type TenantSpec = tenant.Spec

// Server is a running stand-in.
type Server struct {
	opt      Options
	tenants  tenant.Registry
	faults   fault.Set
	keys     *token.Keyring
	entra    *entra.Server
	graph    *graph.Server
	vault    *vault.Server
	gate     wire.Gate
	delay    atomic.Int64
	secret   string // X-IDENTITY-HEADER
	urls     [ports]string
	servers  []*http.Server
	running  sync.WaitGroup
	mu       sync.Mutex
	hook     func(context.Context, time.Duration)
	nextSeed uint64
}

// Positions in Server.urls.
const (
	authority = iota
	graphAPI
	identity
	controlAPI
	keyVault
	ports // how many there are
)

// Start listens on free ports of 127.0.0.1 and serves until Close.
func Start(o Options) (*Server, error) {
	if o.CA == nil {
		return nil, errors.New("microsoft: start: a CA is required")
	}
	ids := mathrand.New(mathrand.NewPCG(o.Seed, 0x6d73))
	if o.IdentityClientID == "" {
		// Not from the seed: MSAL caches an identity's tokens per process and
		// client ID, and another stand-in's are signed with another key.
		o.IdentityClientID = uuid.NewString()
	}
	for _, id := range []*string{&o.AppID, &o.IdentityClientID, &o.VendorTenant} {
		if made := tenant.GUID(ids); *id == "" {
			*id = made
		}
		if !tenant.IsGUID(*id) {
			return nil, fmt.Errorf("microsoft: start: %q is no lower-case GUID", *id)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.AppName == "" {
		o.AppName = "Rollcall"
	}
	if o.Permissions == nil {
		o.Permissions = DefaultPermissions
	}
	if o.PageSize == 0 {
		o.PageSize = 200
	}
	if o.PageSize < 0 || o.MembersPage < 0 {
		return nil, fmt.Errorf("microsoft: start: page size %d, members page %d", o.PageSize, o.MembersPage)
	}
	s := &Server{opt: o, secret: rand.Text(), hook: wire.Sleep, nextSeed: o.Seed}
	s.delay.Store(int64(o.ConsentDelay))
	s.gate = wire.Gate{Faults: &s.faults, Now: o.Now, Sleep: s.sleep}
	if err := s.start(); err != nil {
		_ = s.Close() // the first error tells more
		return nil, fmt.Errorf("microsoft: start: %w", err)
	}
	return s, nil
}

// start opens the listeners first, since the services name each other's
// addresses, and then serves.
func (s *Server) start() error {
	var err error
	if s.keys, err = token.NewKeyring(); err != nil {
		return err
	}
	secure, err := s.opt.CA.ServerTLS()
	if err != nil {
		return err
	}
	named, err := s.opt.CA.ServerTLS(vault.Host)
	if err != nil {
		return err
	}
	var listeners [ports]net.Listener
	for i := range listeners {
		if listeners[i], err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
			for _, l := range listeners[:i] {
				_ = l.Close()
			}
			return err
		}
		scheme := "https://"
		if i == identity || i == controlAPI {
			scheme = "http://"
		}
		s.urls[i] = scheme + listeners[i].Addr().String()
	}
	handlers, err := s.handlers()
	if err != nil {
		for _, l := range listeners {
			_ = l.Close()
		}
		return err
	}
	for i, l := range listeners {
		srv := &http.Server{Handler: handlers[i], ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
		switch i {
		case authority, graphAPI:
			srv.TLSConfig = secure.Clone()
		case keyVault:
			srv.TLSConfig = named
		}
		s.servers = append(s.servers, srv)
		s.running.Go(func() { serve(srv, l, srv.TLSConfig) })
	}
	return nil
}

// serve ends when the server is closed, which is the only way it can.
func serve(srv *http.Server, l net.Listener, secure *tls.Config) {
	if secure != nil {
		_ = srv.ServeTLS(l, "", "")
		return
	}
	_ = srv.Serve(l)
}

func (s *Server) handlers() ([ports]http.Handler, error) {
	o := s.opt
	s.entra = entra.New(entra.Config{
		Gate: &s.gate, Now: o.Now, Tenants: &s.tenants, Keys: s.keys, Authority: s.urls[authority], Graph: s.urls[graphAPI],
		IdentityClientID: o.IdentityClientID, IdentityHeader: s.secret, VendorTenant: o.VendorTenant, ConsentDelay: s.consentDelay,
	})
	_, err := s.entra.AddApp(AppSpec{ID: o.AppID, Name: o.AppName, Permissions: o.Permissions, RedirectURIs: o.RedirectURIs})
	if err != nil {
		return [ports]http.Handler{}, err
	}
	s.vault = vault.New(vault.Config{
		Gate: &s.gate, Now: o.Now, Keys: s.keys, Authority: s.urls[authority], Tenant: o.VendorTenant, Reader: o.IdentityClientID,
	})
	g, err := graph.New(graph.Config{
		Gate: &s.gate, Now: o.Now, Tenants: &s.tenants, Keys: s.keys, Base: s.urls[graphAPI], Public: entra.GraphResource, PageSize: o.PageSize, MembersPage: o.MembersPage,
		Entra: s.entra,
	})
	if err != nil {
		return [ports]http.Handler{}, err
	}
	s.graph = g
	msi := http.NewServeMux()
	msi.HandleFunc("GET /msi/token", s.entra.Identity)
	ctl := control.New(control.Config{
		Tenants: &s.tenants, Faults: &s.faults, Entra: s.entra, Vault: s.vault, AddTenant: s.NewTenant,
		RotateKeys: s.RotateKeys, SetConsentDelay: s.SetConsentDelay,
	})
	return [ports]http.Handler{
		authority: s.entra.Handler(), graphAPI: g.Handler(), identity: msi, controlAPI: ctl, keyVault: s.vault.Handler(),
	}, nil
}

// Close stops serving and cuts what is under way.
func (s *Server) Close() error {
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, srv.Close())
	}
	s.running.Wait()
	return errors.Join(errs...)
}

// AuthorityURL is Entra's base address, for AZURE_AUTHORITY_HOST.
func (s *Server) AuthorityURL() string { return s.urls[authority] }

// GraphURL is Graph's base address, without /v1.0.
func (s *Server) GraphURL() string { return s.urls[graphAPI] }

// IdentityURL is the managed identity endpoint, for IDENTITY_ENDPOINT.
func (s *Server) IdentityURL() string { return s.urls[identity] + "/msi/token" }

// IdentityHeader is the endpoint's shared secret, for IDENTITY_HEADER.
func (s *Server) IdentityHeader() string { return s.secret }

// ControlURL is the address of the control API.
func (s *Server) ControlURL() string { return s.urls[controlAPI] }

// IdentityClientID is the client ID of the managed identity, for
// AZURE_CLIENT_ID.
func (s *Server) IdentityClientID() string { return s.opt.IdentityClientID }

// VendorTenant is the tenant of the app registrations and the identity.
func (s *Server) VendorTenant() string { return s.opt.VendorTenant }

// RotateKeys makes a new signing key; the one before stays published.
func (s *Server) RotateKeys() error { return s.keys.Rotate() }

// VerifyToken checks a token that another stand-in was given: signed here,
// not expired and meant for the audience.
func (s *Server) VerifyToken(compact, audience string) error {
	c, err := s.keys.Verify(compact, s.opt.Now())
	if err != nil {
		return fmt.Errorf("microsoft: %w", err)
	}
	if !token.SameAudience(string(c.Audience), audience) {
		return fmt.Errorf("microsoft: %w: audience %q, want %q", token.ErrInvalid, c.Audience, audience)
	}
	return nil
}
