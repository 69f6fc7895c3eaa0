package tenant

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func build(tb testing.TB, n int, seed uint64) *Tenant {
	tb.Helper()
	t, err := New(Spec{People: n, Seed: seed}, func() time.Time { return noon })
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func TestGeneratedDirectoriesRepeatAndHoldAwkwardPeople(t *testing.T) {
	a, b, c := build(t, 300, 1), build(t, 300, 1), build(t, 300, 2)
	if !reflect.DeepEqual(a.People(), b.People()) || a.ID != b.ID {
		t.Error("one seed, two directories")
	}
	if reflect.DeepEqual(a.People(), c.People()) || a.ID == c.ID {
		t.Error("two seeds, one directory")
	}
	people := a.People()
	if len(people) != 300 || a.Len() != 300 {
		t.Fatalf("%d people", len(people))
	}
	names := map[string]int{}
	byID := map[string]Person{}
	for _, p := range people {
		names[p.DisplayName]++
		byID[p.ID] = p
		if !IsGUID(p.ID) || !utf8.ValidString(p.DisplayName) || p.UserPrincipalName == "" {
			t.Errorf("bad person %+v", p)
		}
	}
	has := func(what string, f func(Person) bool) {
		t.Helper()
		if !slices.ContainsFunc(people, f) {
			t.Errorf("nobody with %s", what)
		}
	}
	has("an apostrophe", func(p Person) bool { return strings.Contains(p.UserPrincipalName, "'") })
	has("no mail", func(p Person) bool { return p.Mail == "" })
	has("a guest account", func(p Person) bool { return strings.Contains(p.UserPrincipalName, "#EXT#") && p.UserType == "Guest" })
	has("almost nothing set", func(p Person) bool { return p.GivenName == "" && p.BusinessPhones == nil && p.EmployeeID == "" })
	has("emoji", func(p Person) bool { return strings.Contains(p.DisplayName, "🦊") })
	has("right-to-left text", func(p Person) bool { return strings.Contains(p.DisplayName, "أ") })
	has("markup", func(p Person) bool { return strings.Contains(p.DisplayName, "<script>") })
	has("a formula", func(p Person) bool { return strings.HasPrefix(p.DisplayName, "=") })
	has("a long name", func(p Person) bool { return len(p.DisplayName) > 200 })
	has("a disabled account", func(p Person) bool { return !p.AccountEnabled })
	has("no manager", func(p Person) bool { return p.Manager == "" })
	has("a shared display name", func(p Person) bool { return names[p.DisplayName] > 1 })
	has("250 otherMails and 400 aliases", func(p Person) bool { return len(p.OtherMails) == 250 && len(p.ProxyAddresses) == 400 })
	has("several SKUs with plans off", func(p Person) bool {
		return len(p.AssignedLicenses) > 2 && len(p.AssignedLicenses[0].DisabledPlans) > 0
	})
	has("a hire date", func(p Person) bool { _, err := time.Parse(time.RFC3339, p.EmployeeHireDate); return err == nil })
	has("a manager cycle", func(p Person) bool {
		at := p
		for range 10 {
			if at = byID[at.Manager]; at.ID == p.ID && p.ID != "" {
				return true
			}
		}
		return false
	})
	for _, p := range people {
		if p.Manager != "" && byID[p.Manager].ID == "" {
			t.Errorf("%s is managed by nobody", p.ID)
		}
	}
}

func TestPersonAsJSON(t *testing.T) {
	for _, p := range build(t, 120, 3).People() {
		var got Person
		if err := json.Unmarshal([]byte("{"+string(p.AppendJSON(nil, PropAll))+"}"), &got); err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		want := p
		want.Manager = ""
		for _, l := range []*[]string{&want.OtherMails, &want.ProxyAddresses, &want.BusinessPhones} {
			if *l == nil {
				*l = []string{}
			}
		}
		if want.AssignedLicenses == nil {
			want.AssignedLicenses = []License{}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

func TestEditsAreChecked(t *testing.T) {
	d := build(t, 5, 1)
	p := d.People()
	for name, c := range map[string]struct {
		err error
		f   Fields
	}{
		"unknown property":   {ErrInvalid, Fields{"shoeSize": 44}},
		"wrong type":         {ErrInvalid, Fields{"jobTitle": 44}},
		"wrong list":         {ErrInvalid, Fields{"otherMails": "a"}},
		"too long":           {ErrInvalid, Fields{"jobTitle": strings.Repeat("x", 2000)}},
		"too many":           {ErrInvalid, Fields{"otherMails": make([]string, 600)}},
		"bad date":           {ErrInvalid, Fields{"employeeHireDate": "1.5.2026"}},
		"null account state": {ErrInvalid, Fields{"accountEnabled": nil}},
		"bad license":        {ErrInvalid, Fields{"assignedLicenses": []map[string]any{{"sku": "x"}}}},
		"no user name":       {ErrInvalid, Fields{"userPrincipalName": ""}},
		"new id":             {ErrInvalid, Fields{"id": p[1].ID}},
		"taken user name":    {ErrConflict, Fields{"userPrincipalName": strings.ToUpper(p[1].UserPrincipalName)}},
		"unknown manager":    {ErrNotFound, Fields{"manager": "00000000-0000-0000-0000-000000000000"}},
	} {
		if err := d.Update(p[0].ID, c.f); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
	}
	if !reflect.DeepEqual(d.People(), p) {
		t.Error("a refused edit changed something")
	}
	if err := errors.Join(d.Remove(p[0].ID)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(Fields{"userPrincipalName": p[0].UserPrincipalName}); err != nil {
		t.Errorf("a removed person's user name is not free: %v", err)
	}
	for what, err := range map[string]error{
		"restore over a taken name": d.Restore(p[0].ID), "edit of a removed person": d.Update(p[0].ID, Fields{"jobTitle": "x"}),
		"second removal": d.Remove(p[0].ID), "restore of a present person": d.Restore(p[1].ID), "purge of nobody": d.Purge("x"),
	} {
		if err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

func TestBulkIsSeededAndCounted(t *testing.T) {
	a, b := build(t, 100, 1), build(t, 100, 1)
	order := Bulk{Seed: 5, Edit: 10, Remove: 7, Restore: 2, Create: 4}
	done, err := a.Apply(order)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Apply(order); err != nil || !reflect.DeepEqual(a.People(), b.People()) {
		t.Errorf("equal seeds, different edits: %v", err)
	}
	got := []int{len(done.Edited), len(done.Removed), len(done.Restored), len(done.Created), a.Len(), len(a.Deleted())}
	if want := []int{10, 7, 2, 4, 100 - 7 + 2 + 4, 5}; !slices.Equal(got, want) {
		t.Errorf("edited, removed, restored, created, people, deleted: %v, want %v", got, want)
	}
	if _, err := a.Apply(Bulk{Edit: -1}); !errors.Is(err, ErrInvalid) {
		t.Errorf("negative: %v", err)
	}
}

func TestConsentSpreads(t *testing.T) {
	now := noon
	tn, err := New(Spec{Seed: 1}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, want Access, roles ...string) {
		t.Helper()
		if got, r := tn.Access("app"); got != want || !slices.Equal(r, roles) {
			t.Errorf("%s: %v %v, want %v %v", when, got, r, want, roles)
		}
	}
	check("before", Absent)
	tn.Consent("app", []string{"A", "B"}, 10*time.Minute)
	check("at once", Absent)
	now = now.Add(5 * time.Minute)
	check("half-way", Present)
	now = now.Add(5 * time.Minute)
	check("spread", Present, "A", "B")
	if got, _ := tn.Access("other"); got != Absent {
		t.Errorf("another app: %v", got)
	}
	tn.Consent("app", []string{"C"}, time.Minute)
	check("again", Present, "A", "B")
	now = now.Add(time.Minute)
	check("again, spread", Present, "C")
	tn.Disable("app", true)
	check("disabled", Disabled)
	tn.Disable("app", false)
	tn.RemoveRole("app", "C")
	check("role removed", Present)
	tn.Revoke("app")
	check("revoked", Withdrawn)
	tn.Consent("app", []string{"A"}, time.Minute)
	check("consented after leaving", Absent)
}

func FuzzFields(f *testing.F) {
	f.Add([]byte(`{"jobTitle":"x","otherMails":["a"],"assignedLicenses":[{"skuId":"s","disabledPlans":null}],"manager":null}`))
	f.Add([]byte(`{"employeeHireDate":"2026-01-01T00:00:00+02:00","accountEnabled":false,"id":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var fields Fields
		if json.Unmarshal(b, &fields) != nil {
			return
		}
		d := newDirectory(1)
		if err := d.insert(Person{ID: "x", UserPrincipalName: "x"}); err != nil {
			t.Fatal(err)
		}
		if d.Update("x", fields) != nil {
			return
		}
		before := len(d.log)
		if err := d.Update("x", fields); err != nil || len(d.log) != before {
			t.Errorf("the same edit again: %v, %d changes", err, len(d.log)-before)
		}
	})
}

// The goal is 100,000 people in under two seconds.
func BenchmarkGenerate100k(b *testing.B) {
	for b.Loop() {
		build(b, 100_000, 1)
	}
	b.ReportAllocs()
}
