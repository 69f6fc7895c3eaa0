package graph

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/wire"
)

// deletedAt is a property of every object in deleted items and of no other.
const deletedAt = "deletedDateTime"

// showGone reads $select of deleted people, who have one property more.
func showGone(list string) (show tenant.Props, at bool, err error) {
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(name), deletedAt) {
			at = true
		} else if list != "" {
			names = append(names, name)
		}
	}
	if at && len(names) == 0 {
		return tenant.PropID, true, nil
	}
	show, err = selected(strings.Join(names, ","), tenant.PropDefault)
	return show &^ tenant.PropManager, at || list == "", err
}

// deletedUsers lists the people in deleted items, in pages.
func (s *Server) deletedUsers(c call) wire.Reply {
	err := c.allow("$select", "$top", "$count", "$skiptoken")
	var show tenant.Props
	var at bool
	var size, pos int
	if err == nil {
		show, at, err = showGone(c.query.Get("$select"))
	}
	if err == nil {
		size, err = top(c.query.Get("$top"))
	}
	if err != nil {
		return s.refused(c, err)
	}
	if tok := c.query.Get("$skiptoken"); tok != "" {
		l, err := s.open(tok, goneLink, c.tenant)
		if err != nil {
			return s.fail(c.Request, http.StatusBadRequest, "Directory_ExpiredPageToken",
				"The specified page token value has expired and can no longer be included in your request.")
		}
		pos = int(l.Cursor.Pos)
	}
	people, next, more := c.tenant.ListDeleted(pos, size)
	b := s.collection("directoryObjects/microsoft.graph.user", c.query.Get("$select"), show)
	if strings.EqualFold(c.query.Get("$count"), "true") && c.eventual() {
		b = append(b, `"@odata.count":`...)
		b = append(strconv.AppendInt(b, int64(len(c.tenant.Deleted())), 10), ',')
	}
	if more {
		q := url.Values{}
		for k, v := range c.query {
			q[k] = v
		}
		q.Set("$skiptoken", s.close(link{Kind: goneLink, Tenant: c.tenant.ID, Cursor: tenant.Cursor{Pos: uint32(next)}}))
		b = appendLink(b, "@odata.nextLink", s.Base+c.URL.Path+"?"+strings.ReplaceAll(q.Encode(), "%24", "$"))
	}
	b = append(b, `"value":[`...)
	for i := range people {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendGone(append(b, '{'), &people[i], show, at), '}')
	}
	return wire.Raw(http.StatusOK, append(b, "]}"...))
}

// deletedItem is one object in deleted items.
func (s *Server) deletedItem(c call) wire.Reply {
	err := c.allow("$select")
	var show tenant.Props
	var at bool
	if err == nil {
		show, at, err = showGone(c.query.Get("$select"))
	}
	if err != nil {
		return s.refused(c, err)
	}
	g, ok := c.tenant.DeletedPerson(c.PathValue("id"))
	if !ok {
		return s.missing(c, c.PathValue("id"))
	}
	b := append([]byte(nil), `{"@odata.context":`...)
	b = appendQuoted(b, s.Base+"/v1.0/$metadata#directoryObjects/$entity")
	b = append(b, `,"@odata.type":"#microsoft.graph.user",`...)
	return wire.Raw(http.StatusOK, append(appendGone(b, &g, show, at), '}'))
}

// deletedItems refuses a list without a type: the cast is required
// (documented, "List deletedItems").
func (s *Server) deletedItems(c call) wire.Reply {
	return s.bad(c.Request, "The type of the deleted objects must be given: /directory/deletedItems/microsoft.graph.user.")
}

func appendGone(b []byte, g *tenant.Gone, show tenant.Props, at bool) []byte {
	b = g.AppendJSON(b, show)
	if at {
		b = append(append(b, `,"`+deletedAt+`":`...), g.At.Format(`"`+time.RFC3339+`"`)...)
	}
	return b
}
