package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"rollcall/internal/sandbox/microsoft/tenant"
)

const (
	ann   = "aaaaaaaa-0000-4000-8000-000000000001"
	bob   = "aaaaaaaa-0000-4000-8000-000000000002"
	cat   = "aaaaaaaa-0000-4000-8000-000000000003"
	guest = "aaaaaaaa-0000-4000-8000-000000000004"
	gone  = "aaaaaaaa-0000-4000-8000-000000000005"
	team  = "bbbbbbbb-0000-4000-8000-000000000001"
	outer = "bbbbbbbb-0000-4000-8000-000000000002"
	empty = "bbbbbbbb-0000-4000-8000-000000000003"
	org   = "cccccccc-0000-4000-8000-000000000001"
	e3    = "05e9a617-0261-4cee-bb44-138d3ef5d965"
	flow  = "f30db892-07e9-47e9-837c-80727f46fd3d"
)

func now() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

// export is a small one with everything that is odd: pages behind each other,
// a byte order mark, a circle of managers, upper-case IDs, groups in a
// circle, devices, and properties that nobody here knows.
func export() map[string]string {
	return map[string]string{
		"organization.json": `{"value":[{"id":"` + strings.ToUpper(org) + `","displayName":"Fabrikam Öl","verifiedDomains":[
			{"name":"fabrikam.onmicrosoft.example","isInitial":true},{"name":"Fabrikam.example","isDefault":true}]}]}`,
		"users-1.json": "\ufeff" + `{"@odata.context":"x","@odata.nextLink":"https://graph.microsoft.com/v1.0/users?$skiptoken=x","value":[
			{"id":"` + strings.ToUpper(ann) + `","userPrincipalName":"ann@fabrikam.example","displayName":"Ann","accountEnabled":false,"mail":"ann@fabrikam.example",
			 "otherMails":["a@b.example"],"businessPhones":[],"jobTitle":null,"shoeSize":44,"employeeHireDate":"2020-01-02T00:00:00Z",
			 "assignedLicenses":[{"skuId":"` + e3 + `","disabledPlans":[]}],"manager":{"@odata.type":"#microsoft.graph.user","id":"` + bob + `"}}]}
			{"@odata.nextLink":"https://graph.microsoft.com/v1.0/users?$skiptoken=y","value":[
			{"id":"` + bob + `","userPrincipalName":"bob@fabrikam.example","userType":null,"accountEnabled":null,"manager@delta":[{"id":"` + cat + `","@removed":{"reason":"deleted"}},{"id":"` + ann + `"}]}]}`,
		"users-2.json": `{"value":[
			{"id":"` + cat + `","userPrincipalName":"cat@fabrikam.example","manager":{"id":"` + gone + `"}},
			{"id":"` + gone + `","@removed":{"reason":"changed"}},
			{"id":"` + guest + `","userPrincipalName":"g_x#EXT#@fabrikam.example","userType":"Guest","manager":null}],"@odata.deltaLink":"z"}`,
		"groups.json": `{"value":[
			{"id":"` + outer + `","displayName":"Outer","securityEnabled":true,"membershipRule":"` + strings.Repeat("ö", 600) + `"},
			{"id":"` + team + `","displayName":"Team","groupTypes":["Unified"],"resourceProvisioningOptions":["Team"],"mailEnabled":true,"visibility":"HiddenMembership",
			 "members":[{"@odata.type":"#microsoft.graph.user","id":"` + ann + `"},{"@odata.type":"#microsoft.graph.device","id":"dddddddd-0000-4000-8000-000000000001"},{"id":"` + outer + `"}]},
			{"id":"` + empty + `","displayName":"Empty","mailEnabled":null}]}`,
		"members-" + outer + ".json":   `{"@odata.nextLink":"x","value":[{"@odata.type":"#microsoft.graph.group","id":"` + team + `"}]}`,
		"members-" + outer + "-2.json": `{"value":[{"id":"` + bob + `"},{"id":"` + bob + `"},{"id":"` + empty + `"},{"id":"` + gone + `"}]}`,
		"subscribedSkus.json": `{"value":[
			{"skuId":"` + e3 + `","skuPartNumber":"SPE_E3","capabilityStatus":"Enabled","consumedUnits":1,"prepaidUnits":{"enabled":25,"suspended":1,"warning":2,"lockedOut":0}},
			{"skuId":"` + flow + `","skuPartNumber":"FLOW_FREE","capabilityStatus":"Enabled","consumedUnits":7,"prepaidUnits":{"enabled":10000}}]}`,
	}
}

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestExport(t *testing.T) {
	got, sum, err := Dir(write(t, export()), now)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Summary{People: 4, Groups: 3, Memberships: 5, SKUs: 2, UnknownManagers: 1, UnknownMembers: 2, Removed: 1, Clipped: 1}); sum != want {
		t.Errorf("summary %+v, want %+v", sum, want)
	}
	if got.ID != org || got.Name != "Fabrikam Öl" || got.Domain != "fabrikam.example" {
		t.Errorf("tenant %s %s %s", got.ID, got.Name, got.Domain)
	}
	want := []tenant.Person{
		{ID: ann, UserPrincipalName: "ann@fabrikam.example", DisplayName: "Ann", Mail: "ann@fabrikam.example", OtherMails: []string{"a@b.example"},
			BusinessPhones: []string{}, EmployeeHireDate: "2020-01-02T00:00:00Z", UserType: "Member", Manager: bob,
			AssignedLicenses: []tenant.License{{SkuID: e3, DisabledPlans: []string{}}}},
		{ID: bob, UserPrincipalName: "bob@fabrikam.example", AccountEnabled: true, Manager: ann},
		{ID: cat, UserPrincipalName: "cat@fabrikam.example", AccountEnabled: true, UserType: "Member"},
		{ID: guest, UserPrincipalName: "g_x#EXT#@fabrikam.example", AccountEnabled: true, UserType: "Guest"},
	}
	if people := got.People(); !reflect.DeepEqual(people, want) {
		t.Errorf("people\n%+v\nwant\n%+v", people, want)
	}
	for group, want := range map[string][]string{team: {ann, outer}, outer: {team, bob, empty}, empty: nil} {
		members := got.Members(group)
		slices.Sort(members)
		slices.Sort(want)
		if !slices.Equal(members, want) {
			t.Errorf("members of %s: %v, want %v", group, members, want)
		}
	}
	g, _ := got.Group(team)
	if !g.Team() || !g.Hidden() || !g.MailEnabled || g.SecurityEnabled {
		t.Errorf("team %+v", g)
	}
	if g, _ = got.Group(outer); g.MembershipRule != strings.Repeat("ö", 512) {
		t.Errorf("rule of %d bytes", len(g.MembershipRule))
	}
	one, seven := 1, 7
	skus := []tenant.SKU{
		{ID: e3, PartNumber: "SPE_E3", CapabilityStatus: "Enabled", Enabled: 25, Suspended: 1, Warning: 2, Consumed: &one},
		{ID: flow, PartNumber: "FLOW_FREE", CapabilityStatus: "Enabled", Enabled: 10000, Consumed: &seven},
	}
	if s := got.SKUs(); !reflect.DeepEqual(s, skus) {
		t.Errorf("SKUs %+v", s)
	}
	if err := got.Remove(ann); err != nil {
		t.Fatal(err)
	}
	if s := got.SKUs(); *s[0].Consumed != 0 || *s[1].Consumed != 7 {
		t.Errorf("after a leave %d and %d units are consumed, want 0 and 7", *s[0].Consumed, *s[1].Consumed)
	}
}

func TestOnlyPeopleAreNeeded(t *testing.T) {
	got, sum, err := Dir(write(t, map[string]string{"users.json": `{"value":[{"id":"` + ann + `","userPrincipalName":"a@x"}]}`}), now)
	if err != nil {
		t.Fatal(err)
	}
	if sum != (Summary{People: 1}) || len(got.SKUs()) != 0 || len(got.Groups()) != 0 || !tenant.IsGUID(got.ID) {
		t.Errorf("%+v, tenant %s with %d SKUs", sum, got.ID, len(got.SKUs()))
	}
}

// A later entry about the same person has the last word.
func TestRepeatedPeople(t *testing.T) {
	got, sum, err := Dir(write(t, map[string]string{"users.json": `{"value":[
		{"id":"` + ann + `","userPrincipalName":"a@x","jobTitle":"Old","mail":"a@x","manager":{"id":"` + cat + `"}},
		{"id":"` + bob + `","userPrincipalName":"b@x"},
		{"id":"` + ann + `","jobTitle":"New","manager":{"id":"` + bob + `"}}]}`}), now)
	if err != nil {
		t.Fatal(err)
	}
	p, _ := got.Person(ann)
	if sum.People != 2 || sum.UnknownManagers != 0 || p.JobTitle != "New" || p.Mail != "a@x" || p.Manager != bob {
		t.Errorf("%+v %+v", sum, p)
	}
}

func TestBrokenExportsAreNamed(t *testing.T) {
	user := func(more string) string {
		return `{"value":[{"id":"` + ann + `","userPrincipalName":"a@x"` + more + `}]}`
	}
	second := func(entry string) string {
		return `{"value":[{"id":"` + ann + `","userPrincipalName":"a@x"},` + entry + `]}`
	}
	for name, c := range map[string]struct {
		file, text string
		want       []string
	}{
		"cut off":               {"users-2.json", `{"value":[{"id":"` + cat, []string{"users-2.json", "after entry 0", "save the answer again"}},
		"cut off between":       {"users-2.json", `{"value":[{"id":"` + cat + `","userPrincipalName":"c@x"},`, []string{"users-2.json", "after entry 1"}},
		"empty file":            {"users-2.json", ``, []string{"users-2.json", "save the answer again"}},
		"a list":                {"users-2.json", `[]`, []string{"users-2.json", `want {"value"`}},
		"no value":              {"users-2.json", `{"id":"` + cat + `"}`, []string{"users-2.json", `no "value"`}},
		"value is no list":      {"users-2.json", `{"value":{}}`, []string{"users-2.json", "no list"}},
		"two values":            {"users-2.json", `{"value":[],"value":[]}`, []string{"twice"}},
		"no object":             {"users-2.json", `{"value":[1]}`, []string{"users-2.json", "no object"}},
		"an error":              {"users-2.json", `{"error":{"code":"TooManyRequests"}}`, []string{"users-2.json", "an error that Graph answered"}},
		"UTF-16":                {"users-2.json", "\xff\xfe{\x00", []string{"users-2.json", "UTF-8"}},
		"garbage behind":        {"users-2.json", `{"value":[]} x`, []string{"users-2.json", "at byte"}},
		"the last page missing": {"users.json", `{"@odata.nextLink":"x","value":[]}`, []string{"users.json", "@odata.nextLink", "the last one is missing"}},
		"no user name":          {"users-2.json", second(`{"id":"` + cat + `"}`), []string{"users-2.json", "entry 2", cat, "$select"}},
		"no ID":                 {"users-2.json", second(`{"userPrincipalName":"c@x"}`), []string{"users-2.json", "entry 2", "id: want a GUID"}},
		"wrong type":            {"users.json", user(`,"jobTitle":7`), []string{"users.json", "entry 1", ann, "jobTitle", "leave out this entry"}},
		"wrong manager":         {"users.json", user(`,"manager":"` + bob + `"`), []string{"entry 1", "manager", "$expand"}},
		"two of one name":       {"users-2.json", second(`{"id":"` + cat + `","userPrincipalName":"A@X"}`), []string{"entry 2", "export again"}},
		"two organizations":     {"organization.json", `{"value":[{"id":"` + org + `"},{"id":"` + org + `"}]}`, []string{"entry 2", "one tenant"}},
		"bad domain":            {"organization.json", `{"value":[{"id":"` + org + `","verifiedDomains":[{"name":"a b"}]}]}`, []string{"organization", "domain"}},
		"unknown file":          {"user.json", `{"value":[]}`, []string{"user.json", "rename it"}},
		"members of nobody":     {"members-x.json", `{"value":[]}`, []string{"members-x.json", "group's ID"}},
		"members of no group":   {"members-" + team + ".json", `{"value":[]}`, []string{"members-" + team, "no groups*.json"}},
		"too few members":       {"groups.json", `{"value":[{"id":"` + team + `","members":[],"members@odata.nextLink":"x"}]}`, []string{"groups.json", "members-" + team + ".json"}},
		"a group's wrong type":  {"groups.json", `{"value":[{"id":"` + team + `","displayName":[]}]}`, []string{"groups.json", "entry 1", team, "displayName"}},
		"a SKU twice":           {"subscribedSkus.json", `{"value":[{"skuId":"` + e3 + `"},{"skuId":"` + e3 + `"}]}`, []string{"subscribedSkus.json", "entry 2", e3}},
	} {
		files := map[string]string{"users.json": user("")}
		files[c.file] = c.text
		_, _, err := Dir(write(t, files), now)
		if !errors.Is(err, ErrExport) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q is not in: %v", name, w, err)
			}
		}
	}
	for name, dir := range map[string]string{"no folder": filepath.Join(t.TempDir(), "x"), "no users": t.TempDir(), "a file": write(t, map[string]string{"x": ""}) + "/x"} {
		if _, _, err := Dir(dir, now); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

// endless is a page whose one entry never ends.
type endless struct{ begun bool }

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	if !e.begun {
		e.begun = true
		n = copy(p, `{"value":[{"id":"`)
	}
	for i := n; i < len(p); i++ {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestNoEntryFillsTheMemory(t *testing.T) {
	_, err := documents(&endless{}, func(object) error { return nil })
	if !errors.Is(err, errPage) || !strings.Contains(err.Error(), "longer than 8388608 bytes") {
		t.Errorf("%v", err)
	}
	// Many entries together may be longer.
	one := `{"id":"` + strings.Repeat("x", 1<<20) + `"}`
	n := 0
	_, err = documents(strings.NewReader(`{"value":[`+strings.Repeat(one+",", 20)+one+`]}`), func(object) error { n++; return nil })
	if err != nil || n != 21 {
		t.Errorf("%d entries, %v", n, err)
	}
}

// What the stream reads is what a decoder of the whole document reads.
func FuzzDocuments(f *testing.F) {
	for _, text := range export() {
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"value":[{}],"@odata.nextLink":null,"x":{"value":[1]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var got []string
		sum, err := documents(bytes.NewReader(b), func(e object) error {
			got = append(got, string(e.raw))
			return nil
		})
		if err != nil {
			return
		}
		var want []string
		pages := 0
		for d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff")))); ; pages++ {
			var page map[string]json.RawMessage
			if err := d.Decode(&page); err != nil {
				break
			}
			var value []json.RawMessage
			if err := json.Unmarshal(page["value"], &value); err != nil {
				t.Fatalf("accepted %q", page["value"])
			}
			for _, e := range value {
				want = append(want, string(e))
			}
		}
		if pages != sum.pages || !slices.Equal(got, want) {
			t.Errorf("%d pages %q, want %d %q", sum.pages, got, pages, want)
		}
	})
}

// No export makes the loader panic, and one that it takes has the people that
// it counts.
func FuzzExport(f *testing.F) {
	e := export()
	f.Add([]byte(e["users-1.json"]), []byte(e["groups.json"]), []byte(e["subscribedSkus.json"]))
	f.Add([]byte(e["users-2.json"]), []byte(`{"value":[]}`), []byte(e["organization.json"]))
	f.Fuzz(func(t *testing.T, users, groups, other []byte) {
		for _, name := range []string{"subscribedSkus.json", "organization.json", "members-" + team + ".json"} {
			got, sum, err := load(fstest.MapFS{"users.json": {Data: users}, "groups.json": {Data: groups}, name: {Data: other}}, now)
			if err == nil && (len(got.People()) != sum.People || len(got.Groups()) != sum.Groups) {
				t.Errorf("%+v, but %d people and %d groups", sum, len(got.People()), len(got.Groups()))
			}
		}
	})
}

// The goal is an export of 100,000 people in a few seconds, in memory that
// grows only by the tenant.
func BenchmarkLoad100k(b *testing.B) {
	made, err := tenant.New(tenant.Spec{People: 100_000, Seed: 1}, now)
	if err != nil {
		b.Fatal(err)
	}
	text := []byte(`{"value":[`)
	for i, p := range made.People() {
		if i > 0 {
			text = append(text, ',')
		}
		text = p.AppendJSON(append(text, '{'), tenant.PropAll)
		if p.Manager != "" {
			text = append(text, `,"manager":{"id":"`+p.Manager+`"}`...)
		}
		text = append(text, '}')
	}
	files := fstest.MapFS{"users.json": {Data: append(text, "]}"...)}}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if got, _, err := load(files, now); err != nil || got.Len() != 100_000 {
			b.Fatal(err)
		}
	}
}
