package tenant

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// MaxTeams bounds the teams to generate; a fifth as many security groups come
// with them.
const MaxTeams = MaxGroups / 2

// checkGroups says what is wrong with the groups that a spec asks for.
func (s Spec) checkGroups() error {
	switch {
	case s.Teams < 0 || s.Teams > MaxTeams:
		return fmt.Errorf("teams %d: %w: want 0 to %d", s.Teams, ErrInvalid, MaxTeams)
	case s.Memberships < 0 || s.Memberships > min(s.People*s.Teams, MaxMemberships):
		return fmt.Errorf("memberships %d: %w: want 0 to %d", s.Memberships, ErrInvalid, min(s.People*s.Teams, MaxMemberships))
	}
	return nil
}

// generateGroups adds the teams, a fifth as many security groups that hold
// teams and, in a circle, each other, and exactly so many memberships of
// people in the teams. It uses a generator of its own, so that people are the
// same with and without groups.
func (t *Tenant) generateGroups(teams, memberships int) error {
	d := t.Directory
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.groups.rng
	first := int32(len(d.groups.records))
	for i := range teams {
		if _, err := d.insertGroup(team(r, i, t.Domain)); err != nil {
			return err
		}
	}
	d.enroll(r, first, sizes(teams, memberships, len(d.records)))
	guards := int32(teams / 5)
	base := int32(len(d.groups.records))
	for i := range guards {
		if _, err := d.insertGroup(guard(r, int(i))); err != nil {
			return err
		}
	}
	for i := range guards {
		for k := range int32(5) {
			d.link(base+i, ^(first + i*5 + k))
		}
		if next := (i + 1) % guards; next != i {
			d.link(base+i, ^(base + next))
		}
	}
	return nil
}

// sizes shares memberships out: a quarter to the first team, as far as there
// are people, and the others alike.
func sizes(teams, memberships, people int) []int {
	out := make([]int, teams)
	if teams == 0 {
		return out
	}
	out[0] = min(people, max((memberships+teams-1)/teams, memberships/4))
	for i := 1; i < teams; i++ {
		rest := memberships - out[0]
		out[i] = rest / (teams - 1)
		if i <= rest%(teams-1) {
			out[i]++
		}
	}
	return out
}

// enroll gives each team so many people. The log tells half of a team's first
// members and comes back to it later, so that a large team is on several pages
// with others in between.
func (d *Directory) enroll(r *rand.Rand, first int32, sizes []int) {
	n := len(d.records)
	starts, steps := make([]int, len(sizes)), make([]int, len(sizes))
	total := 0
	for i, size := range sizes {
		total += size
		if n > 0 {
			starts[i], steps[i] = r.IntN(n), stride(r, n)
		}
		d.groups.records[int(first)+i].slots = make([]slot, 0, size)
	}
	d.groups.reserve(n, total)
	for half := range 2 {
		for i, size := range sizes {
			from, to := 0, size/2
			if half == 1 {
				from, to = to, size
			}
			for k := from; k < to; k++ {
				d.link(first+int32(i), int32((starts[i]+k*steps[i])%n))
			}
		}
	}
}

// reserve makes room for the memberships of n people, who share them alike.
func (s *groupStore) reserve(n, memberships int) {
	if n == 0 {
		return
	}
	each := memberships/n + memberships/n/4 + 1
	all := make([]ref, n*each)
	s.of = make([][]ref, n)
	for i := range s.of {
		s.of[i] = all[i*each : i*each : (i+1)*each]
	}
	s.log = append(make([]ref, 0, len(s.log)+memberships+memberships/8), s.log...)
}

// stride is a step that meets all of n places before it repeats one.
func stride(r *rand.Rand, n int) int {
	for {
		step := 1 + r.IntN(n)
		a, b := step, n
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return step
		}
	}
}

// team is a Microsoft 365 group with a Team. Every tenth has a name that
// breaks naive code.
func team(r *rand.Rand, i int, domain string) Group {
	name := departments[r.IntN(len(departments))] + " " + offices[r.IntN(len(offices))] + " " + strconv.Itoa(i)
	nick := "team-" + strconv.Itoa(i)
	g := Group{
		ID: GUID(r), DisplayName: name, Description: "Everything about " + name,
		Mail: nick + "@" + domain, MailNickname: nick, MailEnabled: true, Visibility: []string{"Public", "Private"}[r.IntN(2)],
		GroupTypes: unified, ResourceProvisioningOptions: isTeam,
	}
	if i%10 == 9 {
		g.DisplayName = awkwardTeams[i/10%len(awkwardTeams)]
	}
	if r.IntN(4) == 0 {
		g.Description = ""
	}
	return g
}

// guard is a security group without mail; some are dynamic.
func guard(r *rand.Rand, i int) Group {
	g := Group{ID: GUID(r), DisplayName: "SEC " + strconv.Itoa(i), MailNickname: "sec-" + strconv.Itoa(i), SecurityEnabled: true}
	if i%4 == 3 {
		g.GroupTypes, g.MembershipRule = dynamic, `user.department -eq "`+departments[r.IntN(len(departments))]+`"`
	}
	return g
}

// Groups share these, since nobody writes to a Group's slices.
var (
	unified = []string{"Unified"}
	dynamic = []string{"DynamicMembership"}
	isTeam  = []string{"Team"}
)

var awkwardTeams = []string{
	"🚀 Launch 👩‍👩‍👧", "فريق المبيعات", `<script>alert("team")</script>`, `=HYPERLINK("http://evil.example","x")`,
	"O'Neil & Sons", strings.Repeat("Donaudampfschifffahrt", 12), "Zoe\u0308's team", "Same Name", "Same Name", "דנה \u202eteam\u202c",
}
