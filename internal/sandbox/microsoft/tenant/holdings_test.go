package tenant

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
)

// Generated tenants have enough of every SKU that their people hold.
func TestGeneratedSKUsFitTheLicenses(t *testing.T) {
	tn := build(t, 300, 1)
	held := map[string]int{}
	for _, p := range tn.People() {
		for _, l := range p.AssignedLicenses {
			held[l.SkuID]++
		}
	}
	spare, names := 0, map[string]bool{}
	for _, s := range tn.SKUs() {
		if *s.Consumed != held[s.ID] || s.CapabilityStatus == "Enabled" && s.Enabled <= *s.Consumed {
			t.Errorf("%s: %d of %d consumed, want %d", s.PartNumber, *s.Consumed, s.Enabled, held[s.ID])
		}
		if *s.Consumed == 0 {
			spare++
		}
		delete(held, s.ID)
		names[s.PartNumber] = true
	}
	if len(held) != 0 || spare != 2 || len(names) != 7 {
		t.Errorf("not subscribed %v, nobody holds %d, names %v", held, spare, names)
	}
	if !reflect.DeepEqual(tn.SKUs(), build(t, 300, 1).SKUs()) {
		t.Error("one seed, two sets of SKUs")
	}
}

func TestSKUsAreChecked(t *testing.T) {
	tn := build(t, 1, 1)
	before := tn.SKUs()
	minus := -1
	for name, skus := range map[string][]SKU{
		"no GUID": {{ID: "x"}}, "negative": {{ID: skuE3, Enabled: -1}}, "negative consumption": {{ID: skuE3, Consumed: &minus}},
		"unknown status": {{ID: skuE3, CapabilityStatus: "Fine"}}, "twice": {{ID: skuE3}, {ID: skuE3}}, "too many": make([]SKU, 501),
	} {
		if err := tn.SetSKUs(skus); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !reflect.DeepEqual(tn.SKUs(), before) {
		t.Error("a refused edit changed something")
	}
}

func TestMailboxesFollowFromSeedAndPerson(t *testing.T) {
	a, b := build(t, 120, 1), build(t, 120, 1)
	day := noon.Truncate(24 * time.Hour)
	purposes := map[string]int{}
	for _, p := range a.People() {
		m, ok := a.Mailbox(p.ID, day)
		if want := p.Mail != "" && p.UserType != "Guest"; ok != want {
			t.Errorf("%s, mail %q, %s: mailbox %v", p.UserPrincipalName, p.Mail, p.UserType, ok)
		}
		if other, _ := b.Mailbox(p.ID, day); other != m {
			t.Errorf("one seed, two mailboxes: %+v %+v", m, other)
		}
		if ok {
			purposes[m.Purpose]++
			if m.Used > m.NoReceive || m.Warning >= m.NoSend || m.NoSend >= m.NoReceive || m.LastActivity.After(day) || m.Items < 0 || m.DeletedUsed > m.DeletedQuota {
				t.Errorf("mailbox %+v", m)
			}
		}
	}
	if purposes["user"] < 80 || purposes["room"] == 0 || purposes["shared"] == 0 {
		t.Errorf("purposes %v", purposes)
	}
	id := a.People()[0].ID
	set := Mailbox{Purpose: "equipment", Items: 1}
	if err := a.SetMailbox(id, set); err != nil {
		t.Fatal(err)
	}
	if m, ok := a.Mailbox(id, day); !ok || m != set {
		t.Errorf("%+v %v", m, ok)
	}
	if err := a.Remove(id); err != nil {
		t.Fatal(err)
	}
	if _, ok := a.Mailbox(id, day); ok {
		t.Error("a removed person has a mailbox")
	}
	for name, err := range map[string]error{
		"mailbox of nobody": a.SetMailbox("x", Mailbox{}), "a negative size": a.SetMailbox(id, Mailbox{Used: -1}), "removal of nobody's": a.RemoveMailbox("x"),
	} {
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestRolesAreTakenAndGivenBack(t *testing.T) {
	now := noon
	tn, err := New(Spec{Seed: 1}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, want ...string) {
		t.Helper()
		if _, roles := tn.Access("app"); !slices.Equal(roles, want) {
			t.Errorf("%s: %v, want %v", when, roles, want)
		}
	}
	tn.AddRole("app", "A")
	check("of an app that nobody consented to")
	tn.Consent("app", []string{"A", "B"}, 0)
	tn.RemoveRole("app", "A")
	check("taken", "B")
	tn.AddRole("app", "A")
	tn.AddRole("app", "A")
	check("given back", "B", "A")
	tn.Consent("app", []string{"A", "B", "C"}, time.Hour)
	tn.RemoveRole("app", "B")
	check("while a consent spreads", "A")
	tn.AddRole("app", "B")
	check("given back while it spreads", "A", "B")
	now = now.Add(time.Hour)
	check("spread", "A", "C", "B")
}

// The goal is that a count after each edit stays cheap at 100,000 people.
func BenchmarkSKUs100k(b *testing.B) {
	t := build(b, 100_000, 1)
	for b.Loop() {
		t.SKUs()
	}
}
