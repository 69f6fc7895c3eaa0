// Package tenant models customers' Microsoft Entra tenants: their people, the
// accounts that can sign in, and what they have consented to. Every edit is
// logged in order, so no delta reader can ever miss one.
package tenant

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// PersonalTenant is the fixed tenant of all personal Microsoft accounts.
const PersonalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

// Template IDs of directory roles, as they appear in the wids claim
// (documented, "Microsoft Entra built-in roles").
const (
	GlobalAdministrator         = "62e90394-69f5-4237-9190-012177145e10"
	PrivilegedRoleAdministrator = "e8611ab8-c189-46e8-94e1-60213ab1f814"
	ApplicationAdministrator    = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
	anyone                      = "b79fbf4d-3ef9-4689-8143-76b194e85509" // every account has it
)

// Account can sign in. Accounts are apart from the people that Graph lists,
// so a generated directory holds exactly as many as asked for.
type Account struct {
	ID       string   `json:"id"`
	Tenant   string   `json:"tenant"`
	Username string   `json:"username"`
	Name     string   `json:"name"`
	Title    string   `json:"title"` // what the sign-in page says about it
	Roles    []string `json:"wids"`
}

// MayConsent says whether the account may grant Graph application permissions
// to an app: only these two roles may (documented, "Grant tenant-wide admin
// consent").
func (a Account) MayConsent() bool {
	return slices.Contains(a.Roles, GlobalAdministrator) || slices.Contains(a.Roles, PrivilegedRoleAdministrator)
}

// Tenant is one Entra tenant. Its methods are safe for concurrent use.
type Tenant struct {
	ID       string
	Name     string
	Domain   string // verified default domain
	Accounts []Account
	*Directory

	now       func() time.Time
	licensing licensing

	mu     sync.Mutex
	grants map[string]*grant // by app ID
	calls  map[string]int
	epoch  uint64 // of delta tokens
}

// Spec describes a tenant to make. An empty ID, Name or Domain is made up
// from the seed.
type Spec struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Domain string `json:"domain"`
	People int    `json:"people"`
	Seed   uint64 `json:"seed"`

	// Teams is how many groups are Teams; a fifth as many security groups hold
	// them. Memberships is how many people they have together.
	Teams       int `json:"teams"`
	Memberships int `json:"memberships"`
}

var (
	guidForm   = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	domainForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,80}[a-z0-9])?$`)
)

// IsGUID says whether s is a GUID in lower case.
func IsGUID(s string) bool { return guidForm.MatchString(s) }

// New makes a tenant with a generated directory.
func New(s Spec, now func() time.Time) (*Tenant, error) {
	r := rand.New(rand.NewPCG(s.Seed, 0x74656e616e74))
	made := GUID(r)
	if s.ID == "" {
		s.ID = made
	}
	if !IsGUID(s.ID) {
		return nil, fmt.Errorf("tenant: new: id %.64q: %w: want a lower-case GUID", s.ID, ErrInvalid)
	}
	if s.Name == "" {
		s.Name = companies[r.IntN(len(companies))]
	}
	if s.Domain == "" {
		s.Domain = slug(s.Name) + s.ID[:4] + ".onmicrosoft.example"
	}
	switch {
	case len(s.Name) > 256:
		return nil, fmt.Errorf("tenant: new: name: %w: at most 256 bytes", ErrInvalid)
	case !domainForm.MatchString(s.Domain):
		return nil, fmt.Errorf("tenant: new: domain %q: %w: want a lower-case host name", s.Domain, ErrInvalid)
	case s.People < 0 || s.People > MaxPeople:
		return nil, fmt.Errorf("tenant: new: people %d: %w: want 0 to %d", s.People, ErrInvalid, MaxPeople)
	}
	if err := s.checkGroups(); err != nil {
		return nil, fmt.Errorf("tenant: new: %w", err)
	}
	t := &Tenant{
		ID: s.ID, Name: s.Name, Domain: s.Domain, now: now,
		Directory: newDirectory(s.Seed),
		grants:    map[string]*grant{},
		calls:     map[string]int{},
		Accounts: []Account{
			account(r, s, "admin", "Ada Global", "Global Administrator", GlobalAdministrator),
			account(r, s, "roles", "Rolf Privileg", "Privileged Role Administrator", PrivilegedRoleAdministrator),
			account(r, s, "apps", "Apolline Appleby", "Application Administrator", ApplicationAdministrator),
			account(r, s, "erin", "Erin Employee", "employee"),
			account(r, s, "siobhan.o'neil", "Siobhán O'Neil", "employee"),
		},
	}
	t.clock = now
	if err := t.generate(s.People, s.Domain, r); err != nil {
		return nil, fmt.Errorf("tenant: new: %w", err)
	}
	if err := t.generateGroups(s.Teams, s.Memberships); err != nil {
		return nil, fmt.Errorf("tenant: new: %w", err)
	}
	if err := t.subscribe(rand.New(rand.NewPCG(s.Seed, 0x736b7573))); err != nil {
		return nil, fmt.Errorf("tenant: new: %w", err)
	}
	return t, nil
}

func account(r *rand.Rand, s Spec, user, name, title string, roles ...string) Account {
	return Account{
		ID: GUID(r), Tenant: s.ID, Username: user + "@" + s.Domain, Name: name, Title: title,
		Roles: append(roles, anyone),
	}
}

// Personal is the personal Microsoft account on the sign-in page.
func Personal() Account {
	return Account{
		ID: "00000000-0000-0000-3a1f-5c7e9b2d4f60", Tenant: PersonalTenant, Username: "pat.personal@outlook.example",
		Name: "Pat Personal", Title: "personal Microsoft account",
	}
}

// Called counts one request of a path kind.
func (t *Tenant) Called(path string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[path]++
}

// Calls is how many requests of each path kind the tenant has seen.
func (t *Tenant) Calls() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.calls)
}

// Epoch numbers the generation of delta tokens; Forget ends it, so that
// every token issued before is unknown from now on.
func (t *Tenant) Epoch() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.epoch
}

// Forget makes the service forget all delta tokens of the tenant.
func (t *Tenant) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch++
}

// Registry holds the tenants in the order in which they were added.
type Registry struct {
	mu   sync.RWMutex
	byID map[string]*Tenant
	list []*Tenant
}

// ErrExists is wrapped when a tenant ID is taken.
var ErrExists = errors.New("exists")

// Add registers a tenant.
func (g *Registry) Add(t *Tenant) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, taken := g.byID[t.ID]; taken || t.ID == PersonalTenant {
		return fmt.Errorf("tenant: add %s: %w", t.ID, ErrExists)
	}
	if g.byID == nil {
		g.byID = map[string]*Tenant{}
	}
	g.byID[t.ID] = t
	g.list = append(g.list, t)
	return nil
}

// Delete takes a tenant out, as if it had never been.
func (g *Registry) Delete(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.byID, id)
	g.list = slices.DeleteFunc(g.list, func(t *Tenant) bool { return t.ID == id })
}

// Get finds a tenant by ID, or nil.
func (g *Registry) Get(id string) *Tenant {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.byID[strings.ToLower(id)]
}

// All lists the tenants.
func (g *Registry) All() []*Tenant {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Clone(g.list)
}

// Account finds an account of any tenant, or the personal one.
func (g *Registry) Account(id string) (Account, bool) {
	if p := Personal(); p.ID == id {
		return p, true
	}
	for _, t := range g.All() {
		for _, a := range t.Accounts {
			if a.ID == id {
				return a, true
			}
		}
	}
	return Account{}, false
}
