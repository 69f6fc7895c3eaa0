package graph

import (
	"slices"
	"strings"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/wire"
)

var groupsFeed = feed{
	name: "groups", path: fault.GroupsDelta, skip: groupSkipLink, delta: groupDeltaLink,
	track: func(l *link, sel string) (err error) {
		l.Groups, err = selectedOfGroup(sel, tenant.GroupAll)
		return err
	},
	names: func(l *link) []string { return l.Groups.Names() },
	begin: func(t *tenant.Tenant, from uint32) tenant.Cursor { return t.BeginGroups(from) },
}

// selectedOfGroup reads the $select of groups.
func selectedOfGroup(list string, without tenant.GroupProps) (tenant.GroupProps, error) {
	if list == "" {
		return without, nil
	}
	show := tenant.GroupID
	for name := range strings.SplitSeq(list, ",") {
		p, err := tenant.GroupProp(strings.TrimSpace(name))
		if err != nil {
			return 0, err
		}
		show |= p
	}
	return show, nil
}

// groupsDelta is one page of a delta round of groups and their direct members.
// The members of a large group are spread over pages, each of which tells the
// group's properties again (documented, "Get incremental changes for groups").
func (s *Server) groupsDelta(c call) wire.Reply {
	if err := c.allow("$select", "$top", "$expand", "$deltatoken", "$skiptoken"); err != nil {
		return s.refused(c, err)
	}
	l, rep, ok := s.place(c, groupsFeed)
	if !ok {
		return rep
	}
	if c.query.Get("$deltatoken") == "latest" {
		l.Cursor = c.tenant.LatestGroups()
		return s.page(groupsFeed, l, true, 0, nil)
	}
	if _, hit := s.Gate.Faults.Take(c.tenant.ID, fault.GroupsDelta, fault.Empty); hit {
		return s.page(groupsFeed, l, false, 0, nil)
	}
	v := tenant.GroupView{Track: l.Groups, Minimal: prefersMinimal(c.Request), Hidden: c.has(readHidden)}
	items, next, done := c.tenant.GroupChanges(l.Cursor, v, s.PageSize, s.MembersPage)
	items = s.omitGroups(c, s.shapeGroups(c, l, v, items))
	l.Cursor = next
	rep = s.page(groupsFeed, l, done, len(items), func(b []byte, i int) []byte { return appendGroupChange(b, &items[i]) })
	if v.Minimal {
		rep.Header.Set("Preference-Applied", "return=minimal")
	}
	return rep
}

// shapeGroups is [Server.shape] for groups. Whatever the faults do, who puts
// a page's items together in their order has the present state.
func (s *Server) shapeGroups(c call, l link, v tenant.GroupView, items []tenant.GroupChange) []tenant.GroupChange {
	t := c.tenant
	take := func(k fault.Kind) bool {
		_, hit := s.Gate.Faults.Take(t.ID, fault.GroupsDelta, k)
		return hit
	}
	if len(items) > 1 && take(fault.Permute) {
		slices.Reverse(items)
	}
	if present := slices.IndexFunc(items, func(g tenant.GroupChange) bool { return g.Removed == "" }); present >= 0 {
		whole, ok := t.WholeGroup(items[present].Group.ID, v, s.MembersPage)
		if items[present].Show&tenant.GroupDisplayName != 0 && take(fault.Duplicate) {
			old := items[present]
			old.Group.DisplayName, old.Members = "Formerly "+old.Group.DisplayName, nil
			items = append([]tenant.GroupChange{old}, items...)
		}
		if ok && take(fault.Flap) { // only of a group whose members fit on the page
			items = append(items, tenant.GroupChange{Group: whole.Group, Removed: "changed"}, whole)
		}
	}
	earlier := t.ReadGroups(l.Cursor, l.Cursor.Pos, v, replayed, s.MembersPage)
	if len(earlier) > 0 && take(fault.Replay) {
		items = append(earlier, items...)
	}
	return items
}

// omitGroups leaves out whole groups and memberships.
func (s *Server) omitGroups(c call, items []tenant.GroupChange) []tenant.GroupChange {
	gone := s.Gate.Faults.Omitted(c.tenant.ID, fault.GroupsDelta, func(id string) bool {
		return slices.ContainsFunc(items, func(g tenant.GroupChange) bool {
			return g.Group.ID == id || slices.ContainsFunc(g.Members, func(m tenant.MemberChange) bool { return m.ID == id })
		})
	})
	if len(gone) == 0 {
		return items
	}
	items = slices.DeleteFunc(items, func(g tenant.GroupChange) bool { return gone[g.Group.ID] })
	for i := range items {
		items[i].Members = slices.DeleteFunc(items[i].Members, func(m tenant.MemberChange) bool { return gone[m.ID] })
	}
	return items
}

// appendGroupChange writes one delta item. Without news of members there is no
// members@delta.
func appendGroupChange(b []byte, g *tenant.GroupChange) []byte {
	b = append(b, '{')
	if g.Removed != "" {
		b = g.Group.AppendJSON(b, tenant.GroupID)
		return append(append(append(b, `,"@removed":{"reason":"`...), g.Removed...), `"}}`...)
	}
	b = g.Group.AppendJSON(b, g.Show)
	for i, m := range g.Members {
		if i == 0 {
			b = append(b, `,"members@delta":[`...)
		} else {
			b = append(b, ',')
		}
		b = append(b, `{"@odata.type":"`...)
		b = append(b, typeOf(m.IsGroup)...)
		b = append(append(b, `","id":"`...), m.ID...)
		b = append(b, '"')
		if m.Removed {
			b = append(b, `,"@removed":{"reason":"deleted"}`...)
		}
		b = append(b, '}')
	}
	if len(g.Members) > 0 {
		b = append(b, ']')
	}
	return append(b, '}')
}

func typeOf(group bool) string {
	if group {
		return "#microsoft.graph.group"
	}
	return "#microsoft.graph.user"
}
