package graph

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/wire"
)

// groupTest says whether a group passes a filter or search.
type groupTest func(*tenant.Group) bool

// groups lists groups in pages.
func (s *Server) groups(c call) wire.Reply {
	if c.query.Has("$search") && !c.eventual() {
		return s.unsupported(c, "Request with $search query parameter only works through MSGraph with a special request header: 'ConsistencyLevel: eventual'")
	}
	err := c.allow("$select", "$filter", "$search", "$top", "$count", "$skiptoken")
	var show tenant.GroupProps
	var pass, found groupTest
	var size, pos int
	if err == nil {
		show, err = shownOfGroup(c.query.Get("$select"))
	}
	if err == nil {
		pass, err = groupFilter(c.query.Get("$filter"))
	}
	if err == nil {
		found, err = groupSearch(c.query.Get("$search"))
	}
	if err == nil {
		size, err = top(c.query.Get("$top"))
	}
	if err != nil {
		return s.refused(c, err)
	}
	match := func(g *tenant.Group) bool { return (pass == nil || pass(g)) && (found == nil || found(g)) }
	kind := listLink + ":groups"
	pos, rep, ok := s.resume(c, kind)
	if !ok {
		return rep
	}
	list, next, more := c.tenant.ListGroups(pos, size, match)
	gone := s.Gate.Faults.Omitted(c.tenant.ID, fault.Groups, func(id string) bool {
		return slices.ContainsFunc(list, func(g tenant.Group) bool { return g.ID == id })
	})
	list = slices.DeleteFunc(list, func(g tenant.Group) bool { return gone[g.ID] })
	var names []string
	if c.query.Get("$select") != "" {
		names = show.Names()
	}
	b := s.opening("groups", names)
	if c.counts() {
		b = fmt.Appendf(b, `"@odata.count":%d,`, c.tenant.CountGroups(match))
	}
	if more {
		b = s.appendNext(b, c, kind, next)
	}
	b = append(b, `"value":[`...)
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(list[i].AppendJSON(append(b, '{'), show), '}')
	}
	return wire.Raw(http.StatusOK, append(b, "]}"...))
}

// shownOfGroup reads a $select that cannot name the members.
func shownOfGroup(sel string) (tenant.GroupProps, error) {
	show, err := selectedOfGroup(sel, tenant.GroupDefault)
	if err == nil && show&tenant.GroupMembers != 0 {
		err = fmt.Errorf("%w: members cannot be selected here", errQuery)
	}
	return show, err
}

// group is one group by ID.
func (s *Server) group(c call) wire.Reply {
	err := c.allow("$select")
	var show tenant.GroupProps
	if err == nil {
		show, err = shownOfGroup(c.query.Get("$select"))
	}
	if err != nil {
		return s.refused(c, err)
	}
	g, ok := c.tenant.Group(c.PathValue("id"))
	if !ok {
		return s.missing(c, c.PathValue("id"))
	}
	name := "groups"
	if c.query.Get("$select") != "" {
		name += "(" + strings.Join(show.Names(), ",") + ")"
	}
	b := appendQuoted([]byte(`{"@odata.context":`), s.Base+"/v1.0/$metadata#"+name+"/$entity")
	return wire.Raw(http.StatusOK, append(g.AppendJSON(append(b, ','), show), '}'))
}

// unsupported answers a query that needs the advanced query capabilities.
func (s *Server) unsupported(c call, message string) wire.Reply {
	return s.fail(c.Request, http.StatusBadRequest, "Request_UnsupportedQuery", message)
}

// counts says whether the answer carries a count.
func (c call) counts() bool { return strings.EqualFold(c.query.Get("$count"), "true") && c.eventual() }

// resume reads the place in a list; ok is false if rep is the answer already.
func (s *Server) resume(c call, kind string) (pos int, rep wire.Reply, ok bool) {
	tok := c.query.Get("$skiptoken")
	if tok == "" {
		return 0, rep, true
	}
	l, err := s.open(tok, kind, c.tenant)
	if err != nil {
		return 0, s.fail(c.Request, http.StatusBadRequest, "Directory_ExpiredPageToken",
			"The specified page token value has expired and can no longer be included in your request."), false
	}
	return int(l.Cursor.Pos), rep, true
}

// appendNext links to the next page of a list, with the same options.
func (s *Server) appendNext(b []byte, c call, kind string, next int) []byte {
	q := url.Values{}
	for k, v := range c.query {
		q[k] = v
	}
	q.Set("$skiptoken", s.close(link{Kind: kind, Tenant: c.tenant.ID, Cursor: tenant.Cursor{Pos: uint32(next)}}))
	return appendLink(b, "@odata.nextLink", s.Base+c.URL.EscapedPath()+"?"+strings.ReplaceAll(q.Encode(), "%24", "$"))
}

var (
	anyForm    = regexp.MustCompile(`(?i)^\s*(resourceProvisioningOptions|groupTypes)/any\(\s*(\w+)\s*:\s*(\w+)\s+eq\s+'([^']*)'\s*\)\s*$`)
	startsForm = regexp.MustCompile(`(?i)^\s*startswith\(\s*displayName\s*,\s*'((?:[^']|'')*)'\s*\)\s*$`)
	searchForm = regexp.MustCompile(`(?i)^"displayName:([^"]*)"$`)
)

// groupFilter parses the part of $filter that the stand-in offers for groups:
// one any() over a collection, or one startswith of the name.
func groupFilter(s string) (groupTest, error) {
	if s == "" {
		return nil, nil
	}
	if len(s) > maxFilter {
		return nil, fmt.Errorf("%w: invalid filter clause: longer than %d bytes", errQuery, maxFilter)
	}
	if m := anyForm.FindStringSubmatch(s); m != nil && m[2] == m[3] {
		types := strings.EqualFold(m[1], "groupTypes")
		return func(g *tenant.Group) bool {
			l := g.ResourceProvisioningOptions
			if types {
				l = g.GroupTypes
			}
			return slices.ContainsFunc(l, func(v string) bool { return strings.EqualFold(v, m[4]) })
		}, nil
	}
	if m := startsForm.FindStringSubmatch(s); m != nil {
		prefix := strings.ToLower(strings.ReplaceAll(m[1], "''", "'"))
		return func(g *tenant.Group) bool { return strings.HasPrefix(strings.ToLower(g.DisplayName), prefix) }, nil
	}
	return nil, fmt.Errorf("%w: invalid filter clause: '%.64s'", errQuery, s)
}

// groupSearch parses "displayName:text". The name is cut into words at
// punctuation, numbers and capitals, and the text must begin one of them
// (documented, "Use the $search query parameter").
func groupSearch(s string) (groupTest, error) {
	if s == "" {
		return nil, nil
	}
	m := searchForm.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil || strings.TrimSpace(m[1]) == "" || len(s) > maxFilter {
		return nil, fmt.Errorf("%w: syntax error in $search: want \"displayName:text\"", errQuery)
	}
	text := strings.ToLower(strings.TrimSpace(m[1]))
	return func(g *tenant.Group) bool {
		before := ' '
		for i, r := range g.DisplayName {
			if begins(before, r) && strings.HasPrefix(strings.ToLower(g.DisplayName[i:]), text) {
				return true
			}
			before = r
		}
		return false
	}, nil
}

// begins says whether a word begins between two letters.
func begins(before, r rune) bool {
	word := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) }
	switch {
	case !word(before) || unicode.IsNumber(before) != unicode.IsNumber(r):
		return true
	}
	return unicode.IsUpper(r) && !unicode.IsUpper(before)
}
