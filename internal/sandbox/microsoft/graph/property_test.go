package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

const seedFields = "id,mail,otherMails,proxyAddresses,userPrincipalName,displayName,givenName,surname,businessPhones,mobilePhone," +
	"preferredLanguage,accountEnabled,userType,jobTitle,department,officeLocation,employeeId,employeeHireDate,assignedLicenses,manager"

// reader is the simplest client that follows the documentation: it merges
// what it is told and starts over, from nothing, when told to.
type reader struct {
	w       *world
	bearer  string
	minimal bool
	link    string
	people  map[string]map[string]any // by ID, then property
	rounds  int
}

func (c *reader) restart() {
	c.link = base + "/v1.0/users/delta?$select=" + seedFields
	c.people = map[string]map[string]any{}
}

// step asks for one page.
func (c *reader) step(t *rapid.T) {
	r := httptest.NewRequest(http.MethodGet, c.link, nil)
	if c.minimal {
		r.Header.Set("Prefer", "return=minimal")
	}
	res, cut := c.w.do(r, c.bearer)
	if cut {
		return // the same link again
	}
	switch res.Code {
	case http.StatusOK:
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable:
		return
	case http.StatusGone, http.StatusBadRequest:
		c.restart()
		return
	default:
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
	c.link = page.Next + page.Delta
	if page.Delta != "" {
		c.rounds++
	}
}

func (c *reader) apply(item map[string]any) {
	id := item["id"].(string)
	if item["@removed"] != nil {
		delete(c.people, id)
		return
	}
	p := c.people[id]
	if p == nil {
		p = map[string]any{}
		c.people[id] = p
	}
	for k, v := range item {
		if k != "manager@delta" {
			p[k] = v
			continue
		}
		for _, m := range v.([]any) {
			ref := m.(map[string]any)
			switch {
			case ref["@removed"] == nil:
				p["manager"] = ref["id"]
			case p["manager"] == ref["id"]:
				p["manager"] = ""
			}
		}
	}
}

// truth reads people through their exported fields, and seen brings what a
// reader holds into the same form: null, [] and absent all mean nothing.
func truth(t *rapid.T, people []tenant.Person) map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, p := range people {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		out[p.ID] = m
	}
	return seen(out)
}

func seen(people map[string]map[string]any) map[string]map[string]any {
	out := map[string]map[string]any{}
	for id, p := range people {
		m := map[string]any{}
		for k, v := range p {
			if l, isList := v.([]any); v == nil || v == "" || isList && len(l) == 0 {
				continue
			}
			m[k] = v
		}
		out[id] = m
	}
	return out
}

// Whatever is edited, between and during rounds, and whatever goes wrong, a
// reader that goes on until two rounds are quiet holds exactly the directory.
func TestAnyEditsAndFaultsLeadToTheDirectory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.IntRange(0, 9).Draw(t, "people"), rapid.IntRange(1, 6).Draw(t, "page"))
		c := &reader{w: w, bearer: w.bearer(t, "User.Read.All"), minimal: rapid.Bool().Draw(t, "minimal")}
		c.restart()
		all := []string{}
		for _, p := range w.t.People() {
			all = append(all, p.ID)
		}
		someone := func(t *rapid.T) string {
			if len(all) == 0 {
				t.Skip("nobody there")
			}
			return rapid.SampledFrom(all).Draw(t, "who")
		}
		n := 0
		kinds := []fault.Kind{fault.Throttle, fault.Error, fault.Resync, fault.Expired, fault.Cut, fault.CutChunked,
			fault.Empty, fault.Replay, fault.Duplicate, fault.Flap, fault.Permute}
		t.Repeat(map[string]func(*rapid.T){
			"page":  c.step,
			"page2": c.step,
			"create": func(t *rapid.T) {
				n++
				f := tenant.Fields{"userPrincipalName": fmt.Sprintf("new%d@x.example", n), "displayName": "New"}
				if len(all) > 0 && rapid.Bool().Draw(t, "managed") {
					f["manager"] = someone(t)
				}
				if id, err := w.t.Create(f); err == nil { // the manager may have gone
					all = append(all, id)
				}
			},
			"edit": func(t *rapid.T) {
				f := tenant.Fields{"jobTitle": rapid.SampledFrom([]any{nil, "A", "B"}).Draw(t, "title")}
				if rapid.Bool().Draw(t, "more") {
					f["otherMails"] = rapid.SampledFrom([]any{nil, []string{"a@b.example"}}).Draw(t, "mails")
					f["accountEnabled"] = rapid.Bool().Draw(t, "enabled")
				}
				_ = w.t.Update(someone(t), f) // refused if removed: nothing changes
			},
			"manage": func(t *rapid.T) {
				var m any
				if rapid.IntRange(0, 3).Draw(t, "none") > 0 {
					m = someone(t)
				}
				_ = w.t.Update(someone(t), tenant.Fields{"manager": m}) // as above
			},
			"remove":  func(t *rapid.T) { _ = w.t.Remove(someone(t)) },
			"restore": func(t *rapid.T) { _ = w.t.Restore(someone(t)) },
			"purge": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
					_ = w.t.Purge(someone(t))
				}
			},
			"fault": func(t *rapid.T) {
				_, err := w.faults.Add(fault.Fault{Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Status: 500, Count: 1, Path: fault.UsersDelta})
				if err != nil {
					t.Fatal(err)
				}
			},
			"forget": func(t *rapid.T) {
				if rapid.IntRange(0, 5).Draw(t, "really") == 0 {
					w.now = w.now.Add(8 * 24 * time.Hour)
				}
			},
		})
		for pages := 0; ; pages++ {
			before, link := c.rounds, c.link
			c.step(t)
			if c.rounds > before && len(w.faults.List()) == 0 && link != "" && pages > 0 {
				break
			}
			if pages > 400 {
				t.Fatal("the round does not end")
			}
			if pages > 200 { // faults that can no longer take effect, such as a permutation of nobody
				w.faults.ClearAll()
			}
		}
		if want, got := truth(t, w.t.People()), seen(c.people); !reflect.DeepEqual(got, want) {
			t.Fatalf("reader holds\n%s\nthe directory\n%s", dump(got), dump(want))
		}
	})
}

func dump(m map[string]map[string]any) string {
	var lines []string
	for id, p := range m {
		b, _ := json.Marshal(p)
		lines = append(lines, id+" "+string(b))
	}
	slices.Sort(lines)
	return fmt.Sprint(lines)
}
