package reconcile_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// mode is one kind of run, with what has happened before it.
type mode struct {
	name    string
	prepare func(s *stage)
	run     func(s *stage) []job.Run
	// blind is how many of a round's first requests bring no token that Graph
	// could forget.
	blind int
	// omitted is whom and which team an answer may leave out: they are in it.
	// Nil where leaving out is no harm.
	omitted func(s *stage) (person, team string)
}

var modes = []mode{
	{"first", func(*stage) {}, (*stage).sync, 1, func(s *stage) (string, string) { return s.people[6].ID, s.teams[0] }},
	{"delta", (*stage).stirred, (*stage).sync, 0, func(s *stage) (string, string) { return s.people[22].ID, s.teams[0] }},
	{"full", (*stage).silent, (*stage).sync, 1, func(s *stage) (string, string) { return s.people[6].ID, s.teams[0] }},
	{"decision", (*stage).planned, (*stage).approve, 0, nil},
	{"person", (*stage).moved, (*stage).byName, 0, func(s *stage) (string, string) { return s.people[7].ID, s.teams[0] }},
	{"listed", (*stage).inLanes, (*stage).sync, 2, func(s *stage) (string, string) { return s.people[6].ID, s.teams[0] }},
	{"remade", (*stage).unindexed, (*stage).sync, 1, func(s *stage) (string, string) { return s.people[6].ID, s.teams[0] }},
}

// stage is a customer of whom everything is synced, chosen by two scope groups
// of which one has another within it.
type stage struct {
	*world
	mode   *mode
	day    time.Time       // of the mailbox report
	hushed map[string]bool // what enumerations do not tell of
	// people are those at the beginning; nobody reports to the first of them.
	people []tenant.Person
	teams  []string
	small  []string // teams of one
	lists  []string // groups that are not stored
	outer  string   // scope groups, and the one within
	also   string
	inner  string
	noted  snapshot
	// back are those who returned while a plan with their memberships waits.
	back []string
	// asked are the people whom the run is for.
	asked []string
	// meanwhile is done once, when the first page of a list of people is asked
	// for.
	meanwhile sync.Once
}

// snapshot is who and what was at Microsoft and is stored.
type snapshot struct {
	people  []string
	members map[string][]string
}

func newStage(t *testing.T, l *line, m *mode) *stage {
	w := l.whole(t, t, 24)
	s := &stage{world: w, mode: m, day: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), hushed: map[string]bool{}}
	w.engine = w.newEngine(t, s)
	bosses := map[string]bool{}
	for _, p := range w.tenant.People() {
		bosses[p.Manager] = true
	}
	for _, boss := range []bool{false, true} {
		for _, p := range w.tenant.People() {
			if bosses[p.ID] == boss {
				s.people = append(s.people, p)
			}
		}
	}
	for _, g := range w.tenant.Groups() {
		s.teams = append(s.teams, g.ID)
	}
	for i := range 5 {
		s.small = append(s.small, w.team(fmt.Sprint("Small ", i), true))
		s.join(s.small[i], i)
		id, err := w.tenant.CreateGroup(tenant.Fields{"displayName": fmt.Sprint("Mailing list ", i), "groupTypes": []string{"Unified"}, "mailEnabled": true})
		w.ok(err)
		s.lists = append(s.lists, id)
	}
	s.outer, s.inner, s.also = w.team("Outer", false), w.team("Inner", false), w.team("Also", false)
	s.join(s.outer, 0, 1, 2, 3, 4, 5, 6, 7)
	w.ok(w.tenant.AddMember(s.outer, s.inner))
	s.join(s.inner, 8, 9, 10, 11, 12, 13, 14, 15)
	s.join(s.also, 14, 15, 16, 17, 18, 19, 20, 21)
	w.choose(func(c *connection.Settings) { c.Groups = []string{s.outer, s.also} })
	m.prepare(s)
	w.relogin() // or a token that is kept would spare the request for one
	return s
}

func (s *stage) id(i int) string { return s.people[i].ID }

func (s *stage) join(group string, people ...int) {
	for _, i := range people {
		s.ok(s.tenant.AddMember(group, s.id(i)))
	}
}

func (s *stage) part(group string, people ...int) {
	for _, i := range people {
		s.ok(s.tenant.RemoveMember(group, s.id(i)))
	}
}

// shift makes members others, and others members.
func (s *stage) shift(group string, people ...int) {
	for _, i := range people {
		if slices.Contains(s.tenant.Members(group), s.id(i)) {
			s.part(group, i)
		} else {
			s.join(group, i)
		}
	}
}

// RoundTrip makes the mailbox report one of the stage's day, leaves the hushed
// out of the rounds of changes, and makes the pages of lists small.
func (s *stage) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.Contains(req.URL.RawQuery, "startswith") && strings.HasSuffix(req.URL.Path, "/users") {
		s.meanwhile.Do(func() {
			for i, p := range s.people {
				s.ok(s.tenant.Update(p.ID, tenant.Fields{"jobTitle": fmt.Sprint("Meanwhile ", i%3)}))
			}
		})
		req = req.Clone(req.Context())
		req.URL.RawQuery = strings.Replace(req.URL.RawQuery, "top=999", "top=5", 1)
	}
	paper := report{wires.Transport, func(rows []string) []string {
		for i, r := range rows {
			if _, rest, ok := strings.Cut(r, ","); ok {
				rows[i] = s.day.Format(time.DateOnly) + "," + rest
			}
		}
		return rows
	}}
	return edits{paper, "/delta", func(m map[string]any) {
		m["value"] = slices.DeleteFunc(m["value"].([]any), func(v any) bool { return s.hushed[v.(map[string]any)["id"].(string)] })
	}}.RoundTrip(req)
}

// inLanes lets the first run list people in parallel. Everybody is edited
// meanwhile, so that catching up takes several pages.
func (s *stage) inLanes() { s.engine.Lanes = 3 }

// unindexed is silent, and has no index of those who are stored.
func (s *stage) unindexed() {
	s.silent()
	f := s.fence()
	f.Index = job.Index{}
	_, err := s.store.Commit(s.ctx, s.conn, f, directory.Batch{})
	s.ok(err)
}

// known does a run that nothing disturbs, and notes what is stored then.
func (s *stage) known() {
	s.succeed()
	s.noted = snapshot{members: map[string][]string{}}
	for id := range s.truth() {
		s.noted.people = append(s.noted.people, id)
	}
	for _, g := range s.tenant.Groups() {
		if g.Team() || g.SecurityEnabled {
			s.noted.members[g.ID] = nil
			for _, id := range s.tenant.Members(g.ID) {
				if slices.Contains(s.noted.people, id) {
					s.noted.members[g.ID] = append(s.noted.members[g.ID], id)
				}
			}
		}
	}
}

// otherHoldings changes what the customer has bought, and the next day's
// mailboxes.
func (s *stage) otherHoldings() {
	skus := s.tenant.SKUs()
	skus[0].Enabled += 7
	s.ok(s.tenant.SetSKUs(append(skus[:len(skus)-1:len(skus)-1], sku(1, 5))))
	s.ok(s.tenant.RemoveMailbox(s.id(5)))
	s.day = s.day.AddDate(0, 0, 1)
}

// stirred has changes of every kind behind it, told by the delta links.
func (s *stage) stirred() {
	s.succeed()
	s.ok(s.tenant.Remove(s.id(1)))
	s.known()
	done, err := s.tenant.Apply(tenant.Bulk{Seed: 1, Edit: 14, Create: 3})
	s.ok(err)
	s.ok(s.tenant.Update(s.id(22), tenant.Fields{"jobTitle": "Newcomer"}))
	s.ok(s.tenant.Update(s.id(8), tenant.Fields{"manager": s.id(20)}))
	s.ok(s.tenant.Remove(s.id(0)))
	s.ok(s.tenant.Restore(s.id(1)))
	s.part(s.outer, 2)
	s.join(s.outer, 22)
	s.ok(s.tenant.AddMember(s.also, done.Created[0]))
	s.ok(s.tenant.AddMember(s.teams[0], done.Created[0]))
	for _, g := range slices.Concat(s.small, s.teams, s.lists) {
		s.ok(s.tenant.UpdateGroup(g, tenant.Fields{"description": "another one"}))
	}
	s.shift(s.teams[1], 6, 7, 9, 10)
	s.shift(s.teams[3], 6, 7, 9, 10)
	s.ok(s.tenant.RemoveGroup(s.small[0]))
	for i := range 2 {
		s.join(s.team(fmt.Sprint("New ", i), true), 5, 6, 22)
	}
	s.otherHoldings()
}

// silent has changes that no delta link tells of: everything is enumerated,
// and some are missing from that who left, and some who did not.
func (s *stage) silent() {
	s.known()
	_, err := s.tenant.Apply(tenant.Bulk{Seed: 2, Edit: 5, Create: 1})
	s.ok(err)
	s.ok(s.tenant.Purge(s.id(3)))
	s.ok(s.tenant.Remove(s.id(0)))
	s.part(s.outer, 2)
	s.join(s.outer, 22)
	s.shift(s.teams[1], 6, 7, 9, 10)
	s.ok(s.tenant.RemoveGroup(s.small[2]))
	s.ok(s.tenant.UpdateGroup(s.small[3], tenant.Fields{"displayName": "Renamed"}))
	s.otherHoldings()
	for _, id := range []string{s.id(0), s.id(3), s.id(16), s.small[2], s.small[4]} { // the third and the last are there
		s.hushed[id] = true
	}
	s.clock.Advance(8 * 24 * time.Hour) // the reporting lines are due too
	s.tenant.Forget()
}

// planned has a plan of removals of every kind, of whom some have returned.
func (s *stage) planned() {
	s.engine.Guard = connection.Guard{MaxCount: 3, MaxTeams: 1, MaxMemberships: 3}
	s.known()
	for _, i := range []int{0, 1, 3} {
		s.ok(s.tenant.Remove(s.id(i)))
	}
	s.part(s.outer, 2, 4)
	for _, g := range s.small[:3] {
		s.ok(s.tenant.RemoveGroup(g))
	}
	if r := s.run(); r.State != job.Held || r.Plan.Count != 5 || r.Plan.Teams != 3 || r.Plan.Memberships == 0 {
		s.Fatalf("no plan of every kind: %s %+v", r.State, r.Plan)
	}
	s.ok(s.tenant.Restore(s.id(1)))
	s.join(s.outer, 4)
	s.ok(s.tenant.RestoreGroup(s.small[0]))
	s.back = []string{s.id(1), s.id(4)}
}

// moved has people who were edited, left, left the scope and joined it.
func (s *stage) moved() {
	s.known()
	s.ok(s.tenant.Update(s.id(6), tenant.Fields{"displayName": "Another", "jobTitle": "Chief"}))
	s.shift(s.teams[0], 6)
	s.shift(s.teams[1], 6)
	s.ok(s.tenant.Remove(s.id(0)))
	s.part(s.outer, 2)
	s.join(s.outer, 22)
	s.asked = []string{s.id(6), s.id(0), s.id(2), s.id(22)}
}

func (s *stage) sync() []job.Run { return []job.Run{s.run()} }

func (s *stage) approve() []job.Run { return []job.Run{s.decision(job.Approve, s.fence().Plan.Hash)} }

func (s *stage) byName() (rs []job.Run) {
	for _, id := range s.asked {
		rs = append(rs, s.world.asked(job.Person, id))
	}
	return rs
}

// spared checks that nobody and nothing has gone that was stored and is at
// Microsoft, and that no removal of such waits.
func (s *stage) spared() {
	s.Helper()
	truth, stored := s.truth(), s.records()
	waits := func(l directory.Life) bool { return s.back == nil && l.Pending != "" } // a plan may wait for its decision
	for _, id := range s.noted.people {
		if r := stored[id]; truth[id] != nil && (!r.Active() || waits(r.Life)) {
			s.Errorf("%s is at Microsoft: archived %v, pending %q", id, !r.Active(), r.Pending)
		}
	}
	ts, _, err := s.store.Teams(s.ctx, s.conn, "", 1000)
	s.ok(err)
	for _, t := range ts {
		if _, there := s.tenant.Group(t.ID); !there {
			continue
		}
		if _, was := s.noted.members[t.ID]; was && (!t.Active() || waits(t.Life)) {
			s.Errorf("team %s is at Microsoft: archived %v, pending %q", t.DisplayName, !t.Active(), t.Pending)
		}
		rows, err := s.store.Rosters(s.ctx, s.conn, t.ID)
		s.ok(err)
		marks := map[string]directory.Marks{}
		for _, r := range rows {
			for _, m := range r.Members {
				marks[uuid.UUID(m.Key).String()] = m.Marks
			}
		}
		there := s.tenant.Members(t.ID)
		for _, id := range s.noted.members[t.ID] {
			if mark, is := marks[id]; slices.Contains(there, id) && !slices.Contains(s.back, id) && (!is || mark != 0 && s.back == nil) {
				s.Errorf("team %s: %s is a member at Microsoft: stored %v, marked %d", t.DisplayName, id, is, mark)
			}
		}
	}
}

// whole checks that all that is stored is what Microsoft holds.
func (s *stage) whole() {
	s.Helper()
	s.settledWhole()
	s.licensed()
	all, active := s.mailboxes()
	truth := s.truth()
	for _, p := range s.tenant.People() {
		m, ok := s.tenant.Mailbox(p.ID, s.day)
		if _, chosen := truth[p.ID]; !ok || !chosen {
			continue
		}
		active--
		if got := all[directory.MailboxID(p.UserPrincipalName)]; !got.Active() || got.Purpose != m.Purpose || got.Items != m.Items || got.Size != m.Used {
			s.Errorf("mailbox of %s: %+v, want %+v", p.UserPrincipalName, got, m)
		}
	}
	if active != 0 {
		s.Errorf("%d mailboxes more are stored than there are", active)
	}
}

// right checks what a run has done that says it has done it all.
func (s *stage) right() {
	s.Helper()
	if s.asked == nil && s.back == nil {
		s.whole()
		return
	}
	s.spared()
	truth, stored := s.truth(), s.records()
	for _, id := range append(slices.Clone(s.noted.people), s.asked...) {
		if s.asked != nil && !slices.Contains(s.asked, id) {
			continue
		}
		if r := stored[id]; r.Active() != (truth[id] != nil) || r.Pending != "" {
			s.Errorf("%s: stored and active %v, pending %q; at Microsoft %v", id, r.Active(), r.Pending, truth[id] != nil)
		}
	}
}
