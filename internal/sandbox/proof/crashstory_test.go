package proof

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
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
		{Path: fault.UsersDelta, Kind: fault.Slow, Count: 3, Delay: 400 * time.Millisecond},
		busy(fault.TransitiveMembers), busy(fault.GroupsDelta), busy(fault.SubscribedSKUs), busy(fault.MailboxReport), busy(fault.Batch),
	}},
	{name: "changes", edit: (*story).change, ask: (*story).narrow, trigger: "manual", status: "ok", faults: []fault.Fault{
		busy(fault.UsersDelta), busy(fault.GroupsDelta), busy(fault.GroupMembers), busy(fault.MailboxReport),
	}},
	{name: "forgotten", edit: (*story).forget, ask: (*story).sync, trigger: "manual", status: "ok", faults: []fault.Fault{
		{Path: fault.GroupsDelta, Kind: fault.Slow, Count: 3, Delay: 400 * time.Millisecond}, busy(fault.Batch),
	}},
	{name: "held", edit: (*story).empty, ask: (*story).sync, trigger: "manual", status: "held", faults: []fault.Fault{busy(fault.GroupsDelta)}},
	{name: "approved", edit: (*story).nothing, ask: (*story).approve, trigger: "approve", status: "ok"},
	{name: "preview", edit: (*story).tomorrow, ask: (*story).preview, trigger: "preview", status: "ok", faults: []fault.Fault{busy(fault.GroupsDelta)}},
	{name: "person", edit: (*story).nothing, ask: (*story).one, trigger: "person", status: "ok"},
	{name: "erase", edit: (*story).nothing, ask: (*story).erase, trigger: "erase", status: "ok"},
	{name: "last", edit: (*story).nothing, ask: (*story).sync, trigger: "manual", status: "ok"},
}

// all calls f with each.
func all(ids []string, f func(id string) error) error {
	for _, id := range ids {
		if err := f(id); err != nil {
			return err
		}
	}
	return nil
}

func (s *story) join(group string, people ...string) error {
	return all(people, func(id string) error { return s.cust.tenant.AddMember(group, id) })
}

func (s *story) leave(group string, people ...string) error {
	return all(people, func(id string) error { return s.cust.tenant.RemoveMember(group, id) })
}

func (s *story) nothing() error { return nil }

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
	var err error
	for name, at := range map[string]*string{"everybody": &s.scope, "branch": &s.inner} {
		if *at, err = s.cust.tenant.CreateGroup(tenant.Fields{"displayName": name, "mailNickname": name, "securityEnabled": true}); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// settle puts people into the scope group before anybody is synced.
func (s *story) settle() error {
	if err := s.cust.tenant.AddMember(s.scope, s.inner); err != nil {
		return err
	}
	if err := s.join(s.scope, s.people[:inScope/2]...); err != nil {
		return err
	}
	return s.join(s.inner, s.people[inScope/2:inScope]...)
}

// change is a day with changes of every kind, few enough to pass the guard.
func (s *story) change() error {
	s.day.Add(1) // there is a newer report of mailboxes
	s.Host.Kill()
	tn, p := s.cust.tenant, s.people
	for i, id := range p[10:40] {
		if err := tn.Update(id, tenant.Fields{"jobTitle": fmt.Sprintf("Pilot %d", i/3), "department": "Air", "manager": p[5]}); err != nil {
			return err
		}
	}
	if err := all(p[40:42], tn.Remove); err != nil {
		return err
	}
	if err := s.leave(s.scope, p[42]); err != nil { // still in the tenant, but out of scope
		return err
	}
	if err := s.join(s.inner, p[inScope:inScope+4]...); err != nil {
		return err
	}
	if err := tn.Update(p[43], tenant.Fields{"accountEnabled": false}); err != nil { // no longer chosen
		return err
	}
	made, err := tn.CreateGroup(tenant.Fields{"displayName": "New team", "mailNickname": "new-team", "mailEnabled": true,
		"mail": "new-team@contoso.example", "groupTypes": []string{"Unified"}, "resourceProvisioningOptions": []string{"Team"}})
	if err != nil {
		return err
	}
	if err := s.join(made, p[20:30]...); err != nil {
		return err
	}
	// A group that becomes a team has members already, of which no delta tells.
	late, err := tn.CreateGroup(tenant.Fields{"displayName": "Mail only", "mailNickname": "mail-only", "mailEnabled": true,
		"mail": "mail-only@contoso.example", "groupTypes": []string{"Unified"}})
	if err != nil {
		return err
	}
	if err := s.join(late, p[50:58]...); err != nil {
		return err
	}
	if err := tn.UpdateGroup(late, tenant.Fields{"resourceProvisioningOptions": []string{"Team"}}); err != nil {
		return err
	}
	if err := tn.UpdateGroup(s.teams[2], tenant.Fields{"displayName": "Another name"}); err != nil {
		return err
	}
	s.gone = s.teams[3:5]
	if err := all(s.gone, tn.RemoveGroup); err != nil {
		return err
	}
	for i, id := range s.teams[5:9] {
		if err := s.leave(id, tn.Members(id)[0]); err != nil {
			return err
		}
		if err := s.join(id, outside(tn, id, p[60+i:])); err != nil {
			return err
		}
	}
	skus := tn.SKUs()
	skus[0].Enabled += 7
	skus[1].CapabilityStatus = "Warning"
	skus = skus[:len(skus)-1]
	if err := tn.SetSKUs(skus); err != nil {
		return err
	}
	if err := tn.RemoveMailbox(p[7]); err != nil {
		return err
	}
	return tn.SetMailbox(p[8], tenant.Mailbox{Purpose: "shared", Created: time.Date(2020, 5, 6, 0, 0, 0, 0, time.UTC), Items: 12, Used: 3456})
}

// outside is the first of the people who is no member of the group.
func outside(tn *tenant.Tenant, group string, people []string) string {
	in := map[string]bool{}
	for _, id := range tn.Members(group) {
		in[id] = true
	}
	for _, id := range people {
		if _, here := tn.Person(id); here && !in[id] {
			return id
		}
	}
	return ""
}

// forget lets Microsoft forget the delta tokens, with changes meanwhile.
func (s *story) forget() error {
	tn, p := s.cust.tenant, s.people
	tn.Forget()
	if err := tn.RestoreGroup(s.gone[0]); err != nil {
		return err
	}
	if err := tn.Restore(p[40]); err != nil {
		return err
	}
	if err := all(p[44:46], tn.Remove); err != nil {
		return err
	}
	if err := all(s.teams[9:10], tn.PurgeGroup); err != nil {
		return err
	}
	for i, id := range s.teams[10:13] {
		if err := s.leave(id, tn.Members(id)[0]); err != nil {
			return err
		}
		if err := s.join(id, outside(tn, id, p[64+i:])); err != nil {
			return err
		}
	}
	return tn.Update(p[9], tenant.Fields{"displayName": "Changed meanwhile", "manager": nil})
}

// empty takes away more people, teams and memberships than may go at once.
func (s *story) empty() error {
	tn, p := s.cust.tenant, s.people
	if err := all(p[46:62], tn.Remove); err != nil {
		return err
	}
	if err := all(s.teams[13:19], tn.RemoveGroup); err != nil {
		return err
	}
	// The largest team loses most of its members.
	var users []string
	for _, id := range tn.Members(s.teams[0]) {
		if _, ok := tn.Person(id); ok {
			users = append(users, id)
		}
	}
	if err := s.leave(s.teams[0], users[:len(users)*3/4]...); err != nil {
		return err
	}
	return tn.Update(p[11], tenant.Fields{"jobTitle": "Survivor"})
}

// tomorrow is what a preview finds and a person's sync a part of.
func (s *story) tomorrow() error {
	tn, p := s.cust.tenant, s.people
	for i, id := range p[70:82] {
		if err := tn.Update(id, tenant.Fields{"jobTitle": fmt.Sprintf("Sailor %d", i/4), "manager": p[6]}); err != nil {
			return err
		}
	}
	if err := all(p[82:84], tn.Remove); err != nil {
		return err
	}
	for _, id := range s.teams[1:3] {
		if err := s.join(id, outside(tn, id, p[70:])); err != nil {
			return err
		}
	}
	return s.leave(s.inner, p[84])
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
func (s *story) erased() string { return s.people[23] }

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
	began := time.Now()
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
	s.enter(st.name, s.cust.ID)
	retry(s.t, st.name, func() error { return st.ask(s, s.t.Context()) })
	s.quiet(st)
	s.calm()
	s.t.Log(st.name, time.Since(began))
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
	ctx := within(s.t, 2*time.Minute)
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
		if list, err = runs(ctx, s.Sandbox, s.cust); err != nil {
			return false, nil // killed meanwhile
		}
		if conn, err = status(ctx, s.crashed, s.cust); err != nil {
			return false, nil
		}
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
		s.t.Fatalf("%s: %v: connection %+v, runs %+v", st.name, err, conn, list)
	}
}
