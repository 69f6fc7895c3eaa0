package main

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/fault"
)

// truth is what should be stored of a tenant, read from the stand-in's own
// directory and without any code of the handler: by kind and ID, what the
// product sees of it.
type truth struct {
	people, teams, licenses, positions, mailboxes map[string]any
	// members are of every team that was ever there: those of an archived one
	// stay as they were.
	members map[string]map[string]bool
	day     string // on which mailboxes were read
}

// kind is what became of one kind of record.
type kind struct{ Created, Updated, Archived, Reactivated int }

// figures are what a run must report.
type figures struct {
	People, Teams, Memberships, Licenses, Positions, Mailboxes kind
}

// look reads the directory as it is now.
func (st *story) look() truth {
	t := truth{
		people: map[string]any{}, teams: map[string]any{}, licenses: map[string]any{}, positions: map[string]any{}, mailboxes: map[string]any{},
		members: maps.Clone(st.truth.members), day: time.Now().UTC().Format(time.DateOnly),
	}
	if t.members == nil {
		t.members = map[string]map[string]bool{}
	}
	scope := map[string]bool{}
	if st.scope != "" {
		for _, id := range st.tenant.TransitiveUsers(st.scope) {
			scope[id] = true
		}
	}
	inScope := func(id string) bool { return (st.scope == "" || scope[id]) && !st.erased[id] }
	for id, p := range sandbox.Truth(st.tenant.People()) {
		if !inScope(id) {
			continue
		}
		t.people[id] = p
		if title, ok := p["jobTitle"].(string); ok {
			t.positions[cases.Fold().String(strings.Join(strings.Fields(norm.NFKC.String(title)), " "))] = true
		}
	}
	for _, g := range st.tenant.Groups() {
		if !g.Team() {
			continue
		}
		t.teams[g.ID] = []string{g.DisplayName, g.Description, g.Mail, g.Visibility}
		now := map[string]bool{}
		for _, id := range st.tenant.Members(g.ID) {
			// Who is out of scope is not taken in, and stays if there before.
			if _, person := st.tenant.Person(id); person && (inScope(id) || t.members[g.ID][id] && !st.erased[id]) {
				now[id] = true
			}
		}
		t.members[g.ID] = now
	}
	for _, s := range st.tenant.SKUs() {
		t.licenses[s.ID] = [2]int{s.Enabled + s.Warning, *s.Consumed}
	}
	came := false
	for id := range t.people {
		_, before := st.truth.people[id]
		came = came || !before
	}
	// A report a day, and again where a group is synced that somebody joined.
	if t.mailboxes = st.truth.mailboxes; st.mailboxes && (t.day != st.truth.day || st.scope != "" && came) {
		made := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -2)
		t.mailboxes = map[string]any{}
		for _, p := range st.tenant.People() {
			// Who leaves the group is archived after the report was read.
			_, before := st.truth.people[p.ID]
			m, ok := st.tenant.Mailbox(p.ID, made)
			if ok && (inScope(p.ID) || before && !st.erased[p.ID]) {
				t.mailboxes[p.ID] = m
			}
		}
	}
	return t
}

// expect looks at the directory and says what a run must report since the
// last look.
func (st *story) expect() figures {
	was := st.truth
	st.truth = st.look()
	f := figures{
		People: st.differ("person", was.people, st.truth.people), Teams: st.differ("team", was.teams, st.truth.teams),
		Licenses:  st.differ("license", was.licenses, st.truth.licenses),
		Positions: st.differ("position", was.positions, st.truth.positions), Mailboxes: st.differ("mailbox", was.mailboxes, st.truth.mailboxes),
	}
	for id, now := range st.truth.members {
		for who := range now {
			if !was.members[id][who] {
				f.Memberships.Created++
			}
		}
		for who := range was.members[id] {
			if !now[who] {
				f.Memberships.Archived++
			}
		}
	}
	return f
}

// differ counts what a reader of both sees; who was there at any earlier look
// comes back, and is not new.
func (st *story) differ(what string, was, now map[string]any) (k kind) {
	for id, v := range now {
		old, present := was[id]
		switch {
		case !present && !st.ever[what+id]:
			k.Created++
		case !present:
			k.Reactivated++
		case !reflect.DeepEqual(old, v):
			k.Updated++
		}
		st.ever[what+id] = true
	}
	for id := range was {
		if _, here := now[id]; !here {
			k.Archived++
		}
	}
	return k
}

// outer are the kinds of requests that reach Graph by themselves. Of the others
// that the handler makes, all go within a batch.
var outer = []string{
	fault.ListedUsers, fault.UsersCount, fault.UsersDelta, fault.GroupsDelta, fault.GroupMembers, fault.TransitiveMembers, fault.ByIDs, fault.Batch, fault.SubscribedSKUs,
	fault.MailboxReport, fault.ReportDownload,
}

// calls is how many requests Microsoft has counted so far. Those with which a
// consent is verified are of other kinds.
func (st *story) calls() (n int) {
	counted := st.tenant.Calls()
	for _, path := range outer {
		n += counted[path]
	}
	return n
}

// compare holds what the machine API answers against the directory.
func (t *truth) compare(stored *sandbox.State) error {
	people := make(map[string]map[string]any, len(t.people))
	for id, p := range t.people {
		people[id] = p.(map[string]any)
	}
	if err := sandbox.Compare(stored.People, people); err != nil {
		return err
	}
	for what, want := range map[string]map[string]any{"team": t.teams, "license": t.licenses, "position": t.positions, "mailbox": t.mailboxes} {
		active := 0
		for id, th := range stored.Things[what] {
			if th.Active {
				active++
			}
			if _, present := want[id]; (what == "team" || what == "license") && present != th.Active {
				return fmt.Errorf("%s %s: active %v, at Microsoft %v", what, id, th.Active, present)
			}
		}
		if active != len(want) {
			return fmt.Errorf("%d of kind %s are stored, the directory holds %d", active, what, len(want))
		}
	}
	return sameMembers(t.members, stored.Members)
}

// sameMembers compares rosters; a team without members is as one that is not
// there.
func sameMembers(want, got map[string]map[string]bool) error {
	for _, pair := range [][2]map[string]map[string]bool{{want, got}, {got, want}} {
		for team := range pair[0] {
			if w, g := want[team], got[team]; !maps.Equal(w, g) {
				return fmt.Errorf("team %s has %d members and should have %d, or it has others", team, len(g), len(w))
			}
		}
	}
	return nil
}

// numbers are the directory's totals for the table.
func (t *truth) numbers() (memberships, consumed, total int) {
	for id, m := range t.members {
		if _, present := t.teams[id]; present {
			memberships += len(m)
		}
	}
	for _, l := range t.licenses {
		n := l.([2]int)
		total, consumed = total+n[0], consumed+n[1]
	}
	return memberships, consumed, total
}
