package graphd

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/graph"
	"rollcall/perf/crowd"
)

// fixture is a server of a directory of 1,205 people.
func fixture(t *testing.T) (*Server, string) {
	t.Helper()
	s := &Server{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.Base = srv.URL
	s.Configure(Config{Crowd: crowd.Crowd{Seed: 3, People: 1205, Even: true}, Page: 500, Groups: 7, Members: 5, GroupsPage: 3, EditEvery: 100})
	return s, srv.URL
}

func get(t *testing.T, link string) []byte {
	t.Helper()
	resp, err := http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", link, resp.Status, b, err)
	}
	return b
}

func selection(without string) string {
	names := slices.DeleteFunc(directory.Properties(), func(n string) bool { return n == without })
	return url.QueryEscape("id," + strings.Join(names, ","))
}

// follow reads a round of people and returns who was on it and its delta link.
func follow(t *testing.T, link string) (ids []string, delta string) {
	t.Helper()
	for link != "" {
		p, err := graph.DecodePeople(get(t, link))
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range p.Items {
			ids = append(ids, it.ID)
		}
		link, delta = p.Next, p.Delta
	}
	return ids, delta
}

func TestChainAndChanges(t *testing.T) {
	s, base := fixture(t)
	ids, delta := follow(t, base+"/v1.0/users/delta?$select="+selection(""))
	if n := len(slices.Compact(slices.Sorted(slices.Values(ids)))); n != 1205 {
		t.Fatalf("%d people on the chain", n)
	}
	latest, token := follow(t, base+"/v1.0/users/delta?$deltatoken=latest&$select="+selection(""))
	if len(latest) != 0 || token != delta {
		t.Errorf("latest: %d people, %s, want none and %s", len(latest), token, delta)
	}
	c := s.config
	c.Edits = 1
	s.Configure(c)
	changed, next := follow(t, delta)
	if len(changed) != 13 || changed[12] != c.Crowd.At(1200, 0).ID {
		t.Errorf("%d people changed: %v", len(changed), changed)
	}
	if again, _ := follow(t, next); len(again) != 0 {
		t.Errorf("%d people changed in the end", len(again))
	}
}

// The parts of the list are the directory, and the count agrees.
func TestList(t *testing.T) {
	_, base := fixture(t)
	total, counted := 0, 0
	for _, c := range crowd.Initials {
		filter := url.QueryEscape("startswith(userPrincipalName,'" + string(c) + "')")
		page := string(get(t, base+"/v1.0/users?$top=999&$select="+selection("manager")+"&$expand="+url.QueryEscape("manager($select=id)")+"&$filter="+filter))
		total += strings.Count(page, `{"id":"`) // managers have a type before their ID
		n, err := strconv.Atoi(string(get(t, base+"/v1.0/users/$count?$filter="+filter)))
		if err != nil {
			t.Fatal(err)
		}
		counted += n
	}
	if total != 1205 || counted != 1205 {
		t.Errorf("%d people listed, %d counted", total, counted)
	}
}

// Who asks for less than the pages hold is refused: it would look faster than
// it is.
func TestSelectionIsChecked(t *testing.T) {
	_, base := fixture(t)
	for _, q := range []string{"", "?$select=id,mail", "?$select=" + selection("") + ",city"} {
		resp, err := http.Get(base + "/v1.0/users/delta" + q)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: %s", q, resp.Status)
		}
	}
}

// What is counted is what was asked, and the latency is that of the model.
func TestCounts(t *testing.T) {
	s, base := fixture(t)
	s.Take()
	c := s.config
	c.Latency, c.PerObject = time.Millisecond, 10*time.Microsecond
	s.Configure(c)
	ids, _ := follow(t, base+"/v1.0/users/delta?$select="+selection(""))
	got := s.Take()
	if want := 3*time.Millisecond + time.Duration(len(ids))*10*time.Microsecond; got.Calls != 3 || got.Kinds["people"] != 3 || got.Latency != want {
		t.Errorf("%+v, want 3 calls with %s", got, want)
	}
}

func TestGroups(t *testing.T) {
	s, base := fixture(t)
	var sum uint64
	pages := 0
	for link := base + "/v1.0/groups/delta"; link != ""; pages++ {
		p, err := graph.DecodeGroups(get(t, link))
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range p.Items {
			for _, id := range it.Joined {
				sum += crowd.Membership(it.Team.ID, id)
			}
		}
		link = p.Next
	}
	if pages != 3 || sum != s.config.GroupsDigest() {
		t.Errorf("%d pages, digest %x, want 3 and %x", pages, sum, s.config.GroupsDigest())
	}
}
