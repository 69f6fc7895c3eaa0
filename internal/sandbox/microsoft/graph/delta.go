package graph

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/wire"
)

// feed is a resource with a delta: what differs between users and groups.
type feed struct {
	name        string // of the collection
	path        string // kind of path, for faults
	skip, delta string // kinds of its links
	track       func(l *link, sel string) error
	names       func(l *link) []string
	begin       func(t *tenant.Tenant, from uint32) tenant.Cursor
}

var usersFeed = feed{
	name: "users", path: fault.UsersDelta, skip: skipLink, delta: deltaLink,
	track: func(l *link, sel string) (err error) {
		l.Track, err = selected(sel, tenant.PropDefault)
		return err
	},
	names: func(l *link) []string { return l.Track.Names() },
	begin: func(t *tenant.Tenant, from uint32) tenant.Cursor { return t.Begin(from) },
}

// usersDelta is one page of a delta round. $top is ignored: the server chooses
// the size.
func (s *Server) usersDelta(c call) wire.Reply {
	if err := c.allow("$select", "$top", "$expand", "$deltatoken", "$skiptoken"); err != nil {
		return s.refused(c, err)
	}
	l, rep, ok := s.place(c, usersFeed)
	if !ok {
		return rep
	}
	if c.query.Get("$deltatoken") == "latest" {
		l.Cursor = c.tenant.Latest()
		return s.page(usersFeed, l, true, 0, nil)
	}
	if _, hit := s.Gate.Faults.Take(c.tenant.ID, fault.UsersDelta, fault.Empty); hit {
		return s.page(usersFeed, l, false, 0, nil)
	}
	minimal := prefersMinimal(c.Request)
	items, next, done := c.tenant.Changes(l.Cursor, l.Track, minimal, s.PageSize)
	items = s.shape(c, l, minimal, items)
	l.Cursor = next
	items = s.omit(c, items)
	rep = s.page(usersFeed, l, done, len(items), func(b []byte, i int) []byte { return appendChange(b, &items[i]) })
	if minimal {
		rep.Header.Set("Preference-Applied", "return=minimal")
	}
	return rep
}

func prefersMinimal(r *http.Request) bool {
	for _, v := range r.Header.Values("Prefer") {
		for p := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(p), "return=minimal") {
				return true
			}
		}
	}
	return false
}

// place finds where in which round the request stands; ok is false if it is
// answered by rep already.
func (s *Server) place(c call, of feed) (l link, rep wire.Reply, ok bool) {
	kind, tok := of.skip, c.query.Get("$skiptoken")
	if tok == "" {
		kind, tok = of.delta, c.query.Get("$deltatoken")
	}
	if tok == "" || tok == "latest" {
		sel := c.query.Get("$select")
		l = link{Tenant: c.tenant.ID, Selected: sel != ""}
		if err := of.track(&l, sel); err != nil {
			return l, s.refused(c, err), false
		}
		l.Cursor, l.Epoch = of.begin(c.tenant, 0), c.tenant.Epoch()
		return l, rep, true
	}
	l, err := s.open(tok, kind, c.tenant)
	if f, hit := s.reset(c, of.path, err); hit {
		c.tenant.Forget()
		err = errForgotten
		if f.Kind == fault.Expired {
			err = errExpired
		}
	}
	switch {
	case errors.Is(err, errExpired):
		return l, s.fail(c.Request, http.StatusBadRequest, "syncStateNotFound",
			"The sync state generation is not found. The delta token is expired and data must be synchronized again."), false
	case errors.Is(err, errForgotten):
		rep := s.fail(c.Request, http.StatusGone, "resyncRequired", "The delta token is no longer valid, and the app must reset the sync state.")
		at := s.Base + "/v1.0/" + of.name + "/delta?"
		if l.Selected {
			at += "$select=" + strings.Join(of.names(&l), ",") + "&"
		}
		rep.Header.Set("Location", at+"$deltatoken=")
		return l, rep, false
	case err != nil:
		return l, s.bad(c.Request, "Badly formed token."), false
	}
	if kind == of.delta {
		l.Cursor = of.begin(c.tenant, l.Cursor.From)
	}
	return l, rep, true
}

// reset fires a fault that loses the sync state of a token that is good.
func (s *Server) reset(c call, path string, err error) (fault.Fault, bool) {
	if err != nil {
		return fault.Fault{}, false
	}
	return s.Gate.Faults.Take(c.tenant.ID, path, fault.Resync, fault.Expired)
}

// page writes n items and the link to go on with.
func (s *Server) page(of feed, l link, done bool, n int, item func(b []byte, i int) []byte) wire.Reply {
	var names []string
	if l.Selected {
		names = of.names(&l)
	}
	b := s.opening(of.name, names)
	at := s.Base + "/v1.0/" + of.name + "/delta?"
	if l.Kind = of.skip; done {
		l.Kind = of.delta
		b = appendLink(b, "@odata.deltaLink", at+"$deltatoken="+s.close(l))
	} else {
		b = appendLink(b, "@odata.nextLink", at+"$skiptoken="+s.close(l))
	}
	b = append(b, `"value":[`...)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = item(b, i)
	}
	return wire.Raw(http.StatusOK, append(b, "]}"...))
}

// opening opens a collection document with its context, which names the
// selected properties, if any.
func (s *Server) opening(name string, selected []string) []byte {
	if selected != nil {
		name += "(" + strings.Join(selected, ",") + ")"
	}
	b := append(make([]byte, 0, 64<<10), `{"@odata.context":`...)
	return append(appendQuoted(b, s.Base+"/v1.0/$metadata#"+name), ',')
}

// omit leaves out what an index that is not up to date does not know.
func (s *Server) omit(c call, items []tenant.Change) []tenant.Change {
	gone := s.Gate.Faults.Omitted(c.tenant.ID, fault.UsersDelta, func(id string) bool {
		return slices.ContainsFunc(items, func(ch tenant.Change) bool { return ch.Person.ID == id })
	})
	return slices.DeleteFunc(items, func(ch tenant.Change) bool { return gone[ch.Person.ID] })
}

// appendChange writes one delta item.
func appendChange(b []byte, ch *tenant.Change) []byte {
	b = append(b, '{')
	if ch.Removed != "" {
		b = ch.Person.AppendJSON(b, tenant.PropID)
		return append(append(append(b, `,"@removed":{"reason":"`...), ch.Removed...), `"}}`...)
	}
	b = ch.Person.AppendJSON(b, ch.Show)
	if ch.Manager != "" || len(ch.Former) > 0 {
		b = append(b, `,"manager@delta":[`...)
		for _, id := range ch.Former {
			b = append(append(append(b, `{"@odata.type":"#microsoft.graph.user","id":"`...), id...), `","@removed":{"reason":"deleted"}},`...)
		}
		if ch.Manager != "" {
			b = append(append(append(b, `{"@odata.type":"#microsoft.graph.user","id":"`...), ch.Manager...), `"}`...)
		} else {
			b = b[:len(b)-1]
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// replayed is how many earlier items a replay repeats.
const replayed = 10

// shape lets the faults of a delta page in. Whatever they do, the last item
// of a person on the page is its present state.
func (s *Server) shape(c call, l link, minimal bool, items []tenant.Change) []tenant.Change {
	t := c.tenant
	take := func(k fault.Kind) bool {
		_, hit := s.Gate.Faults.Take(t.ID, fault.UsersDelta, k)
		return hit
	}
	if len(items) > 1 && take(fault.Permute) {
		slices.Reverse(items)
	}
	present := -1
	for i := range items {
		if items[i].Removed == "" {
			present = i
			break
		}
	}
	if present >= 0 {
		whole, ok := t.Whole(items[present].Person.ID, l.Track)
		if ok && items[present].Show&tenant.PropDisplayName != 0 && take(fault.Duplicate) {
			old := items[present]
			old.Person.DisplayName = "Formerly " + old.Person.DisplayName
			items = append([]tenant.Change{old}, items...)
		}
		if ok && take(fault.Flap) {
			gone := tenant.Change{Person: whole.Person, Removed: "changed"}
			items = append(items, gone, whole)
		}
	}
	if earlier := t.Read(l.Cursor, l.Cursor.Pos, l.Track, minimal, replayed); len(earlier) > 0 && take(fault.Replay) {
		items = append(earlier, items...)
	}
	return items
}
