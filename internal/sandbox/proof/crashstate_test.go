package proof

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox"
)

func differ(a, b map[string]sandbox.Person) string {
	for id, p := range a {
		if q, ok := b[id]; !ok || !reflect.DeepEqual(p, q) {
			return fmt.Sprintf("person %s is %+v and %+v", id, p, b[id])
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("%d and %d people", len(a), len(b))
	}
	return ""
}

// outcome is what must be the same however often the handler was killed:
// everything stored, and what happened to each, in order, each as one text.
type outcome struct {
	stored, changes map[string][]string
	plan            plan // without hash and run
}

// difference is the first one found, empty if there is none.
func difference(got, want map[string][]string) string {
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(got[k], want[k]) {
			return fmt.Sprintf("%s, perhaps others too: %q, want %q", k, got[k], want[k])
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			return fmt.Sprintf("%s: %q, want none", k, got[k])
		}
	}
	return ""
}

// derived is what the machine API answers beside what the feed tells.
var derived = map[string][]string{"license": {"available"}, "position": {"people"}}

// bare is a thing's properties without what is false, zero or derived, which
// the feed does not tell of.
func bare(kind string, t sandbox.Thing) string {
	m := maps.Clone(t.Properties)
	for _, k := range derived[kind] {
		delete(m, k)
	}
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil || reflect.ValueOf(v).IsZero() })
	return fmt.Sprint(t.Active, t.Change, text(m))
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// outcome reads what is left of a story, and holds it against the tenant and
// the feed.
func (s *story) outcome() outcome {
	t := s.t
	t.Helper()
	ctx := t.Context()
	out := outcome{stored: map[string][]string{}, changes: map[string][]string{}, plan: plan{Count: s.plan.Count, Teams: s.plan.Teams, Memberships: s.plan.Memberships}}
	stored, err := s.State(ctx, s.cust.ID)
	if err != nil {
		t.Fatal(err)
	}
	s.truth(&stored)
	feed, err := s.Changes(ctx, s.cust.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	replayed, err := sandbox.ReplayAll(feed)
	if err != nil {
		t.Errorf("the feed: %v", err)
	} else {
		same(t, &replayed, &stored)
	}
	for id, p := range stored.People {
		out.stored["person "+id] = []string{fmt.Sprint(p.Active, text(p.Properties))}
	}
	for kind, things := range stored.Things {
		for id, th := range things {
			out.stored[kind+" "+id] = []string{fmt.Sprint(th.Active, text(th.Properties))}
		}
	}
	for id, m := range stored.Members {
		out.stored["roster "+id] = slices.Sorted(maps.Keys(m))
	}
	out.stored["preview"] = s.previewed()
	for _, ch := range feed {
		switch ch.Type {
		case "team.members":
			for who, people := range map[string][]string{"joined": ch.Joined, "left": ch.Left} {
				for _, id := range people {
					k := "membership " + ch.ID + " " + id
					out.changes[k] = append(out.changes[k], who)
				}
			}
		case "redacted":
			out.changes["redacted"] = append(out.changes["redacted"], "")
		default:
			kind, _, _ := strings.Cut(ch.Type, ".")
			k := kind + " " + ch.ID
			out.changes[k] = append(out.changes[k], ch.Type+" "+text(ch.Set))
		}
	}
	return out
}

// previewed is what the preview found, each part as one text. No run of any
// kind may have failed.
func (s *story) previewed() (found []string) {
	s.t.Helper()
	all, err := runs(s.t.Context(), s.Sandbox, s.cust)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range all {
		if r.State == "failed" {
			s.t.Errorf("run %+v failed: %+v", r, r.Problem)
		}
		if r.Trigger != "preview" {
			continue
		}
		var m map[string]any
		if _, err := s.Call(s.t.Context(), "GET", s.cust.path("/runs/"+r.ID), nil, &m); err != nil {
			s.t.Fatal(err)
		}
		counters, _ := m["counters"].(map[string]any)
		for _, k := range []string{"created", "updated", "archived", "reactivated"} {
			found = append(found, k+" "+text(counters[k]))
		}
		for _, k := range []string{"state", "teams", "memberships", "licenses", "mailboxes", "positions", "forecast", "plan", "skipped"} {
			found = append(found, k+" "+text(m[k]))
		}
	}
	return found
}

// same holds a replayed feed against what is stored.
func same(t *testing.T, replayed, stored *sandbox.State) {
	t.Helper()
	if diff := differ(replayed.People, stored.People); diff != "" {
		t.Errorf("the feed does not lead to what is stored: %s", diff)
	}
	for kind, things := range stored.Things {
		if len(replayed.Things[kind]) != len(things) {
			t.Errorf("the feed leads to %d of kind %s, stored are %d", len(replayed.Things[kind]), kind, len(things))
		}
		for id, th := range things {
			if got, want := bare(kind, replayed.Things[kind][id]), bare(kind, th); got != want {
				t.Errorf("the feed leads to %s %s as %s, stored is %s", kind, id, got, want)
				break
			}
		}
	}
	for id := range stored.Things["team"] {
		got, want := slices.Sorted(maps.Keys(replayed.Members[id])), slices.Sorted(maps.Keys(stored.Members[id]))
		if !slices.Equal(got, want) {
			t.Errorf("the feed leads to the members %q of team %s, stored are %q", got, id, want)
		}
	}
}

// truth holds what is stored against the tenant: those in scope with enabled
// accounts, but for who was erased; all teams and security groups that are
// there; of their members those in scope.
func (s *story) truth(st *sandbox.State) {
	t := s.t
	t.Helper()
	tn := s.cust.tenant
	chosen := map[string]bool{}
	for _, id := range tn.TransitiveUsers(s.scope) {
		p, _ := tn.Person(id)
		chosen[id] = p.AccountEnabled
	}
	chosen[s.erased()] = false
	want := sandbox.Truth(tn.People())
	maps.DeleteFunc(want, func(id string, _ map[string]any) bool { return !chosen[id] })
	if err := sandbox.Compare(st.People, want); err != nil {
		t.Error(err)
	}
	if _, ok := st.People[s.erased()]; ok {
		t.Errorf("%s was erased, and is stored", s.erased())
	}
	present := map[string]bool{}
	for _, g := range tn.Groups() {
		if !g.Team() && (!g.SecurityEnabled || g.Unified()) {
			continue
		}
		present[g.ID] = true
		th, ok := st.Things["team"][g.ID]
		if !ok || !th.Active {
			t.Errorf("team %s is there, and not stored or archived: %v", g.ID, ok)
			continue
		}
		if name, _ := th.Properties["displayName"].(string); name != g.DisplayName {
			t.Errorf("team %s is called %q, want %q", g.ID, name, g.DisplayName)
		}
		members := map[string]bool{}
		for _, id := range tn.Members(g.ID) {
			if _, person := tn.Person(id); person {
				members[id] = true
			}
			if chosen[id] && !st.Members[g.ID][id] {
				t.Errorf("%s is a member of team %s, and not stored as one", id, g.ID)
			}
		}
		for id := range st.Members[g.ID] {
			if !members[id] {
				t.Errorf("%s is stored as a member of team %s, and is none", id, g.ID)
			}
		}
	}
	for id, th := range st.Things["team"] {
		if th.Active && !present[id] {
			t.Errorf("team %s is active, and gone", id)
		}
	}
	s.holdings(st)
}

// holdings holds licenses, mailboxes and positions against the tenant.
func (s *story) holdings(st *sandbox.State) {
	t, tn := s.t, s.cust.tenant
	t.Helper()
	titled, counted := 0, 0
	for _, p := range st.People {
		if title, _ := p.Properties["jobTitle"].(string); p.Active && title != "" {
			titled++
		}
	}
	for _, th := range st.Things["position"] {
		n, _ := th.Properties["people"].(float64)
		counted += int(n)
	}
	if titled == 0 || counted != titled {
		t.Errorf("positions count %d people, %d have a job title", counted, titled)
	}
	boxes := map[string]sandbox.Thing{}
	for _, th := range st.Things["mailbox"] {
		upn, _ := th.Properties["userPrincipalName"].(string)
		boxes[upn] = th
	}
	none, _ := tn.Person(s.people[7])
	shared, _ := tn.Person(s.people[8])
	if th, ok := boxes[none.UserPrincipalName]; !ok || th.Active {
		t.Errorf("the mailbox that is gone is %+v", th)
	}
	if th := boxes[shared.UserPrincipalName]; !th.Active || th.Properties["purpose"] != "shared" || th.Properties["storageUsed"] != 3456.0 {
		t.Errorf("the mailbox that was set is %+v", th)
	}
	for _, sku := range tn.SKUs() {
		l := st.Things["license"][sku.ID]
		if total, _ := l.Properties["total"].(float64); !l.Active || int(total) != sku.Enabled+sku.Warning {
			t.Errorf("license %s is %+v, want %+v", sku.ID, l, sku)
		}
	}
}

// noted is what the connection says of itself.
type noted struct{ Status, LastRun string }

func status(ctx context.Context, c *crashed, cust customer) (n noted, err error) {
	_, err = c.Call(ctx, "GET", cust.path(""), nil, &n)
	return n, err
}

// retry repeats what a client would: a killed handler answers nothing, or 502.
func retry(t *testing.T, what string, f func() error) {
	t.Helper()
	var last error
	if err := sandbox.Await(within(t, time.Minute), what, func() (bool, error) {
		last = f()
		return last == nil, nil
	}); err != nil {
		t.Fatalf("%v; last: %v", err, last)
	}
}
