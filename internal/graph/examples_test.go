package graph

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// example is a response out of Microsoft's documentation.
type example struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
	Text    string            `json:"bodyText"`
}

// examples are Microsoft's own, where they are at hand.
func examples(t *testing.T, pattern string) map[string]example {
	t.Helper()
	dir := os.Getenv("ROLLCALL_GRAPH_EXAMPLES")
	if dir == "" {
		t.Skip("ROLLCALL_GRAPH_EXAMPLES names no directory")
	}
	files, err := filepath.Glob(filepath.Join(dir, pattern+".json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d examples of %s, %v", len(files), pattern, err)
	}
	all := map[string]example{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var x example
		if err := json.Unmarshal(b, &x); err != nil {
			t.Fatal(file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = x
	}
	return all
}

// one is a single example.
func one(t *testing.T, name string) example {
	t.Helper()
	return examples(t, name)[name]
}

func TestExamples(t *testing.T) {
	for _, feed := range []string{"users", "groups"} {
		for name, x := range examples(t, feed+"_delta_*") {
			var body struct {
				Value []struct {
					ID      string `json:"id"`
					Members []struct {
						ID string `json:"id"`
					} `json:"members@delta"`
				} `json:"value"`
				Next  string `json:"@odata.nextLink"`
				Delta string `json:"@odata.deltaLink"`
			}
			if err := json.Unmarshal(x.Body, &body); err != nil {
				t.Fatal(err)
			}
			whole := (body.Next == "") != (body.Delta == "")
			for _, v := range body.Value {
				whole = whole && len(v.ID) == 36
				for _, m := range v.Members { // some examples have IDs that are a digit short
					whole = whole && len(m.ID) == 36
				}
			}
			var n int
			var err error
			if feed == "users" {
				var p directory.Page
				p, err = DecodePeople(x.Body)
				n = len(p.Items)
			} else {
				var p directory.TeamPage
				p, err = DecodeGroups(x.Body)
				n = len(p.Items)
			}
			if whole != (err == nil) || err == nil && n != len(body.Value) {
				t.Errorf("%s: whole %v, but %d of %d items, %v", name, whole, n, len(body.Value), err)
			}
		}
	}
}

// What the groups of the examples are and whom they hold.
func TestGroupExamples(t *testing.T) {
	page := func(name string) directory.TeamPage {
		p, err := DecodeGroups(one(t, name).Body)
		if err != nil {
			t.Fatal(name, err)
		}
		return p
	}
	p := page("groups_delta_01_initial_members")
	first, second := p.Items[0], p.Items[1]
	if first.ID != "c2f798fd-f95d-4623-8824-63aec21fffff" || first.DisplayName != "TestGroup1" || !first.Told || p.Next == "" ||
		!slices.Equal(first.Joined, []string{"693acd06-2877-4339-8ade-b704261fe7a0", "49320844-be99-4164-8167-87ff5d047ace"}) || first.Left != nil {
		t.Errorf("%+v", first)
	}
	if second.DisplayName != "TestGroup2" || second.Joined != nil {
		t.Errorf("%+v", second)
	}
	if p := page("groups_delta_04_nochange"); len(p.Items) != 0 || p.Delta == "" {
		t.Errorf("%+v", p)
	}
	if it := page("groups_delta_07_large_group_page2").Items[0]; !slices.Equal(it.Left, []string{"c08a463b-7b8a-40a4-aa31-f9bf690b9551"}) || !slices.Equal(it.Joined, []string{"23423fa6-821e-44b2-aae4-d039d33884c2"}) {
		t.Errorf("%+v", it)
	}
	// With an ID of 35 characters for a removed member.
	if _, err := DecodeGroups(one(t, "groups_delta_05_member_removed_added").Body); !fault.Is(err, fault.Unknown) {
		t.Errorf("a short ID: %v", err)
	}
	kinds := func(name string) (kinds []directory.TeamKind) {
		body, err := decodeList[group](one(t, name).Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range *body.Value {
			team, err := g.checked()
			if err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, team.Kind)
		}
		return kinds
	}
	if k := kinds("teams_via_groups"); !slices.Equal(k, []directory.TeamKind{directory.OtherGroup, directory.MicrosoftTeam}) {
		t.Errorf("kinds %v", k)
	}
	if k := kinds("groups_list_with_team_option"); !slices.Equal(k, []directory.TeamKind{directory.OtherGroup, directory.OtherGroup}) {
		t.Errorf("kinds %v", k)
	}
}

func TestListExamples(t *testing.T) {
	for name, want := range map[string][]string{
		"get_by_ids":                             {"84b80893-8749-40a3-97b7-68513b600544"}, // twice there
		"group_members_01":                       {"11111111-2222-3333-4444-555555555555"},
		"transitive_members_01":                  {"11111111-2222-3333-4444-555555555555"},
		"transitive_members_03_cast_group":       {"4d0ef681-e88f-42a3-a2db-e6bf1e249e10", "d9fb0c47-c783-40a1-bce1-53b52ada51fc"}, // cast: without types
		"transitive_members_04_cast_user_search": {"11111111-2222-3333-4444-555555555555"},
		"deleted_groups_count":                   {"74e45ce0-a52a-4766-976c-7201b0f99370", "c31799b8-0683-4d70-9e91-e032c89d3035"},
	} {
		if p, err := decodeIDs(one(t, name).Body, "user"); err != nil || !slices.Equal(p.IDs, want) || p.Next != "" {
			t.Errorf("%s: %q, %v", name, p.IDs, err)
		}
	}
	if _, err := decodeIDs([]byte(one(t, "transitive_members_02_count_text").Text), "user"); !fault.Is(err, fault.Unknown) {
		t.Errorf("a number is a page: %v", err)
	}
	licenses, err := DecodeLicenses(one(t, "subscribed_skus").Body)
	if want := []directory.License{
		{ID: "c7df2760-2c81-4ef7-b578-5b5392b571df", PartNumber: "ENTERPRISEPREMIUM", Status: "Enabled", Total: 25, Consumed: 14},
		{ID: "d17b27af-3f49-4822-99f9-56a661538792", PartNumber: "CRMSTANDARD", Status: "Suspended", Total: 0, Consumed: 14},
	}; err != nil || !slices.Equal(licenses, want) {
		t.Errorf("licenses %+v, %v", licenses, err)
	}
}

// The batch answers 200 around two refusals; its IDs are 1, 2, 3 and 5.
func TestBatchExample(t *testing.T) {
	x := one(t, "batch_response_mixed")
	if _, err := decodeBatch(x.Body, 4); !fault.Is(err, fault.Unknown) {
		t.Errorf("a response to no request: %v", err)
	}
	replies, err := decodeBatch([]byte(strings.Replace(string(x.Body), `"id": "5"`, `"id": "4"`, 1)), 4)
	if err != nil {
		t.Fatal(err)
	}
	cost := 0
	for _, r := range replies {
		cost += units(r.header)
	}
	if replies[0].status != 200 || replies[1].status != 403 || replies[2].code() != "Authorization_RequestDenied" || cost != 3 {
		t.Errorf("%d units, %+v", cost, replies)
	}
	if err := verdict(replies, "Some.Permission"); !fault.Is(err, fault.Denied) || !strings.Contains(fault.Of(err).Remedy, "(Some.Permission)") {
		t.Errorf("verdict %v", err)
	}
}

// The columns that are read are in Microsoft's header.
func TestReportExample(t *testing.T) {
	text := one(t, "mailbox_usage_csv_header").Text
	if all, _, err := read(strings.NewReader(text)); err != nil || all != nil {
		t.Errorf("%v, %v", all, err)
	}
	row := "\r\n2017-09-01,a@contoso.com,A,False,,2016-03-30,2017-09-01,138481,10414748704,10522698752,10630040576,10737418240,138481,10414748704,7"
	all, refreshed, err := read(strings.NewReader(text + row))
	if want := (directory.Mailbox{ID: directory.MailboxID("a@contoso.com"), UserPrincipalName: "a@contoso.com", CreatedDate: "2016-03-30", LastActivity: "2017-09-01", Items: 138481, Size: 10414748704, Quota: 10737418240}); err != nil || refreshed != "2017-09-01" || len(all) != 1 || all[0] != want {
		t.Errorf("%+v, %v", all, err)
	}
	if x := one(t, "mailbox_usage_302"); x.Status != http.StatusFound || !strings.HasPrefix(x.Headers["Location"], "https://") {
		t.Errorf("%+v", x)
	}
}

// Refusals keep their kind and their wait.
func TestRefusalExamples(t *testing.T) {
	for name, want := range map[string]struct {
		kind fault.Kind
		wait bool
	}{
		"graph_403_request_denied": {fault.Denied, false}, "delta_410_resync_required": {fault.Expired, false}, "delta_400_sync_state_not_found": {fault.Expired, false},
		"list_400_expired_page_token": {fault.Expired, false}, "throttle_429_retry_after_fractional": {fault.Throttled, true}, "delta_unsupported_property_501": {fault.Unknown, false}, "error_502_html": {fault.Unknown, false},
	} {
		x := one(t, name)
		header := http.Header{}
		for k, v := range x.Headers {
			header.Set(k, v)
		}
		r := reply{status: x.Status, header: header, body: x.Body}
		if e := judge(r.status, r.header, r.code(), "x"); e.Kind != want.kind || (e.After > 0) != want.wait {
			t.Errorf("%s: %s after %s", name, e.Kind, e.After)
		}
	}
}
