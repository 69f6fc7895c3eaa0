package api

import (
	"context"
	"fmt"
	"slices"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// pick is those of all that are named.
func pick[T any](all []T, id func(T) string, ids []string) map[string]T {
	out := map[string]T{}
	for _, v := range all {
		if slices.Contains(ids, id(v)) {
			out[id(v)] = v
		}
	}
	return out
}

func (f *fake) Teams(_ context.Context, c, after string, limit int) ([]directory.TeamRecord, string, error) {
	return cut(f.teams[c], func(t directory.TeamRecord) string { return t.ID }, after, limit, f.read())
}

func (f *fake) TeamRecords(_ context.Context, c string, ids []string) (map[string]directory.TeamRecord, error) {
	return pick(f.teams[c], func(t directory.TeamRecord) string { return t.ID }, ids), f.err
}

func (f *fake) Rosters(_ context.Context, _, team string) ([]directory.Roster, error) {
	return f.rosters[team], f.err
}

func (f *fake) TeamsOf(_ context.Context, _ string, people [][16]byte) (map[[16]byte][]string, error) {
	out := map[[16]byte][]string{}
	for team, rows := range f.rosters {
		for _, row := range rows {
			for _, p := range people {
				if _, ok := row.Find(p); ok {
					out[p] = append(out[p], team)
				}
			}
		}
	}
	return out, f.err
}

func (f *fake) Positions(_ context.Context, c, after string, limit int) ([]directory.PositionRecord, string, error) {
	return cut(f.positions[c], func(p directory.PositionRecord) string { return p.ID }, after, limit, f.read())
}

func (f *fake) PositionRecords(_ context.Context, c string, ids []string) (map[string]directory.PositionRecord, error) {
	return pick(f.positions[c], func(p directory.PositionRecord) string { return p.ID }, ids), f.err
}

func (f *fake) Licenses(_ context.Context, c string) ([]directory.LicenseRecord, error) {
	return f.licenses[c], f.err
}

func (f *fake) Mailboxes(_ context.Context, c, after string, limit int) ([]directory.MailboxRecord, string, error) {
	return cut(f.mailboxes[c], func(m directory.MailboxRecord) string { return m.ID }, after, limit, f.read())
}

func (f *fake) Group(_ context.Context, _ connection.Access, id string) (directory.Team, error) {
	if f.group == nil {
		return directory.Team{ID: id}, nil
	}
	return f.group(id)
}

func (f *fake) SearchGroups(_ context.Context, a connection.Access, text string) ([]directory.Team, error) {
	return f.search(a.Tenant, text)
}

func (f *fake) Preview(_ context.Context, id, actor string) (string, error) {
	return f.ask(job.Preview, id, "", actor)
}

func (f *fake) Person(_ context.Context, id, person, actor string) (string, error) {
	return f.ask(job.Person, id, person, actor)
}

func (f *fake) Erase(_ context.Context, id, person, actor string) (string, error) {
	return f.ask(job.Erase, id, person, actor)
}

const (
	team1    = "10000000-0000-4000-8000-000000000001"
	team2    = "10000000-0000-4000-8000-000000000002"
	position = "5c1b9d0e7fa2384466d1"
)

// personID is the ID of the n-th person of a crowd.
func personID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// hold stores two teams with members, a position, a license and a mailbox. The
// first team's members are the people of the given numbers, in order.
func (b *bench) hold(id string, members ...int) {
	life := directory.Life{Created: now, Changed: 7}
	b.teams[id] = []directory.TeamRecord{
		{Team: directory.Team{ID: team1, DisplayName: "Compilers", Mail: "c@contoso.com", Kind: directory.MicrosoftTeam, Visibility: "Private"}, Life: life},
		{Team: directory.Team{ID: team2, DisplayName: "Admirals", Kind: directory.SecurityGroup, Dynamic: true}, Life: life},
	}
	// Two rows, as of a split roster.
	rows := []directory.Roster{{Team: team1, Bucket: "0"}, {Team: team1, Bucket: "1"}}
	for _, n := range members {
		k, _ := directory.Key(personID(n))
		rows[0].Members = append(rows[0].Members, directory.Member{Key: k})
	}
	k, _ := directory.Key(team2)
	rows[1].Members = []directory.Member{{Key: k}} // a user who is not stored
	b.rosters[team1] = rows
	b.positions[id] = []directory.PositionRecord{{Position: directory.Position{ID: position, Title: "Rear Admiral", People: 2}, Life: life}}
	b.licenses[id] = []directory.LicenseRecord{
		{License: directory.License{ID: object, PartNumber: "E5", Status: "Enabled", Total: 10, Consumed: 4}, Life: life},
		{License: directory.License{ID: tenant, PartNumber: "E3", Status: "Suspended", Total: 5, Consumed: 7}, Life: life},
		{License: directory.License{ID: team1, PartNumber: "F1", Total: 100, Consumed: 1}, Life: directory.Life{Created: now, Archived: now, Reason: directory.Missing}},
	}
	b.mailboxes[id] = []directory.MailboxRecord{{Mailbox: directory.Mailbox{
		ID: object, UserPrincipalName: "u@contoso.com", Purpose: "shared", CreatedDate: "2019-04-01", LastActivity: "2026-11-18",
		Items: 3, Size: 1 << 40, Quota: 1 << 41, HasArchive: true,
	}, Life: life}}
}

// leaveOut stores a run that was denied a category.
func (b *bench) leaveOut(id, what, remedy string) {
	b.runs[id] = append(b.runs[id], job.Run{ID: "r", State: job.Succeeded, Began: now, Ended: now, Skipped: []job.Skipped{
		{What: what, Code: "Authorization_RequestDenied", Message: "Denied.", Remedy: remedy, Consent: true}, {What: "licenses", Code: "empty_answer", Message: "Odd.", Remedy: "Also."},
	}})
}
