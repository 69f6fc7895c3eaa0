// Package fault makes the Microsoft stand-in misbehave on demand. A fault
// counts only the times that it really took effect, so a test can assert that
// it did.
package fault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Kind is what goes wrong.
type Kind string

// The kinds of faults.
const (
	// Instead of an answer, on any path.
	Throttle  Kind = "throttle"  // 429; RetryAfter and Scope as given
	Error     Kind = "error"     // Status 500, 502 (HTML), 503 or 504; RetryAfter as given
	Forbidden Kind = "forbidden" // 403 Authorization_RequestDenied

	// Instead of an answer to a delta request that carries a token. All
	// delta tokens of the tenant are forgotten.
	Resync  Kind = "resync"  // 410 resyncRequired with Location
	Expired Kind = "expired" // 400 syncStateNotFound; on a report, its download link is dead

	// With an answer.
	Cut        Kind = "cut"        // Content-Length promises more than comes before the connection closes
	CutChunked Kind = "cutChunked" // likewise, without Content-Length
	Slow       Kind = "slow"       // waits Delay first

	// With an answer, or instead of one, on any Graph path.
	Near  Kind = "near"  // x-ms-throttle-limit-percentage of Part, with Scope as given
	Limit Kind = "limit" // Graph's own limits, Divide times smaller: near them it warns, beyond them it is 429

	// In a delta page.
	Empty     Kind = "empty"     // no items, but a nextLink; on a report, no rows
	Replay    Kind = "replay"    // up to ten items of earlier pages come again
	Duplicate Kind = "duplicate" // an item comes twice, first with an old display name
	Flap      Kind = "flap"      // a present person is removed and, later on the page, restored
	Permute   Kind = "permute"   // the items in reverse order

	// In a list or delta page.
	Omit Kind = "omit" // Object is left out though it exists, as by an index that is not up to date

	// At the token endpoint.
	AADSTS  Kind = "aadsts"  // refused with Code
	NoRoles Kind = "noRoles" // a token without any role
	Forge   Kind = "forge"   // an ID token that is false in the way that Forgery names
)

var kinds = []Kind{Throttle, Error, Forbidden, Resync, Expired, Cut, CutChunked, Slow, Near, Limit, Empty, Replay, Duplicate, Flap, Permute, Omit, AADSTS, NoRoles, Forge}

// Paths are the kinds of requests that faults and counters distinguish.
const (
	Organization    = "organization"
	Users           = "users"
	UsersCount      = "users.count"
	User            = "user"
	UsersDelta      = "users.delta"
	ByIDs           = "directoryObjects.getByIds"
	Groups          = "groups"
	Group           = "group"
	GroupsDelta     = "groups.delta"
	GroupMembers    = "groups.members"
	Batch           = "batch"           // the outer request; the inner ones are of their own kinds
	SubscribedSKUs  = "subscribedSkus"  // list and single ones
	MailboxReport   = "mailboxReport"   // the request that is answered with a redirect
	ReportDownload  = "reportDownload"  // what the redirect leads to
	MailboxSettings = "mailboxSettings" // with and without userPurpose
	DeletedItems    = "deletedItems"    // list and single ones
	Token           = "token"           // app tokens and code redemption
	Identity        = "identity"        // managed identity endpoint; the tenant is the vendor's
	Vault           = "vault"           // Key Vault; the tenant is the vendor's

	TransitiveMembers = "groups.transitiveMembers"
	MemberOf          = "users.memberOf"
	CheckMemberGroups = "checkMemberGroups"
)

// LeakedToken counts the downloads of a report that came with a token, which
// are also counted as [ReportDownload]. It is no path kind.
const LeakedToken = "reportDownload.leakedToken"

// ListedUsers counts the lists of users that were asked for by themselves, not
// within a batch, and not of a single user, to see whether that is granted. They
// are also counted as [Users]. It is no path kind.
const ListedUsers = "users.listed"

// Paths lists every path kind.
var Paths = []string{Organization, Users, UsersCount, User, UsersDelta, ByIDs,
	Groups, Group, GroupsDelta, GroupMembers, TransitiveMembers, MemberOf, CheckMemberGroups,
	Batch, SubscribedSKUs, MailboxReport, ReportDownload, MailboxSettings, DeletedItems, Token, Identity, Vault}

// The ways in which an ID token can be false. All else about it is right.
const (
	UnsignedToken  = "none"     // alg none and no signature
	SymmetricToken = "hs256"    // HS256 with the published key's PEM as the secret
	StrangerToken  = "stranger" // signed by a key that is not published
	BorrowedKeyID  = "keyID"    // likewise, under the ID of a published key
	ConsumerToken  = "consumer" // signed by the key that is published for personal accounts only
	OtherAudience  = "audience" // meant for another app
	OtherIssuer    = "issuer"   // iss is another tenant's, tid is right
	OtherTenant    = "tenant"   // tid is another tenant's, iss is right
	PersonalIssuer = "personal" // tid and iss are those of personal accounts
	ExpiredToken   = "expired"  // since an hour
	EarlyToken     = "early"    // valid from an hour on
	OtherNonce     = "nonce"    // of another sign-in
	TamperedToken  = "tampered" // a role was added after it was signed
	WithoutWids    = "noWids"   // no roles: the app's groupMembershipClaims is not set
)

// Forgeries lists them all.
var Forgeries = []string{UnsignedToken, SymmetricToken, StrangerToken, BorrowedKeyID, ConsumerToken, OtherAudience, OtherIssuer,
	OtherTenant, PersonalIssuer, ExpiredToken, EarlyToken, OtherNonce, TamperedToken, WithoutWids}

// Fault is one armed misbehavior.
type Fault struct {
	Tenant string `json:"tenant"` // empty: every tenant
	Path   string `json:"path"`   // empty: every Graph path (for AADSTS, NoRoles and Forge: token)
	Kind   Kind   `json:"kind"`
	Skip   int    `json:"skip"`  // let this many matching requests through first
	Count  int    `json:"count"` // times to fire; 0: until cleared

	Status     int           `json:"status"`           // of Error
	RetryAfter string        `json:"retryAfter"`       // header value, or "date:30s" for an HTTP date that far ahead; empty: no header
	Scope      string        `json:"scope"`            // x-ms-throttle-scope; empty: Tenant_Application/…; "none": no header
	Part       float64       `json:"part,omitempty"`   // of Near: 0.8 to 1.8
	Divide     int           `json:"divide,omitempty"` // of Limit; 0: not at all
	Code       int           `json:"code"`             // of AADSTS, such as 7000229
	Delay      time.Duration `json:"delay"`            // of Slow; in JSON as in "1.5s"
	Object     string        `json:"object"`           // ID of what Omit leaves out
	Forgery    string        `json:"forgery"`          // of Forge: one of Forgeries
}

// plain is Fault without its methods; in JSON a delay is a text.
type plain Fault

type readable struct {
	*plain
	Delay string `json:"delay,omitempty"`
}

// MarshalJSON writes the delay as Go does, such as "1.5s".
func (f Fault) MarshalJSON() ([]byte, error) {
	r := readable{plain: (*plain)(&f)}
	if f.Delay != 0 {
		r.Delay = f.Delay.String()
	}
	return json.Marshal(r)
}

// UnmarshalJSON reads the delay as Go does and refuses unknown members.
func (f *Fault) UnmarshalJSON(b []byte) error {
	r := readable{plain: (*plain)(f)}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(&r)
	if err == nil && r.Delay != "" {
		f.Delay, err = time.ParseDuration(r.Delay)
	}
	return err
}

// Status is an armed fault and how often it fired.
type Status struct {
	ID    int   `json:"id"`
	Fired int   `json:"fired"`
	Fault Fault `json:"fault"`
}

// ErrInvalid is wrapped when a fault makes no sense; ErrFull when too many are
// armed.
var (
	ErrInvalid = errors.New("invalid fault")
	ErrFull    = errors.New("too many faults")
)

// limit bounds the armed faults, since each request looks at all of them.
const limit = 1000

// Check says what is wrong with a fault, if anything.
func (f Fault) Check() error {
	switch {
	case !slices.Contains(kinds, f.Kind):
		return fmt.Errorf("%w: kind %q: want one of %v", ErrInvalid, f.Kind, kinds)
	case f.Path != "" && !slices.Contains(Paths, f.Path):
		return fmt.Errorf("%w: path %q: want one of %v or none", ErrInvalid, f.Path, Paths)
	case f.Kind == Error && !slices.Contains([]int{500, 502, 503, 504}, f.Status):
		return fmt.Errorf("%w: status %d: want 500, 502, 503 or 504", ErrInvalid, f.Status)
	case f.Kind == AADSTS && (f.Code < 10000 || f.Code > 99999999):
		return fmt.Errorf("%w: code %d: want an AADSTS number", ErrInvalid, f.Code)
	case f.Kind == Slow && (f.Delay <= 0 || f.Delay > time.Hour):
		return fmt.Errorf("%w: delay %s: want up to an hour", ErrInvalid, f.Delay)
	case (f.Kind == Omit) != (f.Object != ""):
		return fmt.Errorf("%w: object: omit needs one, and nothing else does", ErrInvalid)
	case f.Kind == Forge && !slices.Contains(Forgeries, f.Forgery):
		return fmt.Errorf("%w: forgery %q: want one of %v", ErrInvalid, f.Forgery, Forgeries)
	case (f.Kind == Near) != (f.Part != 0) || f.Kind == Near && !(f.Part >= 0.8 && f.Part <= 1.8):
		return fmt.Errorf("%w: part %g: near needs 0.8 to 1.8, and nothing else has one", ErrInvalid, f.Part)
	case f.Divide < 0 || f.Divide > 0 && f.Kind != Limit:
		return fmt.Errorf("%w: divide %d: limit takes a whole number from 0, and nothing else does", ErrInvalid, f.Divide)
	case f.Skip < 0 || f.Count < 0:
		return fmt.Errorf("%w: skip and count must not be negative", ErrInvalid)
	}
	return nil
}

// RetryAfterHeader is the header value at the given time.
func (f Fault) RetryAfterHeader(now time.Time) string {
	if len(f.RetryAfter) > 5 && f.RetryAfter[:5] == "date:" {
		if d, err := time.ParseDuration(f.RetryAfter[5:]); err == nil {
			return now.Add(d).UTC().Format(http.TimeFormat)
		}
	}
	return f.RetryAfter
}

// covers says whether the fault is meant for the request.
func (f Fault) covers(tenant, path string) bool {
	if f.Tenant != "" && f.Tenant != tenant {
		return false
	}
	switch {
	case f.Path != "":
		return f.Path == path
	case f.Kind == AADSTS || f.Kind == NoRoles || f.Kind == Forge:
		return path == Token
	}
	return path != Token && path != Identity && path != Vault
}

// Set holds the armed faults. The zero value is ready.
type Set struct {
	mu    sync.Mutex
	last  int
	armed []*entry
	spent map[int]int // fired counts of faults that are done or cleared
}

type entry struct {
	id, seen, fired int
	Fault
}

// Add arms a fault and returns its ID.
func (s *Set) Add(f Fault) (id int, err error) {
	if err := f.Check(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.armed) >= limit {
		return 0, fmt.Errorf("%w: %d armed", ErrFull, limit)
	}
	s.last++
	s.armed = append(s.armed, &entry{id: s.last, Fault: f})
	return s.last, nil
}

// Take fires the first armed fault of a kind that covers the request, if
// there is one. The caller must then make it happen: it asks only where the
// fault can take effect.
func (s *Set) Take(tenant, path string, of ...Kind) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.armed {
		if !slices.Contains(of, e.Kind) || !e.covers(tenant, path) {
			continue
		}
		if e.seen++; e.seen <= e.Skip {
			continue
		}
		e.fired++
		if e.Count > 0 && e.fired >= e.Count {
			s.retire(i)
		}
		return e.Fault, true
	}
	return Fault{}, false
}

// Armed is the fault that [Set.Take] would fire, but for those that it lets
// through first. It fires nothing.
func (s *Set) Armed(tenant, path string, kind Kind) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.armed {
		if e.Kind == kind && e.covers(tenant, path) {
			return e.Fault, true
		}
	}
	return Fault{}, false
}

// retire disarms the i-th fault but keeps its count.
func (s *Set) retire(i int) {
	if s.spent == nil {
		s.spent = map[int]int{}
	}
	s.spent[s.armed[i].id] = s.armed[i].fired
	s.armed = slices.Delete(s.armed, i, i+1)
}

// Clear disarms a fault and says whether it was armed. Its count stays.
func (s *Set) Clear(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.armed, func(e *entry) bool { return e.id == id })
	if i < 0 {
		return false
	}
	s.retire(i)
	return true
}

// ClearAll disarms every fault.
func (s *Set) ClearAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.armed) > 0 {
		s.retire(0)
	}
}

// Fired is how often a fault took effect, even after it was cleared or spent.
func (s *Set) Fired(id int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.armed {
		if e.id == id {
			return e.fired
		}
	}
	return s.spent[id]
}

// List is the armed faults in the order in which they were added.
func (s *Set) List() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Status, 0, len(s.armed))
	for _, e := range s.armed {
		out = append(out, Status{ID: e.id, Fired: e.fired, Fault: e.Fault})
	}
	return out
}

// Spent is the fired counts of the faults that are done or cleared, by ID.
func (s *Set) Spent() map[int]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[int]int, len(s.spent))
	for id, n := range s.spent {
		out[id] = n
	}
	return out
}
