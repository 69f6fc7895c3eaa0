package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// one is what a run for one person has found out: from Microsoft, then from
// what is stored.
type one struct {
	*worker
	id    string
	key   [16]byte
	item  *directory.Item // nil if the tenant does not hold the person
	why   directory.Reason
	prior *directory.Record // nil if not stored
	next  directory.Record
	// member is false if there are scope groups, and the person is in none;
	// wanted is whether the settings want the person.
	member, wanted bool
	// lifted are the marks of an erasure that end with this run.
	lifted       []string
	joined, left []string // teams
	// denied is true if Microsoft does not tell the person's groups.
	denied bool
	steps  []job.Step
}

func (p *one) step(name, result, detail string, args ...any) {
	p.steps = append(p.steps, job.Step{Name: name, Result: result, Detail: fmt.Sprintf(detail, args...)})
}

// person brings one person up to date, as a full run would. What it finds is
// noted, step by step, before anything is written: a slice that goes on after
// a crash would find what the one before has written.
func (w *worker) person(ctx context.Context) error {
	p := &one{worker: w, id: w.fence.Run.Person}
	var ok bool
	if p.key, ok = directory.Key(p.id); !ok {
		return fault.New(fault.Invalid, "person's ID is no GUID")
	}
	for _, look := range []func(context.Context) error{p.find, p.place, p.merge, p.findTeams} {
		if err := look(ctx); err != nil {
			return err
		}
	}
	if err := p.record(ctx); err != nil {
		return err
	}
	return p.write(ctx)
}

// find asks Microsoft for the person. Absence takes two answers: that no such
// user can be read, and that the tenant holds none.
func (p *one) find(ctx context.Context) error {
	stored, err := p.Store.Records(ctx, p.part, []string{p.id})
	if err != nil {
		return err
	}
	if r, ok := stored[p.id]; ok {
		p.prior = &r
	}
	items, err := p.Graph.Whole(ctx, p.conn.Access(), []string{p.id}, p.properties())
	if err != nil {
		return err
	}
	if len(items) > 0 {
		if p.isErased(p.id) && !p.mayLift() {
			p.step("found", "erased", "The person has been erased since this sync was asked for, or without anybody's asking for it. The erasure stands; ask for another sync to end it.")
			return nil
		}
		p.item = &items[0]
		p.item.HasManager = true // whole, or not wanted: then nobody has one
		for _, id := range []string{p.id, directory.MailboxID(p.item.UserPrincipalName)} {
			if p.isErased(id) {
				p.lifted = append(p.lifted, id)
			}
		}
		detail := "Microsoft knows this user."
		if len(p.lifted) > 0 {
			detail = "Microsoft knows this user. The person had been erased here, which this sync by hand has ended."
		}
		p.step("found", "present", "%s", detail)
		return nil
	}
	exists, err := p.Graph.Existing(ctx, p.conn.Access(), directory.People, []string{p.id})
	if err != nil {
		return err
	}
	if len(exists) > 0 {
		return fault.New(fault.Unknown, "user %s exists and cannot be read", p.id)
	}
	restorable, err := p.Graph.DeletedPeople(ctx, p.conn.Access(), []string{p.id})
	if err != nil {
		return err
	}
	if p.why = directory.Deleted; restorable[p.id] {
		p.why = directory.SoftDeleted
		p.step("found", "restorable", "The user was deleted, and the customer can still restore the account.")
		return nil
	}
	p.step("found", "gone", "Microsoft knows no such user, not even a deleted one.")
	return nil
}

// mayLift reports whether this run may end an erasure of the person: somebody
// has asked for it, and nobody for an erasure since.
func (p *one) mayLift() bool {
	for _, a := range p.conn.Asks { // newest first
		switch {
		case a.Person != p.id:
		case a.Trigger == string(job.Erase):
			return false
		case a.Run == p.fence.Run.ID:
			return true
		}
	}
	return false
}

// place tells whether the settings want the person. Scope groups are
// asked for this very person.
func (p *one) place(ctx context.Context) error {
	if err := p.checkGroups(ctx); err != nil || p.item == nil {
		return err
	}
	p.member, p.wanted = true, true
	if groups := p.chosen.Groups; len(groups) > 0 {
		in, err := p.Graph.InGroups(ctx, p.conn.Access(), []string{p.id}, groups)
		if err != nil {
			return err
		}
		var known bool
		if p.member, known = in[p.id]; !known {
			return fault.New(fault.Unknown, "user %s can be read, and has no groups", p.id)
		}
	}
	s := &p.chosen
	switch {
	case !s.Guests && p.item.UserType == "Guest":
		p.wanted = false
		p.step("scope", "guest", "The user is a guest, and the settings leave guests out.")
	case !s.Disabled && p.item.AccountEnabled != nil && !*p.item.AccountEnabled:
		p.wanted = false
		p.step("scope", "disabled", "The account is disabled, and the settings leave disabled accounts out.")
	case !p.member:
		if p.fence.Scope.Problem != nil {
			p.wanted = true // nobody has left while a group cannot be read
			p.step("scope", "unknown", "The user is in no scope group, but one of these cannot be read. So nobody is removed.")
			return nil
		}
		p.wanted = false
		p.step("scope", "notInGroups", "The user is in none of the scope groups, nor in a group within them.")
	default:
		p.step("scope", "in", "The settings want this user.")
	}
	return nil
}

// checkGroups looks whether each scope group has members. As in a full run, one
// that is gone, forbidden or empty lets no removal take effect.
func (w *worker) checkGroups(ctx context.Context) error {
	for _, group := range w.chosen.Groups {
		for link, some := "", false; !some; {
			page, err := w.Graph.Transitive(ctx, w.conn.Access(), group, link)
			if err != nil && !fault.Is(err, fault.NotFound) && !denied(err) {
				return err
			}
			some, link = len(page.IDs) > 0, page.Next
			if err != nil || !some && link == "" {
				w.scopeProblem(group, "scope_group_unreadable", "It is gone, empty, or not to be read.",
					"Check the group in Microsoft Entra and the permissions of Rollcall, or take the group out of the connection's settings.")
				return nil
			}
		}
	}
	return nil
}

// merge makes the person's next record, and says what differs by name.
func (p *one) merge(context.Context) error {
	f := &folded{entry: entry{prior: p.prior}}
	switch {
	case p.item != nil && p.wanted && (p.member || p.prior != nil && p.prior.Active()):
		f.merge(p.prior, *p.item)
	case p.prior == nil:
		return nil
	case p.item == nil && p.prior.Active() && !p.prior.Kept && !p.prior.Held:
		f.next = *p.prior
		f.next.Pending = p.why
	case p.item != nil && p.prior.Active():
		f.leave(p.prior, *p.item, directory.OutOfScope)
	default:
		f.next = *p.prior
	}
	p.next = f.next
	if p.item == nil {
		return nil
	}
	var before directory.Person
	if p.prior != nil {
		before = p.prior.Person
	}
	differ := directory.Difference(&before, &p.next.Person).All()
	_, manager := differ["manager"]
	delete(differ, "manager")
	switch names := slices.Sorted(maps.Keys(differ)); {
	case p.prior == nil:
		p.step("fields", "new", "Properties with a value: %d (%s).", len(names), strings.Join(names, ", "))
	case len(names) > 0:
		p.step("fields", "changed", "Properties that differ from what was stored: %d (%s).", len(names), strings.Join(names, ", "))
	default:
		p.step("fields", "unchanged", "All properties are as they were stored.")
	}
	switch {
	case !p.chosen.ReportingLines:
		p.step("manager", "skipped", "The settings leave reporting lines out.")
	case !manager:
		p.step("manager", "unchanged", "The manager is as it was stored.")
	case p.next.Manager == "":
		p.step("manager", "cleared", "The user has no manager any more.")
	default:
		p.step("manager", "changed", "The user has another manager than was stored.")
	}
	return nil
}

// findTeams compares the person's groups with the stored memberships.
func (p *one) findTeams(ctx context.Context) error {
	if !p.groupsWanted() || p.fence.Teams.Stored == 0 {
		p.step("teams", "skipped", "No teams are synced.")
		return nil
	}
	var groups []string
	if p.item != nil {
		found, err := p.Graph.MemberOf(ctx, p.conn.Access(), []string{p.id})
		if denied(err) {
			p.denied = true
			p.note(denial("teams", err))
			p.step("teams", "denied", "Microsoft does not let Rollcall read the user's groups.")
			return nil
		}
		if err != nil {
			return err
		}
		var known bool
		if groups, known = found[p.id]; !known {
			return fault.New(fault.Unknown, "user %s can be read, and has no groups", p.id)
		}
	}
	of, err := p.Store.TeamsOf(ctx, p.part, [][16]byte{p.key})
	if err != nil {
		return err
	}
	stored, err := p.Store.TeamRecords(ctx, p.part, slices.Compact(slices.Sorted(slices.Values(slices.Concat(groups, of[p.key])))))
	if err != nil {
		return err
	}
	active := func(id string) bool { t, ok := stored[id]; return ok && t.Active() }
	for _, id := range groups {
		if active(id) && p.member {
			p.joined = append(p.joined, id) // with those of which the person is a member already
		}
	}
	for _, id := range of[p.key] {
		if active(id) && !slices.Contains(groups, id) {
			p.left = append(p.left, id)
		}
	}
	joined := 0
	for _, id := range p.joined {
		if !slices.Contains(of[p.key], id) {
			joined++
		}
	}
	switch {
	case joined+len(p.left) > 0:
		p.step("teams", "changed", "The user has joined %d of the stored teams and left %d.", joined, len(p.left))
	default:
		p.step("teams", "unchanged", "The stored memberships are as Microsoft has them: %d.", len(p.joined))
	}
	return nil
}

// record commits the steps, ends an erasure, and puts the person on the stored
// list of the scope groups' members, so that the next run does not take them
// for a newcomer.
func (p *one) record(ctx context.Context) error {
	p.step("written", p.written(), "%s", writtenText[p.written()])
	f := &p.fence
	if len(f.Run.Steps) == 0 { // else an earlier slice has noted what it found
		f.Run.Steps = p.steps
	}
	if p.item != nil {
		f.Run.Seen = 1
	}
	batch := directory.Batch{Unerased: p.lifted}
	f.Erased -= len(p.lifted)
	if p.member && f.Scope.Grouped && !p.denied { // whose groups are not known stays a newcomer
		if _, listed := p.scoped[p.key]; !listed && f.Scope.Set != "" {
			batch.ScopeSet, batch.Scope = f.Scope.Set, []string{p.id}
		}
	}
	if err := p.commit(ctx, batch); err != nil {
		return err
	}
	for _, id := range p.lifted {
		key, _ := directory.Key(id)
		delete(p.erased, key)
	}
	switch {
	case !p.member:
		delete(p.scoped, p.key)
	case p.scoped == nil:
		p.scoped = map[[16]byte]struct{}{p.key: {}}
	default:
		p.scoped[p.key] = struct{}{}
	}
	return nil
}

// written is what becomes of the record.
func (p *one) written() string {
	e := entry{prior: p.prior, next: p.next}
	switch {
	case p.next.ID == "":
		return "nothing"
	case p.item == nil && p.next.Kept:
		return "kept"
	case p.next.Pending != "":
		if p.next.Held {
			return "held"
		}
		return "removalProposed"
	case e.prior == nil:
		return "created"
	case !e.prior.Active() && e.next.Active():
		return "reactivated"
	case e.settled():
		return "unchanged"
	default:
		return "updated"
	}
}

var writtenText = map[string]string{
	"nothing":         "Nobody of that ID is stored, and nobody was.",
	"kept":            "A human has rejected this person's removal. The record stays until the person reappears at Microsoft and leaves again.",
	"held":            "The person's removal waits for a human's decision, and goes on waiting.",
	"removalProposed": "The removal is proposed. The guard judges it with all others that wait.",
	"created":         "The person is stored.",
	"reactivated":     "The archived record is active again.",
	"unchanged":       "The record stays as it is.",
	"updated":         "The record is brought up to date.",
}

// write stores the memberships and then the person.
func (p *one) write(ctx context.Context) error {
	teams := newTeamBatch(p.worker)
	for _, change := range []struct {
		teams []string
		do    func(*teamEntry, string)
	}{{p.joined, teams.join}, {p.left, teams.leave}} {
		for _, id := range change.teams {
			e, err := teams.entry(ctx, id)
			if err != nil {
				return err
			}
			if err := teams.load(ctx, e); err != nil {
				return err
			}
			change.do(e, p.id)
			if err := teams.room(ctx); err != nil {
				return err
			}
		}
	}
	if err := teams.flush(ctx); err != nil {
		return err
	}
	b := newBatcher(p.worker)
	if p.next.ID != "" {
		if err := b.add(ctx, &folded{entry: entry{prior: p.prior, next: p.next, hasManager: true}}); err != nil {
			return err
		}
	}
	return b.commit(ctx, func(*job.Fence) { p.advance() })
}
