// Package graphd is a lean Microsoft Graph for benchmarks: it answers the
// requests of a sync with pages that are rendered and compressed once.
//
// It understands exactly what is asked of it here, and refuses the rest: a
// side that asks for fewer properties than the pages hold would be measured
// wrongly.
package graphd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"rollcall/internal/directory"
	"rollcall/perf/crowd"
)

// Config is what the server holds and how slow it is.
type Config struct {
	Crowd crowd.Crowd
	// Page is how many people are on a page of users/delta, Groups and Members
	// how many groups there are, and members of each.
	Page, Groups, Members int
	// GroupsPage is how many groups are on a page.
	GroupsPage int
	// Identity has pages sent as they are, without compression.
	Identity bool
	// Edits counts the rounds of edits; in each, every person whose number is a
	// multiple of EditEvery changed.
	Edits, EditEvery int
	// Latency is of every request, PerObject more of each object in its answer.
	Latency, PerObject time.Duration
}

// Edited is how often person i was edited after so many rounds.
func (c Config) Edited(i int) int {
	if c.EditEvery > 0 && i%c.EditEvery == 0 {
		return c.Edits
	}
	return 0
}

// Digest is of the directory as it is now.
func (c Config) Digest() uint64 { return c.Crowd.Digest(c.Edited) }

// Counts is what was asked since the last look.
type Counts struct {
	Calls   int
	Kinds   map[string]int
	Bytes   int64         // of compressed bodies
	Latency time.Duration // the sum of what was injected
}

// page is a rendered answer.
type page struct {
	body    []byte
	objects int
	kind    string
	gzip    bool
}

// Server answers. Base is its own address, which links begin with.
type Server struct {
	Base string

	mu     sync.Mutex
	config Config
	pages  map[string]*page
	counts Counts
	parts  map[string][]int // the people of a prefix
}

// Configure keeps rendered pages where only the latency changes.
func (s *Server) Configure(c Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was, is := s.config, c
	was.Latency, was.PerObject, is.Latency, is.PerObject = 0, 0, 0, 0
	if was != is || s.pages == nil {
		s.pages, s.parts = map[string]*page{}, map[string][]int{}
	}
	s.config = c
}

// Take returns the counts and begins anew.
func (s *Server) Take() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	s.counts = Counts{}
	return c
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, latency, err := s.page(r)
	if err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": "BadRequest", "message": err.Error()}})
		return
	}
	if latency > 0 {
		t := time.NewTimer(latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		}
	}
	h := w.Header()
	if p.kind == "count" {
		h.Set("Content-Type", "text/plain")
		_, _ = w.Write(p.body)
		return
	}
	h.Set("Content-Type", "application/json")
	if p.gzip {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(p.body)))
	_, _ = w.Write(p.body)
}

// page finds the answer, renders it if nobody has asked for it before, and
// counts it.
func (s *Server) page(r *http.Request) (*page, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.URL.Path + "?" + r.URL.RawQuery
	p := s.pages[key]
	if p == nil {
		var err error
		if p, err = s.render(r); err != nil {
			return nil, 0, err
		}
		s.pages[key] = p
	}
	latency := s.config.Latency + time.Duration(p.objects)*s.config.PerObject
	if s.counts.Kinds == nil {
		s.counts.Kinds = map[string]int{}
	}
	s.counts.Calls++
	s.counts.Kinds[p.kind]++
	s.counts.Bytes += int64(len(p.body))
	s.counts.Latency += latency
	return p, latency, nil
}

// render makes the answer to a request that nobody has sent before.
func (s *Server) render(r *http.Request) (*page, error) {
	q := r.URL.Query()
	// The typed client writes the function's parentheses, the documentation not.
	switch strings.TrimSuffix(r.URL.Path, "()") {
	case "/v1.0/users/delta":
		switch token := q.Get("$deltatoken") + q.Get("$deltaToken"); token {
		case "":
			return s.chain(q.Get("$skiptoken"), q.Get("$select"))
		case "latest":
			if err := s.config.all(q.Get("$select"), "manager"); err != nil {
				return nil, err
			}
			return s.changes(s.config.Edits, 0), nil
		default:
			var since, from int
			if _, err := fmt.Sscanf(token, "e%d-%d", &since, &from); err != nil {
				return nil, fmt.Errorf("delta token %q", token)
			}
			return s.changes(since, from), nil
		}
	case "/v1.0/users/$count":
		n := len(s.prefixed(prefix(q.Get("$filter"))))
		return &page{body: []byte(strconv.Itoa(n)), kind: "count"}, nil
	case "/v1.0/users":
		return s.list(q.Get("$skiptoken"), q.Get("$select"), q.Get("$expand"), q.Get("$filter"), q.Get("$top"))
	case "/v1.0/groups/delta":
		return s.groups(q.Get("$skiptoken"), q.Get("$deltatoken"))
	}
	return nil, fmt.Errorf("nothing is known of %s", r.URL.Path)
}

// all refuses a selection other than what the pages hold.
func (c *Config) all(selected string, also ...string) error {
	want := map[string]bool{"id": true}
	for _, name := range directory.Properties() {
		want[name] = name != "manager" && !(c.Crowd.Bare && name == "assignedLicenses")
	}
	for _, name := range also {
		want[name] = true
	}
	for _, name := range strings.Split(selected, ",") {
		if !want[name] {
			return fmt.Errorf("property %q is not on the pages", name)
		}
		delete(want, name)
	}
	for name, wanted := range want {
		if wanted {
			return fmt.Errorf("property %q is on the pages, but not selected", name)
		}
	}
	return nil
}

// send makes an answer, compressed as Graph does unless told otherwise.
func (c *Config) send(body []byte, objects int, kind string) *page {
	if c.Identity {
		return &page{body: body, objects: objects, kind: kind}
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed+1) // a valid level
	_, _ = z.Write(body)                              // to memory: cannot fail
	_ = z.Close()
	return &page{body: b.Bytes(), objects: objects, kind: kind, gzip: true}
}
