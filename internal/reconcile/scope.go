package reconcile

import (
	"bytes"
	"context"
	"slices"

	"github.com/google/uuid"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const (
	// maxJoined is how many people may join the scope groups at once and be
	// fetched one by one, twenty a call; more come faster in a full run.
	maxJoined = 2000
	// maxDiffer is how many people of the difference of two scopes are looked
	// at between two commits.
	maxDiffer = 100
)

// isErased reports whether somebody was erased, and so is not stored again.
func (w *worker) isErased(id string) bool {
	if len(w.erased) == 0 {
		return false
	}
	k, ok := directory.Key(id)
	_, erased := w.erased[k]
	return ok && erased
}

// chosenBySettings reports whether the settings want such a person, scope
// groups apart.
func (w *worker) chosenBySettings(p *directory.Person) bool {
	s := &w.fence.Scope
	if s.NoGuests && p.UserType == "Guest" {
		return false
	}
	return !s.NoDisabled || p.AccountEnabled == nil || *p.AccountEnabled
}

// inGroups reports whether the person is a member of a scope group, as far as
// the list of their members tells, or there are none.
func (w *worker) inGroups(id string) bool {
	if !w.fence.Scope.Grouped {
		return true
	}
	k, ok := directory.Key(id)
	_, in := w.scoped[k]
	return ok && in
}

// rescope puts the settings into the fence, and reports whether they choose
// people whom those before did not. Where they have become narrower, the people
// stored are to be judged anew.
func (w *worker) rescope() (wider bool) {
	s, c := &w.fence.Scope, &w.chosen
	was := *s
	s.NoGuests, s.NoDisabled, s.Grouped = !c.Guests, !c.Disabled, len(c.Groups) > 0
	if s.NoGuests && !was.NoGuests || s.NoDisabled && !was.NoDisabled || s.Grouped && !was.Grouped {
		s.Rejudge, s.Swept = true, ""
	}
	if s.Next != "" { // a list that was not finished is begun anew
		w.fence.Untidy = true
	}
	s.Next, s.At, s.Link, s.Count = "", 0, "", 0
	if !s.Rejudge {
		s.Swept = ""
	}
	return was.NoGuests && !s.NoGuests || was.NoDisabled && !s.NoDisabled || was.Grouped && !s.Grouped
}

func (w *worker) scopeDue() bool {
	return w.syncs() && (w.fence.Scope.Grouped || w.fence.Scope.Set != "")
}

// scope lists the members of the scope groups, and takes in what has changed.
func (w *worker) scope(ctx context.Context) error {
	s := &w.fence.Scope
	if !s.Grouped { // the groups were taken out of the settings
		s.Set, w.scoped, w.fence.Untidy = "", nil, true
		w.advance()
		return nil
	}
	if s.Next == "" {
		s.Next, w.fence.Untidy = w.enumID("g"), true
	}
	if err := w.listScope(ctx); err != nil {
		return err
	}
	listed, err := w.Store.Scope(ctx, w.part, s.Next)
	if err != nil {
		return err
	}
	was := w.scoped
	if s.Problem != nil {
		if err := w.keepScope(ctx, listed, was); err != nil {
			return err
		}
	}
	w.scoped = listed
	if s.Set != "" && w.fence.People.Enum == "" {
		if err := w.differ(ctx, was, listed); err != nil {
			return err
		}
	}
	// People who come with an enumeration bring no memberships; a delta round
	// of groups does not tell of those that they have had for long.
	if s.Set != "" && w.fence.People.Enum != "" && w.groupsWanted() && w.fence.Groups.Enum == "" && joins(was, listed) {
		w.enumerateGroups(joinedSome)
	}
	s.Set, s.Next, s.Swept = s.Next, "", ""
	w.advance()
	return w.commit(ctx, directory.Batch{})
}

// keepScope puts on the list those who were on the one before: of some group's
// members nothing is known, so nobody has left.
func (w *worker) keepScope(ctx context.Context, listed, was map[[16]byte]struct{}) error {
	var ids []string
	for key := range was {
		if _, ok := listed[key]; !ok {
			ids = append(ids, uuid.UUID(key).String())
			listed[key] = struct{}{}
		}
	}
	for chunk := range slices.Chunk(ids, maxSeen) {
		if err := w.commit(ctx, directory.Batch{ScopeSet: w.fence.Scope.Next, Scope: chunk}); err != nil {
			return err
		}
	}
	return nil
}

// listScope lists the members of each scope group. A group that is gone,
// forbidden or empty lets no removal of this run take effect.
func (w *worker) listScope(ctx context.Context) error {
	s := &w.fence.Scope
	var ids []string
	flush := func() error {
		err := w.commit(ctx, directory.Batch{ScopeSet: s.Next, Scope: ids})
		ids = nil
		return err
	}
	for s.At < len(w.chosen.Groups) {
		group := w.chosen.Groups[s.At]
		p, err := w.Graph.Transitive(ctx, w.conn.Access(), group, s.Link)
		e := fault.Of(err)
		switch {
		case err == nil:
			ids = append(ids, slices.DeleteFunc(slices.Clone(p.IDs), w.isErased)...)
			s.Count += len(p.IDs)
			s.Link = p.Next
			w.fence.Run.Pages++
			w.fence.Attempt = 0
			if p.Next == "" && s.Count == 0 {
				w.scopeProblem(group, "scope_group_empty", "It has no members that Rollcall can see.",
					"Check the group in Microsoft Entra. If its membership is hidden, Rollcall needs the permission Member.Read.Hidden. If it is meant to be empty, take it out of the connection's settings.")
			}
		case e.Kind == fault.NotFound:
			w.scopeProblem(group, "scope_group_gone", "It does not exist any more.",
				"Restore the group in Microsoft Entra, or choose another one in the connection's settings.")
			s.Link = ""
		case denied(err):
			w.scopeProblem(group, "scope_group_forbidden", "Microsoft does not let Rollcall read its members.", e.Remedy)
			s.Link = ""
		case e.Kind == fault.Expired && s.Link != "":
			if err := flush(); err != nil {
				return err
			}
			return w.anew(ctx, "scope group", s.Link, err, true, func() { s.Link, s.Count = "", 0 })
		default:
			if ferr := flush(); ferr != nil {
				return ferr
			}
			return err
		}
		if s.Link == "" {
			s.At, s.Count = s.At+1, 0
		}
		last := s.At == len(w.chosen.Groups)
		if last || len(ids) >= maxSeen-1000 || w.spent() {
			if err := flush(); err != nil {
				return err
			}
		}
		if !last && w.spent() {
			return errBudget
		}
	}
	return nil
}

func (w *worker) scopeProblem(group, code, message, remedy string) {
	s := job.Skipped{
		What: group, Code: code, Message: "Scope group " + group + ": " + message + " Until this is settled nobody is removed.", Remedy: remedy, Consent: code == "scope_group_forbidden",
	}
	if w.fence.Scope.Problem == nil {
		w.fence.Scope.Problem = &s
	}
	w.note(s)
}

// joins reports whether the second set has anybody whom the first has not.
func joins(was, is map[[16]byte]struct{}) bool {
	for k := range is {
		if _, ok := was[k]; !ok {
			return true
		}
	}
	return false
}

// difference is one person who joined or left the scope.
type difference struct {
	key    [16]byte
	joined bool
}

// differ takes in who has joined the scope groups and who has left them. A
// delta round would tell of neither.
func (w *worker) differ(ctx context.Context, was, is map[[16]byte]struct{}) error {
	var ds []difference
	joined := 0
	for k := range is {
		if _, ok := was[k]; !ok {
			ds = append(ds, difference{k, true})
			joined++
		}
	}
	for k := range was {
		if _, ok := is[k]; !ok {
			ds = append(ds, difference{k, false})
		}
	}
	if joined > maxJoined {
		w.enumerate(joinedMany, scopeHash(w.properties()))
		return nil
	}
	slices.SortFunc(ds, func(a, b difference) int { return bytes.Compare(a.key[:], b.key[:]) })
	s := &w.fence.Scope
	for chunk := range slices.Chunk(ds, maxDiffer) {
		last := uuid.UUID(chunk[len(chunk)-1].key).String()
		if last <= s.Swept {
			continue
		}
		if err := w.take(ctx, chunk); err != nil {
			return err
		}
		s.Swept = last
		if w.spent() {
			if err := w.commit(ctx, directory.Batch{}); err != nil {
				return err
			}
			return errBudget
		}
	}
	return nil
}

// take fetches those who joined, and judges those who left.
func (w *worker) take(ctx context.Context, ds []difference) error {
	var joined, left []string
	for _, d := range ds {
		if id := uuid.UUID(d.key).String(); d.joined {
			joined = append(joined, id)
		} else {
			left = append(left, id)
		}
	}
	b := newBatcher(w)
	if len(joined) > 0 {
		items, err := w.Graph.Whole(ctx, w.conn.Access(), joined, w.properties())
		if err != nil {
			return err
		}
		if err := b.page(ctx, directory.Page{Items: items}); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		stored, err := w.Store.Records(ctx, w.part, left)
		if err != nil {
			return err
		}
		var rs []directory.Record
		for _, id := range left {
			if r, ok := stored[id]; ok {
				rs = append(rs, r)
			}
		}
		if err := w.judgeScope(ctx, b, rs); err != nil {
			return err
		}
	}
	if err := b.flush(ctx); err != nil {
		return err
	}
	if len(joined) == 0 || !w.groupsWanted() {
		return nil
	}
	groups, err := w.Graph.MemberOf(ctx, w.conn.Access(), joined)
	if err != nil {
		if denied(err) {
			w.note(denial("teams", err))
			w.fence.Groups.Hash = "" // the next run lists the members of every team
			return nil
		}
		return err
	}
	return w.joinTeams(ctx, groups)
}
