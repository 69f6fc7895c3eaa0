package tables

import (
	"context"
	"slices"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// Teams lists stored teams like [Store.People].
func (s *Store) Teams(ctx context.Context, part, after string, limit int) (ts []directory.TeamRecord, next string, err error) {
	defer fault.Wrap(&err, "tables: teams of %s", part)
	return page[directory.TeamRecord](ctx, s, part, teamPrefix, after, limit)
}

// TeamRecords reads the stored records of the teams named; what is not stored
// is not in the result.
func (s *Store) TeamRecords(ctx context.Context, part string, ids []string) (_ map[string]directory.TeamRecord, err error) {
	defer fault.Wrap(&err, "tables: %d teams of %s", len(ids), part)
	return records[directory.TeamRecord](ctx, s, part, teamPrefix, ids)
}

// Rosters returns all rows of the team's members in bucket order; none if it
// has no members. No row is without members.
func (s *Store) Rosters(ctx context.Context, part, team string) (rs []directory.Roster, err error) {
	defer fault.Wrap(&err, "tables: rosters of team %s of %s", team, part)
	for r, err := range s.rows(ctx, part, spanOf(rosterPrefix+team+"!", "", maxPage)) {
		if err != nil {
			return nil, err
		}
		ros, err := toRoster(r)
		if err != nil {
			return nil, err
		}
		rs = append(rs, ros)
	}
	return rs, nil
}

// TeamsOf returns the teams, in ID order, of which each of the people is a
// direct member; who is in none is not in the result. It reads all rosters of
// the partition, so it is for few people at a time.
func (s *Store) TeamsOf(ctx context.Context, part string, people [][16]byte) (_ map[[16]byte][]string, err error) {
	defer fault.Wrap(&err, "tables: teams of %d people of %s", len(people), part)
	teams := make(map[[16]byte][]string, len(people))
	for r, err := range s.rows(ctx, part, spanOf(rosterPrefix, "", maxPage)) {
		if err != nil {
			return nil, err
		}
		ros, err := toRoster(r)
		if err != nil {
			return nil, err
		}
		for _, p := range people {
			if _, found := ros.Find(p); found && !slices.Contains(teams[p], ros.Team) {
				teams[p] = append(teams[p], ros.Team)
			}
		}
	}
	return teams, nil
}
