package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// story is a connection's days: every phase of every kind of run, in the
// stages of [stages].
type story struct {
	*crashed
	t    *testing.T
	cust customer
	// people are those whom the tenant began with, the first inScope of them in
	// the scope group: half directly, half by the group within it.
	people, teams []string
	scope, inner  string
	gone          []string // groups in deleted items
	plan          plan     // as it was held
	asked         map[string]int
	copies        atomic.Int64 // of messages, by meddling
}

const (
	people      = 110
	inScope     = 90
	teams       = 20
	memberships = 330
)

// plan is a held plan as the machine API tells of it.
type plan struct {
	Hash, Run                 string
	Count, Teams, Memberships int
}

// stage is one thing that happens to a connection, and the run that follows.
type stage struct {
	name string
	// edit changes the tenant, before anything can be killed.
	edit func(*story) error
	// ask starts what is to follow; repeated until it answers nil.
	ask func(*story, context.Context) error
	// trigger is that of the run that ask leads to, status the connection's
	// after it.
	trigger, status string
	// faults go wrong meanwhile, so that the run is a chain of slices.
	faults []fault.Fault
}

// busy is Microsoft asking to slow down once: the slice ends, and another one
// goes on.
func busy(path string) fault.Fault {
	return fault.Fault{Path: path, Kind: fault.Throttle, Count: 1, RetryAfter: "0.01"}
}

var stages = []stage{
	{name: "first", edit: (*story).settle, ask: (*story).connect, trigger: "first", status: "ok", faults: []fault.Fault{
		// Longer than a slice may last, together.
		{Path: fault.UsersDelta, Kind: fault.Slow, Count: 2, Delay: 520 * time.Millisecond},
		busy(fault.TransitiveMembers), busy(fault.GroupsDelta), busy(fault.SubscribedSKUs), busy(fault.MailboxReport), busy(fault.Batch),
	}},
	{name: "changes", edit: (*story).change, ask: (*story).narrow, trigger: "manual", status: "ok", faults: []fault.Fault{
		busy(fault.UsersDelta), busy(fault.GroupsDelta), busy(fault.GroupMembers), busy(fault.MailboxReport),
	}},
	{name: "forgotten", edit: (*story).forget, ask: (*story).sync, trigger: "manual", status: "ok", faults: []fault.Fault{
		{Path: fault.GroupsDelta, Kind: fault.Slow, Count: 2, Delay: 520 * time.Millisecond}, busy(fault.Batch),
	}},
	{name: "held", edit: (*story).empty, ask: (*story).sync, trigger: "manual", status: "held", faults: []fault.Fault{busy(fault.GroupsDelta)}},
	{name: "approved", edit: (*story).nothing, ask: (*story).approve, trigger: "approve", status: "ok"},
	{name: "preview", edit: (*story).tomorrow, ask: (*story).preview, trigger: "preview", status: "ok", faults: []fault.Fault{busy(fault.GroupsDelta)}},
	{name: "person", edit: (*story).nothing, ask: (*story).one, trigger: "person", status: "ok"},
	{name: "erase", edit: (*story).nothing, ask: (*story).erase, trigger: "erase", status: "ok"},
	{name: "last", edit: (*story).nothing, ask: (*story).sync, trigger: "manual", status: "ok"},
}

// begin makes a tenant of its own, with the directory of every other one.
func (c *crashed) begin(t *testing.T) (*story, error) {
	id := fmt.Sprintf("%08x-0000-4000-8000-%012x", rand.Uint32(), rand.Uint64()&0xffffffffffff)
	s := &story{crashed: c, t: t, asked: map[string]int{}}
	s.cust = invited(t, c.Sandbox, tenant.Spec{
		ID: id, Name: "Contoso", Domain: "contoso.example", People: people, Seed: 5, Teams: teams, Memberships: memberships,
	})
	for _, p := range s.cust.tenant.People() {
		s.people = append(s.people, p.ID)
	}
	for _, g := range s.cust.tenant.Groups() {
		if g.Team() {
			s.teams = append(s.teams, g.ID)
		}
	}
	for _, g := range []struct { // in this order: IDs follow from it
		name string
		id   *string
	}{{"everybody", &s.scope}, {"branch", &s.inner}} {
		id, err := s.cust.tenant.CreateGroup(tenant.Fields{"displayName": g.name, "mailNickname": g.name, "securityEnabled": true})
		if err != nil {
			return nil, err
		}
		*g.id = id
	}
	return s, nil
}

// call asks the machine API for something that leads to a run.
func (s *story) call(ctx context.Context, method, path string, body any) error {
	a, err := s.Call(ctx, method, s.cust.path(path), body, nil)
	if err == nil && a.Status >= 300 {
		err = fmt.Errorf("status %d: %s", a.Status, a.Body)
	}
	return err
}

func (s *story) connect(ctx context.Context) error {
	if err := s.call(ctx, http.MethodPatch, "", map[string]any{"settings": map[string]any{
		"securityGroups": true, "mailboxes": true, "mailboxTypes": true, "groups": []string{s.scope},
	}}); err != nil {
		return err
	}
	// It may have been granted by the try that was killed.
	if conn, err := status(ctx, s.crashed, s.cust); err != nil || conn.Status != "invited" {
		return err
	}
	p, err := s.Consent(ctx, s.cust.Link, s.cust.admin())
	if err == nil && p.Status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", p.Status, p.Title)
	}
	return err
}

func (s *story) narrow(ctx context.Context) error {
	if err := s.call(ctx, http.MethodPatch, "", map[string]any{"settings": map[string]any{"disabled": false}}); err != nil {
		return err
	}
	return s.sync(ctx)
}

func (s *story) sync(ctx context.Context) error { return s.call(ctx, http.MethodPost, "/sync", nil) }

func (s *story) approve(ctx context.Context) error {
	return s.call(ctx, http.MethodPost, "/runs/"+s.plan.Run+"/approve", map[string]string{"hash": s.plan.Hash})
}

func (s *story) preview(ctx context.Context) error {
	return s.once(ctx, "preview", s.call(ctx, http.MethodPost, "/preview", nil))
}

// whom a person's sync and an erasure are about.
func (s *story) synced() string { return s.people[72] }
func (s *story) erased() string {
	for _, id := range s.people[24:30] { // in several teams, and edited before
		if p, ok := s.cust.tenant.Person(id); ok && p.AccountEnabled {
			return id
		}
	}
	return ""
}

func (s *story) one(ctx context.Context) error {
	return s.once(ctx, "person", s.call(ctx, http.MethodPost, "/people/"+s.synced()+"/sync", nil))
}

func (s *story) erase(ctx context.Context) error {
	return s.call(ctx, http.MethodPost, "/people/"+s.erased()+"/erase", map[string]string{"confirm": s.erased()})
}

// once forgives a refusal if a try whose answer was lost has led to a run.
func (s *story) once(ctx context.Context, trigger string, err error) error {
	if err == nil {
		return nil
	}
	all, listErr := runs(ctx, s.Sandbox, s.cust)
	for _, r := range all {
		if listErr == nil && r.Trigger == trigger {
			return nil
		}
	}
	return err
}

// tell reads the plan that waits.
func (s *story) tell(ctx context.Context) (p plan, err error) {
	var page struct{ Plan *plan }
	if _, err = s.Call(ctx, http.MethodGet, s.cust.path("/removals?limit=1"), nil, &page); err == nil && page.Plan != nil {
		p = *page.Plan
	}
	return p, err
}

// live goes through a stage until nothing is under way any more.
func (s *story) live(st *stage) {
	s.t.Helper()
	s.calm()
	if err := st.edit(s); err != nil {
		s.t.Fatalf("%s: %v", st.name, err)
	}
	var faults []int
	for _, f := range st.faults {
		f.Tenant = s.cust.tenant.ID
		id, err := s.Microsoft.AddFault(f)
		if err != nil {
			s.t.Fatal(err)
		}
		faults = append(faults, id)
	}
	s.asked[st.trigger]++
	part := s.cust.ID
	if st.trigger == "preview" {
		part += "~preview"
	}
	s.enter(st.name, part)
	retry(s.t, st.name, func() error { return st.ask(s, s.t.Context()) })
	s.quiet(st)
	s.calm()
	for i, id := range faults {
		if s.Microsoft.ClearFault(id); s.Microsoft.Fired(id) == 0 {
			s.t.Errorf("%s: the fault %+v never fired", st.name, st.faults[i])
		}
	}
}

// quiet waits until nothing is under way any more: the run that was asked for
// has ended and is noted on the connection, no other is open, and the queue is
// empty. The janitor goes round meanwhile, as it would.
func (s *story) quiet(st *stage) {
	s.t.Helper()
	ctx := within(s.t, time.Minute)
	var (
		rounds int
		list   []run
		conn   noted
	)
	err := sandbox.Await(ctx, "quiet", func() (bool, error) {
		if rounds++; rounds%25 == 0 {
			_ = s.Host.Fire(ctx, "janitor") // may be killed too
			_ = s.Host.Fire(ctx, "synctimer")
		}
		n, err := s.Bus.Counts(sandbox.Queue)
		if err != nil || n.Active+n.Scheduled+n.Locked > 0 {
			return false, err
		}
		all, err := runs(ctx, s.Sandbox, s.cust)
		if err != nil {
			return false, nil // killed meanwhile
		}
		now, err := status(ctx, s.crashed, s.cust)
		if err != nil {
			return false, nil
		}
		list, conn = all, now
		done, asked := false, 0
		for _, r := range list {
			if !r.ended() {
				return false, nil
			}
			done = done || r.ID == conn.LastRun
			if r.Trigger == st.trigger {
				asked++
			}
		}
		return done && asked >= s.asked[st.trigger] && conn.Status == st.status, nil
	})
	if err != nil {
		left, _ := s.Bus.Messages(sandbox.Queue)
		s.t.Fatalf("%s: %v: connection %+v, runs %+v, fence %+v, messages %+v", st.name, err, conn, list, s.fence().Run, left)
	}
}
