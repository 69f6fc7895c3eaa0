package proof

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// entry is a line of the audit log.
type entry struct {
	Source, Actor, Action, Outcome string
	Detail                         map[string]string
}

// audit is the connection's audit log, oldest first, as "action outcome".
func (c customer) audit(t *testing.T, s *sandbox.Sandbox) (lines []string, all []entry) {
	t.Helper()
	var page struct{ Audit []entry }
	if _, err := s.Call(t.Context(), "GET", c.path("/audit?limit=1000"), nil, &page); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(page.Audit)
	for _, e := range page.Audit {
		lines = append(lines, e.Action+" "+e.Outcome)
	}
	return lines, page.Audit
}

// tell asks for something of the connection and fails unless it is answered so.
func (c customer) tell(t *testing.T, s *sandbox.Sandbox, method, path string, body any, status int) sandbox.Answer {
	t.Helper()
	a, err := s.Call(t.Context(), method, c.path(path), body, nil)
	if err != nil || a.Status != status {
		t.Fatalf("%s %s: %d, want %d: %s %v", method, path, a.Status, status, a.Body, err)
	}
	return a
}

// becomes waits until the connection's status is the given one.
func (c customer) becomes(t *testing.T, s *sandbox.Sandbox, status string) (conn connection) {
	t.Helper()
	if err := sandbox.Await(within(t, 20*time.Second), "status "+status, func() (bool, error) {
		conn = c.connection(t, s)
		return conn.Status == status, nil
	}); err != nil {
		t.Fatalf("%v: %+v", err, conn)
	}
	return conn
}

// sync asks for a sync and waits for its run to end.
func (c customer) sync(t *testing.T, s *sandbox.Sandbox) run {
	t.Helper()
	before, err := runs(t.Context(), s, c)
	if err != nil {
		t.Fatal(err)
	}
	syncNow(t, s, c)
	return awaitRuns(t, s, c, len(before)+1)[0]
}

// fire runs the timers' functions, the janitor first.
func fire(t *testing.T, s *sandbox.Sandbox) {
	t.Helper()
	for _, name := range []string{"janitor", "synctimer"} {
		if err := s.Host.Fire(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

// A connection lives from its invitation over a pause, a missing permission
// and the customer's withdrawal back to health, and what is stored is right
// after each of them.
func TestLifeOfAConnection(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{PageSize: 20, Settings: map[string]string{"SYNC_SPREAD": "0s"}})
	c := invited(t, s, tenant.Spec{People: 40, Teams: 4, Memberships: 30})
	v := visit(t, s)
	c.becomes(t, s, "invited")
	v.press(v.signIn(c.Link, c.admin()), accept)
	awaitRuns(t, s, c, 1)
	c.becomes(t, s, "ok")
	check(t, s, c)

	// Paused, nothing runs: not by hand, by schedule or by a message of before.
	c.tell(t, s, "POST", "/pause", nil, 200)
	c.becomes(t, s, "paused")
	done := c.day(t)
	age(t, s, c, "NextDue", time.Now().Add(-time.Hour))
	if a := c.tell(t, s, "POST", "/sync", nil, 409); !strings.Contains(string(a.Body), "paused") {
		t.Errorf("a sync while paused: %s", a.Body)
	}
	fire(t, s)
	if all := settled(t, s, c); len(all) != 1 {
		t.Errorf("while paused: runs %+v", all)
	}
	if p := visit(t, s).open(c.Link); len(p.Actions) > 0 || !strings.Contains(p.Text, "paused") {
		t.Errorf("the page of a paused connection: %s", p.Text)
	}
	c.tell(t, s, "POST", "/resume", nil, 200)
	fire(t, s) // the slot that was missed
	r := awaitRuns(t, s, c, 2)[0]
	if r.State != "succeeded" || r.Trigger != "schedule" {
		t.Errorf("after the pause: %+v", r)
	}
	c.becomes(t, s, "ok")
	left(t, s, c, r, done)

	// Without the permission for groups the rest goes on, and a new consent
	// mends it.
	s.Host.Kill() // tokens keep their roles
	s.Microsoft.RemoveRole(c.tenant.ID, "GroupMember.Read.All")
	if r = c.sync(t, s); r.State != "succeeded" {
		t.Errorf("without a permission: %+v", r)
	}
	if conn := c.becomes(t, s, "degraded"); conn.Problem == nil || conn.Problem.Remedy == "" || !conn.ConsentNeeded {
		t.Errorf("degraded: %+v %+v", conn, conn.Problem)
	}
	check(t, s, c)
	link := c.Link
	v.press(v.signIn(link, c.admin()), accept)
	awaitRuns(t, s, c, 4)
	if conn := c.becomes(t, s, "ok"); conn.ConsentNeeded || conn.Problem != nil {
		t.Errorf("after a new consent: %+v", conn)
	}

	// The customer withdraws the app. That is a suspicion, until hours later it
	// is seen again.
	s.Microsoft.Revoke(c.tenant.ID)
	s.Host.Kill()
	if r = c.sync(t, s); r.State != "failed" || r.Problem == nil || r.Problem.Code != "AADSTS700016" {
		t.Errorf("withdrawn: %+v %+v", r, r.Problem)
	}
	if err := s.Host.Fire(t.Context(), "janitor"); err != nil {
		t.Fatal(err)
	}
	if conn := c.becomes(t, s, "failed"); conn.Health == nil || conn.Health.SuspectedSince == nil {
		t.Errorf("withdrawn, seen once: %+v", conn)
	}
	c.sync(t, s) // at once again: proves nothing more
	if err := s.Host.Fire(t.Context(), "janitor"); err != nil {
		t.Fatal(err)
	}
	c.becomes(t, s, "failed")
	suspected(t, s, c, 5*time.Hour)
	c.sync(t, s)
	if err := s.Host.Fire(t.Context(), "janitor"); err != nil {
		t.Fatal(err)
	}
	conn := c.becomes(t, s, "disconnected")
	if conn.Problem == nil || conn.Problem.Remedy == "" || time.Until(conn.NextDue) > 25*time.Hour || time.Until(conn.NextDue) < 20*time.Hour {
		t.Errorf("disconnected: %+v %+v, want a try a day", conn, conn.Problem)
	}
	people, err := s.People(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.tenant.People() {
		if !people[p.ID].Active {
			t.Errorf("%s was archived by a withdrawal", p.ID)
		}
	}
	shown(t, visit(t, s).open(link), 200, "Approve Rollcall for "+c.tenant.Name+" again")

	// They put it back: it heals by itself at the next try.
	s.Microsoft.Reinstate(c.tenant.ID)
	before, err := runs(t.Context(), s, c)
	if err != nil {
		t.Fatal(err)
	}
	age(t, s, c, "NextDue", time.Now().Add(-time.Minute))
	fire(t, s)
	// A scheduled run is listed by its slot, which is before the last manual one.
	r = slices.MaxFunc(awaitRuns(t, s, c, len(before)+1), func(a, b run) int { return a.Ended.Compare(b.Ended) })
	if r.State != "succeeded" || r.Trigger != "schedule" {
		t.Errorf("put back: %+v %+v", r, r.Problem)
	}
	if conn = c.becomes(t, s, "ok"); conn.Problem != nil || conn.Health != nil {
		t.Errorf("healed: %+v %+v", conn, conn.Problem)
	}
	check(t, s, c)

	// All of it is in the audit log, in order.
	lines, all := c.audit(t, s)
	at := 0
	for _, want := range []string{
		"connection.create asked", "consent.begin done", "consent.signed-in done", "consent.given done", "consent.verified done", "pause asked", "sync asked", "sync refused: paused",
		"resume asked", "sync asked", "consent.given done", "consent.verified done", "sync asked", "disconnected done", "reconnected done",
	} {
		i := slices.Index(lines[at:], want)
		if i < 0 {
			t.Fatalf("%q is not in the audit log after %q: %q", want, lines[:at], lines)
		}
		at += i + 1
	}
	for _, e := range all {
		if want := map[string]string{"api": "sandbox", "rollcall": ""}[e.Source]; e.Source != "administrator" && e.Actor != want {
			t.Errorf("entry %+v", e)
		}
		if e.Action == "consent.given" && e.Actor != c.tenant.ID+"/"+c.admin().ID {
			t.Errorf("entry %+v, want the administrator", e)
		}
	}
}

// suspected moves the connection's suspicion into the past, as if so much time
// had gone by since.
func suspected(t *testing.T, s *sandbox.Sandbox, c customer, by time.Duration) {
	t.Helper()
	amend(t, s, c, func(conn map[string]any) {
		health, _ := conn["Health"].(map[string]any)
		suspicion, _ := health["suspicion"].(map[string]any)
		if suspicion == nil {
			t.Fatalf("no suspicion in %v", conn)
		}
		for _, field := range []string{"first", "last"} {
			text, _ := suspicion[field].(string)
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				t.Fatal(err)
			}
			suspicion[field] = at.Add(-by)
		}
	})
}

// Where the app seems withdrawn by many customers within an hour, the trouble is
// the vendor's: one alert, and nobody is marked.
func TestWave(t *testing.T) {
	t.Parallel()
	log := &memory{}
	s := start(t, sandbox.Options{Log: log})
	var those []customer
	for range 4 {
		those = append(those, connected(t, s, tenant.Spec{People: 5}))
	}
	s.Host.Kill()
	gone := those[:3]
	each := func(do func(c customer)) {
		var all sync.WaitGroup
		for _, c := range gone {
			all.Go(func() { do(c) })
		}
		all.Wait()
	}
	each(func(c customer) {
		s.Microsoft.Revoke(c.tenant.ID)
		c.sync(t, s)
		suspected(t, s, c, 5*time.Hour)
		c.sync(t, s) // confirmed, were it alone
	})
	for range 2 {
		if err := s.Host.Fire(t.Context(), "janitor"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range those {
		if conn := c.connection(t, s); conn.Status == "disconnected" || conn.Health != nil {
			t.Errorf("in a wave: %+v", conn)
		}
	}
	var service struct{ Wave *struct{ Open bool } }
	if _, err := s.Call(t.Context(), "GET", "/v1/service", nil, &service); err != nil || service.Wave == nil || !service.Wave.Open {
		t.Errorf("the service tells of the wave %+v, %v", service.Wave, err)
	}
	alerts := 0
	for _, line := range log.handler() {
		if strings.Contains(line, "disconnect wave") {
			alerts++
		}
	}
	if alerts != 1 {
		t.Errorf("%d alerts, want one", alerts)
	}
	each(func(c customer) {
		s.Microsoft.Reinstate(c.tenant.ID)
		if r := c.sync(t, s); r.State != "succeeded" {
			t.Errorf("after the wave: %+v %+v", r, r.Problem)
		}
		c.becomes(t, s, "ok")
	})
}
