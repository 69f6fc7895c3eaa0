package microsoft

import (
	"context"
	"fmt"
	"time"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/load"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// NewTenant adds a tenant. Without a seed of its own it gets the next one of
// the server's, so that tenants differ and yet repeat from start to start.
func (s *Server) NewTenant(spec TenantSpec) (*tenant.Tenant, error) {
	s.mu.Lock()
	s.nextSeed++
	if spec.Seed == 0 {
		spec.Seed = s.nextSeed
	}
	s.mu.Unlock()
	t, err := tenant.New(spec, s.opt.Now)
	if err != nil {
		return nil, err
	}
	if err := s.tenants.Add(t); err != nil {
		return nil, err
	}
	return t, nil
}

// LoadTenant adds the tenant of a directory export, and says what it held.
func (s *Server) LoadTenant(dir string) (*tenant.Tenant, load.Summary, error) {
	t, sum, err := load.Dir(dir, s.opt.Now)
	if err == nil {
		err = s.tenants.Add(t)
	}
	if err != nil {
		return nil, sum, fmt.Errorf("microsoft: %w", err)
	}
	return t, sum, nil
}

// AddTenant is [Server.NewTenant] for specs that are known to be good; it
// returns nil for one that is not.
func (s *Server) AddTenant(spec TenantSpec) *tenant.Tenant {
	t, err := s.NewTenant(spec)
	if err != nil {
		return nil
	}
	return t
}

// Tenant finds a tenant by ID, or nil.
func (s *Server) Tenant(id string) *tenant.Tenant { return s.tenants.Get(id) }

// Tenants lists the tenants in the order in which they were added.
func (s *Server) Tenants() []*tenant.Tenant { return s.tenants.All() }

func (s *Server) consentDelay() time.Duration { return time.Duration(s.delay.Load()) }

// SetConsentDelay says how long later consents take to spread.
func (s *Server) SetConsentDelay(d time.Duration) { s.delay.Store(int64(d)) }

// SetDelayHook replaces the waiting of slow answers, such as by a virtual
// clock. The hook must return when its context ends.
func (s *Server) SetDelayHook(hook func(context.Context, time.Duration)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

func (s *Server) sleep(ctx context.Context, d time.Duration) {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	hook(ctx, d)
}

// AddFault arms a fault and returns its ID.
func (s *Server) AddFault(f fault.Fault) (id int, err error) { return s.faults.Add(f) }

// Fired is how often a fault took effect, even after it was cleared or spent.
func (s *Server) Fired(id int) int { return s.faults.Fired(id) }

// ClearFault disarms a fault.
func (s *Server) ClearFault(id int) { s.faults.Clear(id) }

// ClearFaults disarms every fault.
func (s *Server) ClearFaults() { s.faults.ClearAll() }

// Faults lists the armed faults.
func (s *Server) Faults() []fault.Status { return s.faults.List() }

// DeleteTenant takes a tenant out, so that another with the same people and
// accounts can take its place.
func (s *Server) DeleteTenant(id string) { s.tenants.Delete(id) }
