package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/wire"
)

// groupMembers lists direct members, transitiveMembers those of nested groups
// too, each once, and memberOf the groups that a person is in.
func (s *Server) groupMembers(c call) wire.Reply {
	return s.members(c, fault.GroupMembers, func(q tenant.MemberQuery) (tenant.MemberList, error) {
		return c.tenant.ListMembers(c.PathValue("id"), q)
	})
}

func (s *Server) transitiveMembers(c call) wire.Reply {
	return s.members(c, fault.TransitiveMembers, func(q tenant.MemberQuery) (tenant.MemberList, error) {
		q.Transitive = true
		return c.tenant.ListMembers(c.PathValue("id"), q)
	})
}

func (s *Server) memberOf(c call) wire.Reply {
	return s.members(c, fault.MemberOf, func(q tenant.MemberQuery) (tenant.MemberList, error) {
		p, ok := c.tenant.Person(c.PathValue("id"))
		if !ok {
			return tenant.MemberList{}, tenant.ErrNotFound
		}
		return c.tenant.ListMemberOf(p.ID, q)
	})
}

// members answers a page of directory objects of both kinds or, by an OData
// cast, of one. Hidden memberships are left out without a word unless the app
// has Member.Read.Hidden (inferred).
func (s *Server) members(c call, path string, list func(tenant.MemberQuery) (tenant.MemberList, error)) wire.Reply {
	q := tenant.MemberQuery{Hidden: c.has(readHidden)}
	name, cast := "directoryObjects", c.PathValue("cast")
	switch cast {
	case "":
	case "microsoft.graph.user":
		name, q.SkipGroups = "users", true
	case "microsoft.graph.group":
		name, q.SkipPeople = "groups", true
	default:
		return s.fail(c.Request, http.StatusBadRequest, "BadRequest", "Resource not found for the segment '"+cast+"'.")
	}
	if cast != "" && !c.counts() {
		return s.unsupported(c, "The specified cast is only supported with the header 'ConsistencyLevel: eventual' and $count=true.")
	}
	err := c.allow("$select", "$top", "$count", "$skiptoken")
	var show memberFields
	if err == nil {
		show, err = selectedOfMember(c.query.Get("$select"))
	}
	if err == nil {
		q.Limit, err = top(c.query.Get("$top"))
	}
	if err != nil {
		return s.refused(c, err)
	}
	kind := listLink + ":" + path + ":" + strings.ToLower(c.PathValue("id")) + ":" + cast
	pos, rep, ok := s.resume(c, kind)
	if !ok {
		return rep
	}
	q.Pos = pos
	l, err := list(q)
	if err != nil {
		return s.missing(c, c.PathValue("id"))
	}
	gone := s.Gate.Faults.Omitted(c.tenant.ID, path, func(id string) bool {
		return slices.ContainsFunc(l.Objects, func(o tenant.Object) bool { return o.ID() == id })
	})
	l.Objects = slices.DeleteFunc(l.Objects, func(o tenant.Object) bool { return gone[o.ID()] })
	b := s.opening(name, show.names)
	if c.counts() {
		b = fmt.Appendf(b, `"@odata.count":%d,`, l.Total)
	}
	if l.More {
		b = s.appendNext(b, c, kind, l.Next)
	}
	b = append(b, `"value":[`...)
	for i := range l.Objects {
		if i > 0 {
			b = append(b, ',')
		}
		b = c.appendObject(b, &l.Objects[i], show, cast == "")
	}
	return wire.Raw(http.StatusOK, append(b, "]}"...))
}

// memberFields are the properties to show of members of either kind.
type memberFields struct {
	person tenant.Props
	group  tenant.GroupProps
	names  []string // as selected; nil without $select
}

// selectedOfMember reads a $select of names that people or groups have.
func selectedOfMember(list string) (memberFields, error) {
	if list == "" {
		return memberFields{person: tenant.PropDefault, group: tenant.GroupDefault}, nil
	}
	f := memberFields{person: tenant.PropID, group: tenant.GroupID}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		p, perr := tenant.Prop(name)
		g, gerr := tenant.GroupProp(name)
		if perr != nil && gerr != nil {
			return f, perr
		}
		if p&tenant.PropManager != 0 || g&tenant.GroupMembers != 0 {
			return f, fmt.Errorf("%w: '%s' cannot be selected here", errQuery, name)
		}
		f.person |= p
		f.group |= g
		f.names = append(f.names, name)
	}
	return f, nil
}

// appendObject writes a member. Of one that the app has no permission to read
// everything but type and ID is null (documented, "List group members").
func (c call) appendObject(b []byte, o *tenant.Object, show memberFields, typed bool) []byte {
	b = append(b, '{')
	if typed {
		b = append(append(append(b, `"@odata.type":"`...), typeOf(o.IsGroup)...), `",`...)
	}
	switch {
	case o.IsGroup:
		b = o.Group.AppendJSON(b, show.group)
	case c.has(readUsers):
		b = o.Person.AppendJSON(b, show.person)
	default:
		b = o.Person.AppendJSON(b, tenant.PropID)
		for _, name := range (show.person &^ tenant.PropID).Names() {
			b = append(append(append(b, `,"`...), name...), `":null`...)
		}
	}
	return append(b, '}')
}

// maxGroupIDs is the most IDs of one checkMemberGroups (documented,
// "directoryObject: checkMemberGroups").
const maxGroupIDs = 20

// checkMemberGroups tells which of the groups a person or group is in,
// directly or through other groups.
func (s *Server) checkMemberGroups(c call) wire.Reply {
	raw, err := wire.ReadBody(c.Request, maxByIDs)
	if err != nil {
		return s.bad(c.Request, "The body cannot be read.")
	}
	ids, err := parseGroupIDs(raw)
	if err != nil {
		return s.bad(c.Request, err.Error())
	}
	member := c.PathValue("id")
	if strings.HasPrefix(c.URL.Path, "/v1.0/users/") {
		p, ok := c.tenant.Person(member)
		if !ok {
			return s.missing(c, c.PathValue("id"))
		}
		member = p.ID
	}
	in, err := c.tenant.Above(member, c.has(readHidden))
	if err != nil {
		return s.missing(c, c.PathValue("id"))
	}
	return wire.JSON(http.StatusOK, map[string]any{
		"@odata.context": s.Base + "/v1.0/$metadata#Collection(Edm.String)",
		"value":          slices.DeleteFunc(ids, func(id string) bool { return !in[id] }),
	})
}

// parseGroupIDs reads the body of checkMemberGroups.
func parseGroupIDs(raw []byte) (ids []string, err error) {
	var body struct {
		GroupIDs []string `json:"groupIds"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		return nil, fmt.Errorf("the body is not the expected JSON")
	}
	if len(body.GroupIDs) == 0 || len(body.GroupIDs) > maxGroupIDs {
		return nil, fmt.Errorf("groupIds: want 1 to %d", maxGroupIDs)
	}
	for _, id := range body.GroupIDs {
		id = strings.ToLower(id)
		if !tenant.IsGUID(id) {
			return nil, fmt.Errorf("invalid GUID: %.64s", id)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
