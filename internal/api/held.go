package api

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"rollcall/internal/directory"
)

// heldPeople feeds the people whose removal waits for a human.
func (a *API) heldPeople(id string, at *string) feed[Removal] {
	return a.heldRecords(id, directory.HeldPeople, at, func(ctx context.Context, ids []string) (map[string]Removal, error) {
		stored, err := a.Directory.Records(ctx, id, ids)
		out := make(map[string]Removal, len(stored))
		for _, r := range stored {
			if r.Held { // or returned since the list was read
				out[r.ID] = Removal{
					ID: r.ID, DisplayName: r.DisplayName, Mail: r.Mail, UserPrincipalName: r.UserPrincipalName, Reason: string(r.Pending),
				}
			}
		}
		return out, err
	})
}

// heldTeams feeds the teams whose removal waits for a human.
func (a *API) heldTeams(id string, at *string) feed[Removal] {
	return a.heldRecords(id, directory.HeldTeams, at, func(ctx context.Context, ids []string) (map[string]Removal, error) {
		stored, err := a.Teams.TeamRecords(ctx, id, ids)
		out := make(map[string]Removal, len(stored))
		for _, t := range stored {
			if t.Held {
				out[t.ID] = Removal{ID: t.ID, DisplayName: t.DisplayName, Mail: t.Mail, Reason: string(t.Pending)}
			}
		}
		return out, err
	})
}

// heldRecords feeds what is on a list, as far as read finds it to be held.
func (a *API) heldRecords(id string, l directory.List, at *string, read func(context.Context, []string) (map[string]Removal, error)) feed[Removal] {
	return func(ctx context.Context, n int) (page []Removal, more bool, err error) {
		ids, err := a.Removals.Listed(ctx, id, l, *at, n)
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
const maxHeldTeams = 1000

// heldMemberships feeds the memberships whose removal waits for a human, team
// by team. Its cursor is the ID of a team that is done with, or that of one
// under way and the last member's.
func (a *API) heldMemberships(id string, at *string) feed[Removal] {
	team, member, within := strings.Cut(*at, "/")
	var teams, members []string // those still to be listed, the members of team
	left := maxHeldTeams
	return func(ctx context.Context, n int) (page []Removal, more bool, err error) {
		if within {
			if members, err = a.heldMembers(ctx, id, team, member); err != nil {
				return nil, false, err
			}
			within = false
		}
		for ; len(members) == 0; left-- {
			if left == 0 {
				return nil, false, nil
			}
			if len(teams) == 0 {
				if teams, err = a.Removals.Listed(ctx, id, directory.HeldMemberships, team, min(chunk, left)); err != nil {
					return nil, false, err
				}
			}
			if len(teams) == 0 {
				*at = ""
				return nil, false, nil
			}
			if members, err = a.heldMembers(ctx, id, teams[0], ""); err != nil {
				return nil, false, err
			}
			team, teams = teams[0], teams[1:]
			*at = team
		}
		for _, person := range members[:min(n, len(members))] {
			page = append(page, Removal{Team: team, Person: person})
			*at = team + "/" + person
		}
		members = members[len(page):]
		return page, true, nil
	}
}

// heldMembers is those members of a team after the given one whose membership
// waits for a human to be ended, in ID order.
func (a *API) heldMembers(ctx context.Context, id, team, after string) ([]string, error) {
	rows, err := a.Teams.Rosters(ctx, id, team)
	if err != nil {
		return nil, err
	}
	var keys [][16]byte
	for i := range rows {
		for _, m := range rows[i].Members {
			if m.Marks&directory.MarkHeld != 0 {
				keys = append(keys, m.Key)
			}
		}
	}
	slices.SortFunc(keys, func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) })
	ids, _ := following(keys, after, len(keys))
	return ids, nil
}
