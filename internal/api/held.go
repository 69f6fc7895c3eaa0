package api

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"rollcall/internal/directory"
)

// proposals feeds the removals that wait in a partition: those that are held
// for a human, and, for a preview, also those that are left to a later run.
type proposals struct {
	*API
	part    string
	preview bool
}

// lists are where removals of a kind wait.
func (p proposals) lists(k directory.Kind) []directory.List {
	held, pending := directory.HeldPeople, directory.PendingPeople
	switch k {
	case directory.Teams:
		held, pending = directory.HeldTeams, directory.PendingTeams
	case directory.Memberships:
		held, pending = directory.HeldMemberships, directory.PendingMemberships
	}
	if p.preview {
		return []directory.List{held, pending}
	}
	return []directory.List{held}
}

// listed lists up to n IDs on the lists of a kind after the given one, in
// order.
func (p proposals) listed(ctx context.Context, k directory.Kind, after string, n int) (ids []string, err error) {
	for _, l := range p.lists(k) {
		some, err := p.Removals.Listed(ctx, p.part, l, after, n)
		if err != nil {
			return nil, err
		}
		ids = append(ids, some...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return ids[:min(n, len(ids))], nil
}

// waits reports whether the removal is to be shown.
func (p proposals) waits(l *directory.Life) bool {
	return l.Held || p.preview && l.Pending != ""
}

// of feeds the removals of a kind.
func (p proposals) of(k directory.Kind, at *string) feed[Removal] {
	switch k {
	case directory.Teams:
		return p.records(k, at, func(ctx context.Context, ids []string) (map[string]Removal, error) {
			stored, err := p.Teams.TeamRecords(ctx, p.part, ids)
			out := make(map[string]Removal, len(stored))
			for _, t := range stored {
				if p.waits(&t.Life) {
					out[t.ID] = Removal{ID: t.ID, DisplayName: t.DisplayName, Mail: t.Mail, Reason: string(t.Pending)}
				}
			}
			return out, err
		})
	case directory.Memberships:
		return p.memberships(at)
	}
	return p.records(k, at, func(ctx context.Context, ids []string) (map[string]Removal, error) {
		stored, err := p.Directory.Records(ctx, p.part, ids)
		out := make(map[string]Removal, len(stored))
		for _, r := range stored {
			if p.waits(&r.Life) { // or returned since the list was read
				out[r.ID] = Removal{
					ID: r.ID, DisplayName: r.DisplayName, Mail: r.Mail, UserPrincipalName: r.UserPrincipalName, Reason: string(r.Pending),
				}
			}
		}
		return out, err
	})
}

// records feeds what is on the lists of a kind, as far as read finds it to wait.
func (p proposals) records(k directory.Kind, at *string, read func(context.Context, []string) (map[string]Removal, error)) feed[Removal] {
	return func(ctx context.Context, n int) (page []Removal, more bool, err error) {
		ids, err := p.listed(ctx, k, *at, n)
		if err != nil {
			return nil, false, err
		}
		found, err := read(ctx, ids)
		if err != nil {
			return nil, false, err
		}
		for _, id := range ids {
			if r, ok := found[id]; ok {
				page = append(page, r)
			}
		}
		*at = ""
		if len(ids) == n {
			*at = ids[n-1]
		}
		return page, *at != "", nil
	}
}

// maxHeldTeams is how many teams are looked into for one answer, each by a
// query of its own.
const maxHeldTeams = 200

// memberships feeds the memberships whose end is proposed, team by team. Its
// cursor is the ID of a team that is done with, or that of one under way and
// the last member's.
func (p proposals) memberships(at *string) feed[Removal] {
	team, member, within := strings.Cut(*at, "/")
	var teams, members []string // those still to be listed, the members of team
	left := maxHeldTeams
	return func(ctx context.Context, n int) (page []Removal, more bool, err error) {
		next := *at // is not moved before all has been read
		for more = true; more && len(page) < n; {
			switch {
			case within:
				if members, err = p.members(ctx, team, member); err != nil {
					return nil, false, err
				}
				within = false
			case len(members) > 0:
				for _, person := range members[:min(n-len(page), len(members))] {
					page = append(page, Removal{Team: team, Person: person})
					members, next = members[1:], team+"/"+person
				}
			case left == 0:
				more = false // the next page begins after this team
			case len(teams) == 0:
				if teams, err = p.listed(ctx, directory.Memberships, team, min(chunk, left)); err != nil {
					return nil, false, err
				}
				if len(teams) == 0 {
					next, more = "", false
				}
			default:
				team, teams = teams[0], teams[1:]
				if members, err = p.members(ctx, team, ""); err != nil {
					return nil, false, err
				}
				next = team
				left--
			}
		}
		if err := p.name(ctx, page); err != nil {
			return nil, false, err
		}
		*at = next
		return page, more, nil
	}
}

// name puts the names of teams and people into a page of memberships.
func (p proposals) name(ctx context.Context, page []Removal) error {
	if len(page) == 0 {
		return nil
	}
	var people, teams []string
	for i := range page {
		people, teams = append(people, page[i].Person), append(teams, page[i].Team)
	}
	slices.Sort(people)
	persons, err := p.Directory.Records(ctx, p.part, slices.Compact(people))
	if err != nil {
		return err
	}
	groups, err := p.Teams.TeamRecords(ctx, p.part, slices.Compact(teams)) // in order already
	if err != nil {
		return err
	}
	for i := range page {
		r := &page[i]
		r.PersonName, r.TeamName = persons[r.Person].DisplayName, groups[r.Team].DisplayName
	}
	return nil
}

// members is those members of a team after the given one whose membership is
// proposed to end, in ID order.
func (p proposals) members(ctx context.Context, team, after string) ([]string, error) {
	rows, err := p.Teams.Rosters(ctx, p.part, team)
	if err != nil {
		return nil, err
	}
	marks := directory.MarkHeld
	if p.preview {
		marks |= directory.MarkPending
	}
	var keys [][16]byte
	for i := range rows {
		for _, m := range rows[i].Members {
			if m.Marks&marks != 0 {
				keys = append(keys, m.Key)
			}
		}
	}
	slices.SortFunc(keys, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	ids, _ := following(keys, after, len(keys))
	return ids, nil
}
