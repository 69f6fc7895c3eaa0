package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// Person is what the vendor's product sees of one person: the JSON of the
// machine API, with archived people apart.
type Person struct {
	Properties map[string]any
	Active     bool
	// Change is the number of the person's newest change.
	Change int64
}

// own are the members of a person that are ours and not Microsoft's.
var own = []string{"id", "active", "archivedAt", "reason", "createdAt", "lastChange", "position"}

// People reads everybody stored of a connection, page by page.
func (s *Sandbox) People(ctx context.Context, connection string) (map[string]Person, error) {
	out := make(map[string]Person)
	for token := ""; ; {
		var page struct {
			People       []map[string]any `json:"people"`
			Continuation string           `json:"continuation"`
		}
		path := "/v1/connections/" + connection + "/people?limit=1000"
		if token != "" {
			path += "&continuation=" + url.QueryEscape(token)
		}
		if _, err := s.Call(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		for _, m := range page.People {
			id, _ := m["id"].(string)
			p := Person{Properties: m}
			p.Active, _ = m["active"].(bool)
			last, _ := m["lastChange"].(float64)
			p.Change = int64(last)
			for _, k := range own {
				delete(m, k)
			}
			if _, twice := out[id]; twice {
				return nil, fmt.Errorf("sandbox: person %s is listed twice", id)
			}
			out[id] = p
		}
		if token = page.Continuation; token == "" {
			return out, nil
		}
	}
}

// list reads all pages of a list of a connection.
func (s *Sandbox) list(ctx context.Context, connection, what, member string) ([]map[string]any, error) {
	var out []map[string]any
	for token := ""; ; {
		path := "/v1/connections/" + connection + "/" + what + "?limit=1000"
		if token != "" {
			path += "&continuation=" + url.QueryEscape(token)
		}
		var page map[string]any
		if _, err := s.Call(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		items, ok := page[member].([]any)
		if !ok {
			return nil, fmt.Errorf("sandbox: %s: no %s", path, member)
		}
		for _, it := range items {
			m, _ := it.(map[string]any)
			out = append(out, m)
		}
		if token, _ = page["continuation"].(string); token == "" {
			return out, nil
		}
	}
}

// Things reads the teams, mailboxes, positions and licenses stored of a
// connection, by kind and ID.
func (s *Sandbox) Things(ctx context.Context, connection string) (map[string]map[string]Thing, error) {
	things := make(map[string]map[string]Thing)
	for kind, what := range map[string]string{"team": "teams", "mailbox": "mailboxes", "position": "positions", "license": "licenses"} {
		var all []map[string]any
		var err error
		if kind == "license" { // not in pages
			var one struct{ Licenses []map[string]any }
			_, err = s.Call(ctx, http.MethodGet, "/v1/connections/"+connection+"/licenses", nil, &one)
			all = one.Licenses
		} else {
			all, err = s.list(ctx, connection, what, what)
		}
		if err != nil {
			return nil, err
		}
		things[kind] = make(map[string]Thing, len(all))
		for _, m := range all {
			id, _ := m["id"].(string)
			t := Thing{Properties: m}
			t.Active, _ = m["active"].(bool)
			last, _ := m["lastChange"].(float64)
			t.Change = int64(last)
			for _, k := range own {
				delete(m, k)
			}
			things[kind][id] = t
		}
	}
	return things, nil
}

// State reads everything stored of a connection. Members take a call for each
// team, and a read for each of them.
func (s *Sandbox) State(ctx context.Context, connection string) (st State, err error) {
	st.Members = make(map[string]map[string]bool)
	if st.People, err = s.People(ctx, connection); err != nil {
		return st, err
	}
	if st.Things, err = s.Things(ctx, connection); err != nil {
		return st, err
	}
	for id := range st.Things["team"] {
		members, err := s.list(ctx, connection, "teams/"+id+"/members", "members")
		if err != nil {
			return st, err
		}
		for _, m := range members {
			if st.Members[id] == nil {
				st.Members[id] = make(map[string]bool)
			}
			who, _ := m["id"].(string)
			st.Members[id][who] = true
		}
	}
	return st, nil
}

// Change is one entry of the feed.
type Change struct {
	Number int64          `json:"number"`
	Type   string         `json:"type"`
	ID     string         `json:"id"`
	Run    string         `json:"run"`
	Set    map[string]any `json:"set"`
	Joined []string       `json:"joined"`
	Left   []string       `json:"left"`
}

// Changes reads the whole feed of a connection after a number.
func (s *Sandbox) Changes(ctx context.Context, connection string, after int64) ([]Change, error) {
	var out []Change
	for {
		var page struct {
			Changes []Change `json:"changes"`
			Last    int64    `json:"last"`
			More    bool     `json:"more"`
		}
		path := "/v1/connections/" + connection + "/changes?limit=1000&after=" + strconv.FormatInt(after, 10)
		if _, err := s.Call(ctx, http.MethodGet, path, nil, &page); err != nil {
			return nil, err
		}
		out = append(out, page.Changes...)
		after = page.Last
		if !page.More {
			return out, nil
		}
	}
}

// Truth is what the product should see of a tenant's present people, made
// from the stand-in's directory without any code of the handler.
func Truth(people []tenant.Person) map[string]map[string]any {
	out := make(map[string]map[string]any, len(people))
	for _, p := range people {
		b, _ := json.Marshal(p) // strings, lists and booleans: cannot fail
		var m map[string]any
		_ = json.Unmarshal(b, &m)
		delete(m, "id")
		var skus []any
		for _, l := range p.AssignedLicenses {
			skus = append(skus, l.SkuID)
		}
		m["assignedLicenses"] = skus
		for k, v := range m {
			switch v := v.(type) {
			case string:
				if v == "" {
					delete(m, k)
				}
			case []any:
				if m[k] = sorted(v); len(v) == 0 {
					delete(m, k)
				}
			case nil:
				delete(m, k)
			}
		}
		out[p.ID] = m
	}
	return out
}

// sorted orders a list, which means the same in any order, and drops repeats.
func sorted(l []any) []any {
	s := slices.Clone(l)
	slices.SortFunc(s, func(a, b any) int {
		x, _ := a.(string)
		y, _ := b.(string)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return slices.Compact(s)
}

// Compare says how what is stored differs from the truth: everybody present
// must be active with every property equal, everybody else archived.
func Compare(stored map[string]Person, truth map[string]map[string]any) error {
	for id, want := range truth {
		got, ok := stored[id]
		if !ok {
			return fmt.Errorf("sandbox: person %s is not stored", id)
		}
		if !got.Active {
			return fmt.Errorf("sandbox: person %s is archived, and present at Microsoft", id)
		}
		if !reflect.DeepEqual(got.Properties, want) {
			return fmt.Errorf("sandbox: person %s is stored as %v, want %v", id, got.Properties, want)
		}
	}
	for id, p := range stored {
		if _, present := truth[id]; p.Active && !present {
			return fmt.Errorf("sandbox: person %s is active, and gone at Microsoft", id)
		}
	}
	return nil
}
