package graph

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/wire"
)

// users lists people in pages.
func (s *Server) users(c call) wire.Reply {
	err := c.allow("$select", "$filter", "$top", "$expand", "$count", "$skiptoken")
	var show, boss tenant.Props
	var who tenant.Filter
	var size, pos int
	if err == nil {
		show, err = selected(c.query.Get("$select"), tenant.PropDefault)
	}
	if err == nil {
		boss, err = expanded(c.query.Get("$expand"))
	}
	if err == nil {
		who, err = filter(c.query.Get("$filter"))
	}
	if err == nil {
		size, err = top(c.query.Get("$top"))
	}
	if err != nil {
		return s.refused(c, err)
	}
	if tok := c.query.Get("$skiptoken"); tok != "" {
		l, err := s.open(tok, listLink, c.tenant)
		if err != nil {
			return s.fail(c.Request, http.StatusBadRequest, "Directory_ExpiredPageToken",
				"The specified page token value has expired and can no longer be included in your request.")
		}
		pos = int(l.Cursor.Pos)
	}
	people, next, more := c.tenant.List(pos, size, who)
	gone := s.Gate.Faults.Omitted(c.tenant.ID, fault.Users, func(id string) bool {
		return slices.ContainsFunc(people, func(p tenant.Person) bool { return p.ID == id })
	})
	people = slices.DeleteFunc(people, func(p tenant.Person) bool { return gone[p.ID] })
	b := s.collection("users", c.query.Get("$select"), show)
	if strings.EqualFold(c.query.Get("$count"), "true") && c.eventual() {
		b = append(b, `"@odata.count":`...)
		b = append(strconv.AppendInt(b, int64(c.tenant.Count(who)), 10), ',')
	}
	if more {
		q := url.Values{}
		for k, v := range c.query {
			q[k] = v
		}
		q.Set("$skiptoken", s.close(link{Kind: listLink, Tenant: c.tenant.ID, Cursor: tenant.Cursor{Pos: uint32(next)}}))
		b = appendLink(b, "@odata.nextLink", s.Base+"/v1.0/users?"+strings.ReplaceAll(q.Encode(), "%24", "$"))
	}
	b = append(b, `"value":[`...)
	for i := range people {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPerson(append(b, '{'), c.tenant, &people[i], show, boss)
		b = append(b, '}')
	}
	return wire.Raw(http.StatusOK, append(b, "]}"...))
}

// usersCount answers plain text, and only to who accepts an eventual count
// (documented, "Advanced query capabilities").
func (s *Server) usersCount(c call) wire.Reply {
	if !c.eventual() {
		return s.fail(c.Request, http.StatusBadRequest, "Request_BadRequest", "$count is not currently supported.")
	}
	err := c.allow("$filter")
	var who tenant.Filter
	if err == nil {
		who, err = filter(c.query.Get("$filter"))
	}
	if err != nil {
		return s.refused(c, err)
	}
	rep := wire.Raw(http.StatusOK, strconv.AppendInt(nil, int64(c.tenant.Count(who)), 10))
	rep.Header.Set("Content-Type", "text/plain")
	return rep
}

// user is one person by ID or user principal name.
func (s *Server) user(c call) wire.Reply {
	err := c.allow("$select", "$expand")
	var show, boss tenant.Props
	if err == nil {
		show, err = selected(c.query.Get("$select"), tenant.PropDefault)
	}
	if err == nil {
		boss, err = expanded(c.query.Get("$expand"))
	}
	if err != nil {
		return s.refused(c, err)
	}
	id := c.PathValue("id")
	p, ok := c.tenant.Person(id)
	if !ok {
		return s.fail(c.Request, http.StatusNotFound, "Request_ResourceNotFound",
			"Resource '"+id+"' does not exist or one of its queried reference-property objects are not present.")
	}
	b := append([]byte(nil), `{"@odata.context":`...)
	b = appendQuoted(b, s.Base+"/v1.0/$metadata#users"+fields(c.query.Get("$select"), show)+"/$entity")
	b = appendPerson(append(b, ','), c.tenant, &p, show, boss)
	return wire.Raw(http.StatusOK, append(b, '}'))
}

// collection opens a collection document with its context.
func (s *Server) collection(name, sel string, show tenant.Props) []byte {
	b := append(make([]byte, 0, 64<<10), `{"@odata.context":`...)
	b = appendQuoted(b, s.Base+"/v1.0/$metadata#"+name+fields(sel, show))
	return append(b, ',')
}

func fields(sel string, show tenant.Props) string {
	if sel == "" {
		return ""
	}
	return "(" + strings.Join(show.Names(), ",") + ")"
}

func appendLink(b []byte, name, uri string) []byte {
	b = appendQuoted(b, name)
	b = appendQuoted(append(b, ':'), uri)
	return append(b, ',')
}

// appendQuoted quotes a text of the stand-in itself, leaving & readable.
func appendQuoted(b []byte, s string) []byte {
	q, err := json.Marshal(s)
	if err != nil { // a string always marshals
		return append(b, `""`...)
	}
	return append(b, strings.ReplaceAll(string(q), `\u0026`, "&")...)
}

// appendPerson appends the members of a person with the expanded manager.
func appendPerson(b []byte, t *tenant.Tenant, p *tenant.Person, show, boss tenant.Props) []byte {
	b = p.AppendJSON(b, show)
	if boss == 0 || p.Manager == "" {
		return b
	}
	m, ok := t.Person(p.Manager)
	if !ok {
		return b
	}
	b = append(b, `,"manager":{"@odata.type":"#microsoft.graph.user",`...)
	return append(m.AppendJSON(b, boss), '}')
}
