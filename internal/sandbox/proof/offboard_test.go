package proof

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// unpacked are the stored rows with what is packed into their binary
// properties, so that they can be searched.
func unpacked(t *testing.T, s *sandbox.Sandbox) map[string]string {
	t.Helper()
	rows := stored(t, s)
	for key, text := range rows {
		var row map[string]any
		if err := json.Unmarshal([]byte(text), &row); err != nil {
			t.Fatal(err)
		}
		var value []byte
		for i := 0; ; i++ {
			packed, ok := row["D"+strconv.Itoa(i)].(string)
			if !ok {
				break
			}
			b, err := base64.StdEncoding.DecodeString(packed)
			if err != nil {
				t.Fatal(err)
			}
			value = append(value, b...)
		}
		if row["V"] == 2.0 { // compressed
			var err error
			if value, err = s2.Decode(nil, value); err != nil {
				t.Fatal(err)
			}
		}
		rows[key] += string(value)
	}
	return rows
}

// traces are the rows in which the connection, its people, its groups or its
// tenant are named, by table.
func traces(t *testing.T, s *sandbox.Sandbox, c customer) map[string][]string {
	t.Helper()
	names := []string{c.ID, c.tenant.ID, c.tenant.Name}
	for _, p := range c.tenant.People() {
		names = append(names, p.ID, p.Mail, p.UserPrincipalName)
	}
	for _, g := range c.tenant.Groups() {
		names = append(names, g.ID)
	}
	names = slices.DeleteFunc(names, func(n string) bool { return len(n) < 6 })
	found := map[string][]string{}
	for key, text := range unpacked(t, s) {
		if slices.ContainsFunc(names, func(n string) bool { return strings.Contains(key, n) || strings.Contains(text, n) }) {
			table, _, _ := strings.Cut(key, "/")
			found[table] = append(found[table], key)
		}
	}
	return found
}

// queued are the messages of the connection, those in the dead-letter queue
// included, by state.
func queued(t *testing.T, s *sandbox.Sandbox, c customer) map[string]int {
	t.Helper()
	all, err := s.Bus.Messages(sandbox.Queue)
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, m := range all {
		if strings.Contains(string(m.Body), c.ID) || strings.Contains(m.MessageID, c.ID) {
			n[m.State]++
		}
	}
	return n
}

// A connection that is offboarded while a run is under way, with a preview, a
// message that waits and one that is dead, is stopped, and purged from
// everywhere but for its tombstone and its audit log.
func TestOffboardPurges(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{PageSize: 20, MaxDeliveries: 1})
	spec := tenant.Spec{Name: "Leaving", Domain: "leaving.example", People: 40, Teams: 4, Memberships: 30}
	c := connected(t, s, spec)
	neighbor := connected(t, s, tenant.Spec{Name: "Staying", Domain: "staying.example", People: 15})
	c.tell(t, s, "POST", "/preview", nil, 202)
	await(t, s, c, "a preview", func(all []run) bool { return len(all) == 2 && all[0].ended() && all[1].ended() })
	settled(t, s, c)

	// A run waits for two hours, as Microsoft asked.
	c.day(t)
	disarm := c.arm(t, s, fault.Fault{Kind: fault.Throttle, RetryAfter: "7200", Count: 1})
	syncNow(t, s, c)
	await(t, s, c, "a run that waits", func(all []run) bool { return all[0].State == "waiting" && all[0].Trigger == "manual" })
	disarm()
	var message []byte
	if err := sandbox.Await(within(t, 10*time.Second), "its message", func() (bool, error) {
		all, err := s.Bus.Messages(sandbox.Queue)
		for _, m := range all {
			if m.State == "scheduled" {
				message = m.Body
			}
		}
		return message != nil, err
	}); err != nil {
		t.Fatal(err)
	}
	// A copy of it comes early. Its worker dies, and with it the message; that
	// of a second copy is in the middle of the run.
	gate := make(chan struct{})
	s.Microsoft.SetDelayHook(func(ctx context.Context, _ time.Duration) {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	})
	held := func(id string) {
		t.Helper()
		slow, err := s.Microsoft.AddFault(fault.Fault{Tenant: c.tenant.ID, Path: fault.UsersDelta, Kind: fault.Slow, Delay: time.Second, Count: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(t.Context(), id, message); err != nil {
			t.Fatal(err)
		}
		if err := sandbox.Await(within(t, 20*time.Second), "a worker in the middle of the run", func() (bool, error) {
			return s.Microsoft.Fired(slow) == 1, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	held(c.ID + "/copy/1")
	s.Host.Kill()
	if err := sandbox.Await(within(t, 20*time.Second), "a dead letter", func() (bool, error) {
		return queued(t, s, c)["dead-lettered"] == 1, nil
	}); err != nil {
		t.Fatal(err)
	}
	held(c.ID + "/copy/2")
	if q := queued(t, s, c); q["scheduled"] != 1 || q["dead-lettered"] != 1 || q["locked"] != 1 {
		t.Fatalf("the queue holds %v of it", q)
	}
	before := traces(t, s, c)
	for _, table := range []string{"directory", "runs", "connections", "claims", "audit"} {
		if len(before[table]) == 0 {
			t.Errorf("nothing of it in %s: nothing could be proved", table)
		}
	}

	var conn connection
	a := c.tell(t, s, "DELETE", "?data=purge", nil, 202)
	if err := json.Unmarshal(a.Body, &conn); err != nil || conn.Status != "offboarded" || conn.Offboarding == nil || conn.Offboarding.Purged != nil {
		t.Errorf("offboarded: %s %v", a.Body, err)
	}
	if r := conn.Revoke; r == nil || r.Tenant != c.tenant.ID || r.App == "" || len(r.Steps) == 0 {
		t.Errorf("what is to be revoked: %+v", r)
	}
	close(gate) // the worker goes on, with what it has read
	purged := func() {
		t.Helper()
		if err := sandbox.Await(within(t, time.Minute), "the purge", func() (bool, error) {
			s.Bus.Advance(10 * time.Second) // it waits for the worker's message
			conn = c.connection(t, s)
			return conn.Offboarding.Purged != nil, nil
		}); err != nil {
			t.Fatalf("%v: %+v, %v", err, conn.Offboarding, queued(t, s, c))
		}
	}
	purged()
	gone := func(when string) {
		t.Helper()
		found := traces(t, s, c)
		for _, key := range slices.Sorted(maps.Keys(found)) {
			for _, row := range found[key] {
				if row != "connections/connection/"+c.ID && !strings.HasPrefix(row, "audit/"+c.ID+"/") {
					t.Errorf("%s: left in row %s", when, row)
				}
			}
		}
		for _, p := range c.tenant.People() {
			for key, text := range unpacked(t, s) {
				if p.Mail != "" && strings.Contains(text, p.Mail) || strings.Contains(text, p.UserPrincipalName) {
					t.Errorf("%s: row %s names somebody", when, key)
				}
			}
		}
		if q := queued(t, s, c); len(q) > 0 {
			t.Errorf("%s: left in the queue: %v", when, q)
		}
	}
	gone("after the purge")
	if d := conn.Offboarding.Deleted; d["directory"] == 0 || d["runs"] == 0 || d["scheduled"] != 1 || d["deadLetters"] != 1 {
		t.Errorf("deleted were %v", d)
	}

	// What comes late changes nothing, and nothing of it can be had any more.
	rows := unpacked(t, s)
	if err := s.Send(t.Context(), c.ID+"/copy/3", message); err != nil {
		t.Fatal(err)
	}
	if err := sandbox.Await(within(t, 20*time.Second), "an empty queue", func() (bool, error) { return len(queued(t, s, c)) == 0, nil }); err != nil {
		t.Fatal(err)
	}
	fire(t, s)
	gone("after a message of before")
	for key, text := range unpacked(t, s) {
		if strings.Contains(key, c.ID) && rows[key] != text && !strings.HasPrefix(key, "audit/") {
			t.Errorf("row %s was written after the purge", key)
		}
	}
	c.tell(t, s, "POST", "/sync", nil, http.StatusConflict)
	c.tell(t, s, "POST", "/resume", nil, http.StatusConflict)
	c.tell(t, s, "DELETE", "?data=keep", nil, http.StatusConflict)
	c.tell(t, s, "DELETE", "?data=purge", nil, http.StatusOK)
	shown(t, visit(t, s).open(c.Link), 410, "This link is no longer valid")
	lines, _ := c.audit(t, s)
	for _, want := range []string{"connection.create asked", "consent.given done", "preview asked", "offboard asked", "purged done"} {
		if !slices.Contains(lines, want) {
			t.Errorf("the audit log lacks %q: %q", want, lines)
		}
	}

	// The neighbor has noticed nothing, and the tenant is free for a new start.
	check(t, s, neighbor)
	again, err := s.Invite(t.Context(), "again", "Leaving")
	if err != nil {
		t.Fatal(err)
	}
	back := customer{c.tenant, again}
	if _, err := s.Consent(t.Context(), back.Link, c.admin()); err != nil {
		t.Fatal(err)
	}
	awaitRuns(t, s, back, 1)
	check(t, s, back)
}

// What is kept at the end can be read, and purged later.
func TestOffboardKeeps(t *testing.T) {
	t.Parallel()
	s := start(t, sandbox.Options{})
	c := connected(t, s, tenant.Spec{People: 15, Teams: 2, Memberships: 6})
	settled(t, s, c)
	c.tell(t, s, "DELETE", "", nil, 422)
	c.tell(t, s, "DELETE", "?data=keep", nil, 200)
	if conn := c.connection(t, s); conn.Status != "offboarded" || conn.Offboarding == nil || conn.Offboarding.Data != "keep" {
		t.Errorf("kept: %+v", conn)
	}
	check(t, s, c)
	fire(t, s)
	if all := settled(t, s, c); len(all) != 1 {
		t.Errorf("runs %+v", all)
	}

	// A tenant moves from one company to another: explicitly, and with a consent
	// of its own.
	giver, taker := connected(t, s, tenant.Spec{People: 20}), invited(t, s, tenant.Spec{People: 3})
	settled(t, s, giver)
	a := giver.tell(t, s, "POST", "/transfer", map[string]string{"to": taker.ID}, 200)
	var answer struct{ ID, Status, NamedTenant, Tenant string }
	if err := json.Unmarshal(a.Body, &answer); err != nil || answer.ID != taker.ID || answer.NamedTenant != giver.tenant.ID || answer.Tenant != "" || answer.Status != "invited" {
		t.Errorf("transferred: %s %v", a.Body, err)
	}
	if conn := giver.connection(t, s); conn.Status != "offboarded" || conn.Offboarding == nil || conn.Offboarding.To != taker.ID || conn.Revoke != nil {
		t.Errorf("the giver is %+v", conn)
	}
	check(t, s, giver)
	fire(t, s) // what is reserved stays so
	taker.tenant = giver.tenant
	v := visit(t, s)
	v.press(v.signIn(taker.Link, taker.admin()), accept)
	awaitRuns(t, s, taker, 1)
	check(t, s, taker)
	if conn := taker.connection(t, s); conn.Status != "ok" || conn.Tenant != giver.tenant.ID {
		t.Errorf("the receiver is %+v", conn)
	}

	// Purging the giver takes nothing from the receiver.
	for _, was := range []customer{c, giver} {
		was.tell(t, s, "DELETE", "?data=purge", nil, 202)
		if err := sandbox.Await(within(t, 20*time.Second), "the purge", func() (bool, error) {
			conn := was.connection(t, s)
			if conn.Offboarding == nil {
				return false, fmt.Errorf("the connection is %+v", conn)
			}
			return conn.Offboarding.Purged != nil, nil
		}); err != nil {
			t.Error(err)
		}
	}
	check(t, s, taker)
	for key := range unpacked(t, s) {
		for _, was := range []customer{c, giver} {
			if strings.Contains(key, was.ID) && !strings.HasPrefix(key, "audit/") && !strings.HasPrefix(key, "connections/") {
				t.Errorf("row %s is left", key)
			}
		}
	}
}
