package graph

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// groupReader is the simplest client of groups/delta that follows the
// documentation: it merges members, whatever page they are on.
type groupReader struct {
	w       *world
	bearer  string
	minimal bool
	link    string
	groups  map[string]*heldGroup
	rounds  int
}

type heldGroup struct {
	props   map[string]any
	members map[string]bool
}

func (c *groupReader) restart() {
	c.link = groupsDelta + "?$select=displayName,description,mailEnabled,groupTypes,members"
	c.groups = map[string]*heldGroup{}
}

func (c *groupReader) step(t *rapid.T) {
	r := httptest.NewRequest(http.MethodGet, c.link, nil)
	if c.minimal {
		r.Header.Set("Prefer", "return=minimal")
	}
	res, cut := c.w.do(r, c.bearer)
	switch {
	case cut || res.Code == http.StatusTooManyRequests || res.Code >= 500:
		return // the same link again
	case res.Code == http.StatusGone || res.Code == http.StatusBadRequest:
		c.restart()
		return
	case res.Code != http.StatusOK:
		t.Fatalf("status %d: %s", res.Code, res.Body)
	}
	var page struct {
		Next  string           `json:"@odata.nextLink"`
		Delta string           `json:"@odata.deltaLink"`
		Value []map[string]any `json:"value"`
	}
	if err := json.Unmarshal(res.Body.Bytes(), &page); err != nil {
		t.Fatal(err)
	}
	for _, item := range page.Value {
		c.apply(item)
	}
	if (page.Next == "") == (page.Delta == "") {
		t.Fatalf("want exactly one link: %q %q", page.Next, page.Delta)
	}
	if page.Delta != "" {
		c.rounds++
	}
	switch {
	case rapid.IntRange(0, 4).Draw(t, "kept") > 0:
		c.link = page.Next + page.Delta
	case !strings.Contains(c.link, "token="): // crashed before a link was kept: from nothing
		c.restart()
	}
}

func (c *groupReader) apply(item map[string]any) {
	id := item["id"].(string)
	if item["@removed"] != nil {
		delete(c.groups, id)
		return
	}
	g := c.groups[id]
	if g == nil {
		g = &heldGroup{map[string]any{}, map[string]bool{}}
		c.groups[id] = g
	}
	for k, v := range item {
		if k != "members@delta" {
			g.props[k] = v
			continue
		}
		for _, m := range v.([]any) {
			ref := m.(map[string]any)
			if ref["@removed"] == nil {
				g.members[ref["id"].(string)] = true
			} else {
				delete(g.members, ref["id"].(string))
			}
		}
	}
}

// held and real bring what the reader holds and what there is into one form.
func (c *groupReader) held() map[string]map[string]any {
	out := map[string]map[string]any{}
	for id, g := range c.groups {
		m := map[string]any{}
		for k, v := range g.props {
			if l, isList := v.([]any); v == nil || isList && len(l) == 0 {
				continue
			}
			m[k] = v
		}
		members := []string{}
		for id := range g.members {
			members = append(members, id)
		}
		slices.Sort(members)
		m["members"] = members
		out[id] = m
	}
	return out
}

func realGroups(t *tenant.Tenant) map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, g := range t.Groups() {
		m := map[string]any{"id": g.ID, "displayName": g.DisplayName, "mailEnabled": g.MailEnabled}
		if g.Description != "" {
			m["description"] = g.Description
		}
		if len(g.GroupTypes) > 0 {
			m["groupTypes"] = []any{"Unified"}
		}
		members := append([]string{}, t.Members(g.ID)...)
		slices.Sort(members)
		m["members"] = members
		out[g.ID] = m
	}
	return out
}

// Whatever is edited, between and during rounds, and whatever goes wrong, a
// reader that goes on until two rounds are quiet holds exactly the groups.
func TestAnyEditsAndFaultsLeadToTheGroups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, 6, rapid.IntRange(1, 4).Draw(t, "page"))
		w.server.MembersPage = rapid.IntRange(1, 5).Draw(t, "members")
		c := &groupReader{w: w, bearer: w.bearer(t, "GroupMember.Read.All"), minimal: rapid.Bool().Draw(t, "minimal")}
		c.restart()
		var people, groups []string
		for _, p := range w.t.People() {
			people = append(people, p.ID)
		}
		for range 3 {
			groups = append(groups, w.group(t, tenant.Fields{"displayName": "G", "groupTypes": []string{"Unified"}}, people[:2]...))
		}
		group := func(t *rapid.T) string { return rapid.SampledFrom(groups).Draw(t, "group") }
		member := func(t *rapid.T) string {
			return rapid.SampledFrom(slices.Concat(people, groups)).Draw(t, "member")
		}
		add := func(t *rapid.T) { _ = w.t.AddMember(group(t), member(t)) } // refused if it is one, or something is gone
		kinds := []fault.Kind{fault.Throttle, fault.Error, fault.Resync, fault.Expired, fault.Cut, fault.CutChunked,
			fault.Empty, fault.Replay, fault.Duplicate, fault.Flap, fault.Permute}
		t.Repeat(map[string]func(*rapid.T){
			"page": c.step, "page2": c.step,
			"add": add, "add2": add,
			"leave": func(t *rapid.T) {
				g := group(t)
				if l := w.t.Members(g); len(l) > 0 {
					_ = w.t.RemoveMember(g, rapid.SampledFrom(l).Draw(t, "leaver"))
				}
			},
			"create": func(t *rapid.T) {
				f := tenant.Fields{"displayName": "New", "description": "new"}
				if rapid.Bool().Draw(t, "unified") {
					f["groupTypes"] = []string{"Unified"}
				}
				groups = append(groups, w.group(t, f))
			},
			"edit": func(t *rapid.T) {
				_ = w.t.UpdateGroup(group(t), tenant.Fields{
					"description": rapid.SampledFrom([]any{nil, "A", "B"}).Draw(t, "description"), "mailEnabled": rapid.Bool().Draw(t, "mail")})
			},
			"remove group":   func(t *rapid.T) { _ = w.t.RemoveGroup(group(t)) },
			"restore group":  func(t *rapid.T) { _ = w.t.RestoreGroup(group(t)) },
			"remove person":  func(t *rapid.T) { _ = w.t.Remove(rapid.SampledFrom(people).Draw(t, "who")) },
			"restore person": func(t *rapid.T) { _ = w.t.Restore(rapid.SampledFrom(people).Draw(t, "who")) },
			"purge": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
					_, _ = w.t.PurgeGroup(group(t)), w.t.Purge(rapid.SampledFrom(people).Draw(t, "who"))
				}
			},
			"fault": func(t *rapid.T) {
				_, err := w.faults.Add(fault.Fault{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Status: 500, Count: 1, Path: fault.GroupsDelta})
				w.must(t, err)
			},
			"forget": func(t *rapid.T) {
				if rapid.IntRange(0, 5).Draw(t, "really") == 0 {
					w.now = w.now.Add(8 * 24 * time.Hour)
				}
			},
		})
		w.faults.ClearAll()
		for pages, quiet := 0, 0; quiet < 2; pages++ {
			before, link := c.rounds, c.link
			if c.step(t); c.rounds > before && c.link != link {
				quiet++
			}
			if pages > 500 {
				t.Fatal("the round does not end")
			}
		}
		if want, got := realGroups(w.t), c.held(); !reflect.DeepEqual(got, want) {
			t.Fatalf("reader holds\n%s\nthe directory\n%s", dump(got), dump(want))
		}
	})
}
