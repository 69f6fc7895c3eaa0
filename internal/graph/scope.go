package graph

import (
	"context"
	"encoding/json"
	"slices"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// memberNeeds is what reading members takes. Without the second permission, a
// group with hidden membership may read as empty. Source: Microsoft Graph
// documentation, "List group members".
const memberNeeds = "GroupMember.Read.All, and Member.Read.Hidden for a group with hidden membership"

// Members returns one page of the users who are direct members of a group. An
// empty link begins. A group that is gone is [fault.NotFound], a link that
// Graph has forgotten [fault.Expired].
func (c *Client) Members(ctx context.Context, tenant connection.Access, group, link string) (p directory.IDPage, err error) {
	defer fault.Wrap(&err, "graph: members of group %s of tenant %s", group, tenant)
	return c.members(ctx, tenant, group, "/members", link)
}

// Transitive is like [Client.Members], with the members of nested groups. It
// asks for members of every type and picks the users itself: Graph would pick
// them by an index that may be out of date.
func (c *Client) Transitive(ctx context.Context, tenant connection.Access, group, link string) (p directory.IDPage, err error) {
	defer fault.Wrap(&err, "graph: transitive members of group %s of tenant %s", group, tenant)
	return c.members(ctx, tenant, group, "/transitiveMembers", link)
}

func (c *Client) members(ctx context.Context, tenant connection.Access, group, relation, link string) (p directory.IDPage, err error) {
	if err := checkIDs(group); err != nil {
		return p, err
	}
	q := call{link: link, given: link != "", needs: memberNeeds}
	if !q.given {
		q.link = c.base + "/groups/" + group + relation + "?$select=id&$top=999"
	}
	b, err := c.send(ctx, tenant, q)
	if err != nil {
		return p, err
	}
	return decodeIDs(b, "user")
}

// maxPages bounds the pages that one person's groups take: 99,900 groups,
// where Microsoft allows a user some thousands.
const maxPages = 100

// MemberOf returns the groups of which the people are direct members, by
// person. A person whom Graph does not know is left out.
func (c *Client) MemberOf(ctx context.Context, tenant connection.Access, people []string) (groups map[string][]string, err error) {
	defer fault.Wrap(&err, "graph: groups of users of tenant %s", tenant)
	if err := checkIDs(people...); err != nil {
		return nil, err
	}
	requests := make([]inner, len(people))
	for i, id := range people {
		requests[i] = get("/users/" + id + "/memberOf?$select=id&$top=999")
	}
	const needs = "User.Read.All, GroupMember.Read.All"
	replies, err := c.batch(ctx, tenant, needs, requests)
	if err != nil {
		return nil, err
	}
	groups = make(map[string][]string, len(people))
	for i, id := range people {
		if !replies[i].found() {
			continue
		}
		p, err := decodeIDs(replies[i].body, "group")
		if err != nil {
			return nil, err
		}
		all := p.IDs
		for n := 1; p.Next != ""; n++ {
			if n == maxPages {
				return nil, fault.New(fault.Unknown, "more than %d pages", maxPages)
			}
			b, err := c.send(ctx, tenant, call{link: p.Next, given: true, needs: needs})
			if err != nil {
				return nil, unforgotten(err)
			}
			if p, err = decodeIDs(b, "group"); err != nil {
				return nil, err
			}
			all = append(all, p.IDs...)
		}
		slices.Sort(all)
		groups[id] = slices.Compact(all)
	}
	return groups, nil
}

// InGroups tells of each of the people whether they are in at least one of
// the groups, directly or through nested groups. A person whom Graph does not
// know is left out. It takes 1 to [connection.MaxGroups] groups.
func (c *Client) InGroups(ctx context.Context, tenant connection.Access, people, groups []string) (in map[string]bool, err error) {
	defer fault.Wrap(&err, "graph: checkMemberGroups of tenant %s", tenant)
	if len(groups) == 0 || len(groups) > connection.MaxGroups {
		return nil, fault.New(fault.Invalid, "%d groups: want 1 to %d", len(groups), connection.MaxGroups)
	}
	if err := checkIDs(slices.Concat(people, groups)...); err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string][]string{"groupIds": groups})
	if err != nil {
		return nil, err
	}
	requests := make([]inner, len(people))
	for i, id := range people {
		requests[i] = post("/users/"+id+"/checkMemberGroups", body)
	}
	replies, err := c.batch(ctx, tenant, "User.Read.All, "+memberNeeds, requests)
	if err != nil {
		return nil, err
	}
	in = make(map[string]bool, len(people))
	for i, id := range people {
		if !replies[i].found() {
			continue
		}
		if in[id], err = decodeAmong(replies[i].body, groups); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// decodeAmong reports whether the answer names any of the groups; one that
// was not asked for makes it unreadable.
func decodeAmong(b []byte, groups []string) (bool, error) {
	ids, err := decodeAll[string](b)
	if err != nil {
		return false, err
	}
	for _, s := range ids {
		id, err := objectID(s)
		if err != nil {
			return false, err
		}
		if !slices.Contains(groups, id) {
			return false, fault.New(fault.Unknown, "group %s was not asked for", id)
		}
	}
	return len(ids) > 0, nil
}
