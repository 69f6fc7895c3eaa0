package graph

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

const delta = base + "/v1.0/users/delta"

// round follows the links from uri to the delta link.
func (w *world) round(t *testing.T, uri string, header ...string) (all []map[string]any, link string) {
	t.Helper()
	for range 100 {
		status, doc, _ := w.get(t, uri, header...)
		if status != http.StatusOK {
			t.Fatalf("%s: status %d: %v", uri, status, doc)
		}
		all = append(all, items(t, doc)...)
		if link, ok := doc["@odata.deltaLink"].(string); ok {
			return all, link
		}
		uri = doc["@odata.nextLink"].(string)
	}
	t.Fatal("the round does not end")
	return nil, ""
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

type doc = map[string]any

func TestDeltaShowsSetClearedAndNeverSetProperties(t *testing.T) {
	w := newWorld(t, 0, 200)
	boss := w.person(t, tenant.Fields{"userPrincipalName": "boss@x.example"})
	id := w.person(t, tenant.Fields{"userPrincipalName": "a@x.example", "jobTitle": "Clerk", "mobilePhone": "1", "otherMails": []string{"o@x.example"}, "manager": boss})
	w.must(t, w.t.Update(id, tenant.Fields{"mobilePhone": nil}))
	sel := "?$select=jobTitle,mobilePhone,department,manager"
	got, link := w.round(t, delta+sel)
	expect(t, "initial", got, []doc{
		{"id": boss},
		{"id": id, "jobTitle": "Clerk", "mobilePhone": nil, "manager@delta": []any{doc{"@odata.type": "#microsoft.graph.user", "id": boss}}},
	})

	got, link = w.round(t, link)
	expect(t, "quiet round", len(got), 0)

	w.must(t, w.t.Update(id, tenant.Fields{"otherMails": nil, "displayName": "not selected"}))
	got, link = w.round(t, link)
	expect(t, "an edit outside $select", len(got), 0)

	for _, title := range []string{"B", "C", "D"} {
		w.must(t, w.t.Update(id, tenant.Fields{"jobTitle": title}))
	}
	again := link
	got, link = w.round(t, link)
	expect(t, "three edits, one item, manager unchanged", got, []doc{{"id": id, "jobTitle": "D", "mobilePhone": nil}})
	got, _ = w.round(t, again, "Prefer", "return=minimal")
	expect(t, "minimal", got, []doc{{"id": id, "jobTitle": "D"}})

	w.must(t, w.t.Update(id, tenant.Fields{"manager": nil}))
	got, link = w.round(t, link, "Prefer", "return=minimal")
	expect(t, "manager cleared", got, []doc{{"id": id, "manager@delta": []any{
		doc{"@odata.type": "#microsoft.graph.user", "id": boss, "@removed": doc{"reason": "deleted"}}}}})

	w.must(t, w.t.Remove(id))
	got, link = w.round(t, link)
	expect(t, "soft delete", got, []doc{{"id": id, "@removed": doc{"reason": "changed"}}})
	w.must(t, w.t.Restore(id))
	got, link = w.round(t, link, "Prefer", "return=minimal")
	expect(t, "a restored person is whole, without annotation", got, []doc{{"id": id, "jobTitle": "D", "mobilePhone": nil}})
	w.must(t, w.t.Purge(id))
	got, _ = w.round(t, link)
	expect(t, "purged", got, []doc{{"id": id, "@removed": doc{"reason": "deleted"}}})
	got, _ = w.round(t, delta+sel)
	expect(t, "an initial round may hold removals", got, []doc{{"id": boss}, {"id": id, "@removed": doc{"reason": "deleted"}}})
}

func TestManagerInTheBinLosesAndRegainsReports(t *testing.T) {
	w := newWorld(t, 0, 200)
	boss := w.person(t, tenant.Fields{"userPrincipalName": "boss@x.example"})
	id := w.person(t, tenant.Fields{"userPrincipalName": "a@x.example", "manager": boss})
	manager := func() string { p, _ := w.t.Person(id); return p.Manager }
	_, link := w.round(t, delta+"?$select=manager")

	w.must(t, w.t.Remove(boss))
	expect(t, "manager while the boss is in the bin", manager(), "")
	got, link := w.round(t, link)
	ref := doc{"@odata.type": "#microsoft.graph.user", "id": boss}
	lost := doc{"@odata.type": "#microsoft.graph.user", "id": boss, "@removed": doc{"reason": "deleted"}}
	expect(t, "delta", got, []doc{{"id": boss, "@removed": doc{"reason": "changed"}}, {"id": id, "manager@delta": []any{lost}}})
	w.must(t, w.t.Restore(boss))
	got, _ = w.round(t, link)
	expect(t, "restored", got, []doc{{"id": boss}, {"id": id, "manager@delta": []any{ref}}})

	// Both in the bin: the report comes back alone, then with its boss.
	w.must(t, w.t.Remove(id))
	w.must(t, w.t.Remove(boss))
	w.must(t, w.t.Restore(id))
	expect(t, "manager of a restored person whose boss is still in the bin", manager(), "")
	w.must(t, w.t.Restore(boss))
	expect(t, "manager after both came back", manager(), boss)
}

func TestPagesAreTheServersChoiceAndSeeLaterEdits(t *testing.T) {
	w := newWorld(t, 10, 4)
	status, doc1, h := w.get(t, delta+"()?$select=displayName&$top=999")
	expect(t, "status", status, 200)
	expect(t, "page size", len(items(t, doc1)), 4)
	expect(t, "context", doc1["@odata.context"], base+"/v1.0/$metadata#users(id,displayName)")
	if h.Get("x-ms-resource-unit") != "1" || h.Get("request-id") == "" {
		t.Errorf("headers %v", h)
	}
	first := items(t, doc1)[0]["id"].(string)
	w.must(t, w.t.Update(first, tenant.Fields{"displayName": "Edited Meanwhile"}))
	rest, _ := w.round(t, doc1["@odata.nextLink"].(string))
	expect(t, "last item", rest[len(rest)-1], doc{"id": first, "displayName": "Edited Meanwhile"})

	latest, link := w.round(t, delta+"?$deltatoken=latest&$select=displayName")
	expect(t, "items of latest", len(latest), 0)
	w.must(t, w.t.Update(first, tenant.Fields{"displayName": "After Latest"}))
	got, _ := w.round(t, link)
	expect(t, "after latest", got, []doc{{"id": first, "displayName": "After Latest"}})
}

func TestSyncStateEnds(t *testing.T) {
	w := newWorld(t, 3, 200)
	_, link := w.round(t, delta+"?$select=displayName")
	w.now = w.now.Add(7 * 24 * time.Hour)
	w.round(t, link)
	w.now = w.now.Add(time.Second)
	status, doc, _ := w.get(t, link)
	expect(t, "a token of seven days and a second", []any{status, code(doc)}, []any{400, "syncStateNotFound"})

	_, link = w.round(t, delta+"?$select=displayName")
	w.t.Forget()
	status, doc, h := w.get(t, link)
	expect(t, "a forgotten token", []any{status, code(doc), h.Get("Location")},
		[]any{410, "resyncRequired", base + "/v1.0/users/delta?$select=id,displayName&$deltatoken="})
	all, link := w.round(t, h.Get("Location"))
	expect(t, "people after Location", len(all), 3)

	for name, uri := range map[string]string{
		"made up":       delta + "?$deltatoken=abc",
		"tampered":      link[:len(link)-2] + "zz",
		"as a skip":     strings.Replace(link, "$deltatoken", "$skiptoken", 1),
		"unknown query": delta + "?$orderby=displayName",
	} {
		if status, doc, _ := w.get(t, uri); status != 400 || code(doc) == "syncStateNotFound" {
			t.Errorf("%s: status %d, %v", name, status, doc)
		}
	}
	status, doc, _ = w.get(t, delta+"?$select=id,skills")
	expect(t, "a property outside the main store", []any{status, code(doc)}, []any{501, "NotImplemented"})
}

func TestFaultsOfADeltaPage(t *testing.T) {
	w := newWorld(t, 9, 3)
	_, page1, _ := w.get(t, delta)
	ids := func(list []doc) (out []string) {
		for _, x := range list {
			out = append(out, x["id"].(string))
		}
		return out
	}
	one, plain2 := ids(items(t, page1)), []string(nil)
	next := page1["@odata.nextLink"].(string)
	_, page2, _ := w.get(t, next)
	plain2 = ids(items(t, page2))

	arm := func(f fault.Fault) int {
		t.Helper()
		f.Count = 1
		id, err := w.faults.Add(f)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	id := arm(fault.Fault{Kind: fault.Empty})
	_, empty, _ := w.get(t, next)
	expect(t, "empty page", len(items(t, empty)), 0)
	got, _ := w.round(t, empty["@odata.nextLink"].(string))
	expect(t, "people after the empty page", len(got), 6)
	expect(t, "fired", w.faults.Fired(id), 1)

	arm(fault.Fault{Kind: fault.Replay})
	_, page, _ := w.get(t, next)
	expect(t, "replay", ids(items(t, page)), append(append([]string{}, one...), plain2...))

	arm(fault.Fault{Kind: fault.Permute})
	_, page, _ = w.get(t, next)
	if got := ids(items(t, page)); reflect.DeepEqual(got, plain2) || len(got) != 3 {
		t.Errorf("permuted: %v, plain %v", got, plain2)
	}

	arm(fault.Fault{Kind: fault.Duplicate})
	_, page, _ = w.get(t, next)
	list := items(t, page)
	expect(t, "duplicate", []any{len(list), list[0]["id"], list[0]["displayName"]},
		[]any{4, list[1]["id"], "Formerly " + list[1]["displayName"].(string)})

	arm(fault.Fault{Kind: fault.Flap})
	_, page, _ = w.get(t, next)
	list = items(t, page)
	expect(t, "flap", []any{len(list), list[3]["@removed"], list[4]["displayName"]}, []any{5, doc{"reason": "changed"}, list[0]["displayName"]})

	replay := arm(fault.Fault{Kind: fault.Replay})
	w.get(t, delta)
	expect(t, "a replay has nothing to repeat on the first page", w.faults.Fired(replay), 0)
	w.faults.ClearAll()

	for kind, want := range map[fault.Kind]string{fault.Resync: "resyncRequired", fault.Expired: "syncStateNotFound"} {
		_, first, _ := w.get(t, delta)
		id := arm(fault.Fault{Kind: kind})
		w.get(t, delta)
		expect(t, "a first request has no state to lose", w.faults.Fired(id), 0)
		_, doc, _ := w.get(t, first["@odata.nextLink"].(string))
		expect(t, string(kind), code(doc), want)
		if status, _, _ := w.get(t, first["@odata.nextLink"].(string)); status != 410 {
			t.Errorf("%s: a lost state came back: %d", kind, status)
		}
	}
}

func TestFaultsOfAnyPath(t *testing.T) {
	w := newWorld(t, 5, 3)
	add := func(f fault.Fault) int {
		t.Helper()
		id, err := w.faults.Add(f)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for after, want := range map[string]string{"": "", "7": "7", "2.128": "2.128", "date:90s": "Fri, 01 May 2026 12:01:30 GMT"} {
		add(fault.Fault{Kind: fault.Throttle, Count: 1, RetryAfter: after})
		status, doc, h := w.get(t, delta)
		expect(t, "throttle "+after, []any{status, code(doc), h.Get("Retry-After"), h.Get("x-ms-throttle-scope")},
			[]any{429, "TooManyRequests", want, "Tenant_Application/ReadWrite/app/" + w.t.ID})
	}
	add(fault.Fault{Kind: fault.Error, Status: 502, Count: 2, Skip: 1, Path: fault.Organization, Tenant: w.t.ID})
	var statuses []int
	for range 4 {
		status, _, _ := w.get(t, base+"/v1.0/organization")
		statuses = append(statuses, status)
	}
	expect(t, "skip 1, count 2", statuses, []int{200, 502, 502, 200})

	id := add(fault.Fault{Kind: fault.Forbidden, Tenant: "00000000-0000-0000-0000-000000000000"})
	if status, _, _ := w.get(t, delta); status != 200 || w.faults.Fired(id) != 0 {
		t.Errorf("another tenant's fault fired: %d", status)
	}
	add(fault.Fault{Kind: fault.Forbidden})
	status, doc, _ := w.get(t, delta)
	expect(t, "forbidden", []any{status, code(doc)}, []any{403, "Authorization_RequestDenied"})
	w.faults.ClearAll()

	add(fault.Fault{Kind: fault.Slow, Delay: time.Minute, Count: 1})
	w.get(t, delta)
	w.get(t, delta)
	expect(t, "slept", w.slept, time.Minute)

	for _, kind := range []fault.Kind{fault.Cut, fault.CutChunked} {
		id := add(fault.Fault{Kind: kind, Count: 1})
		_, cut := w.do(httptest.NewRequest(http.MethodGet, delta, nil), w.bearer(t, "User.Read.All"))
		if !cut || w.faults.Fired(id) != 1 {
			t.Errorf("%s: cut %v, fired %d", kind, cut, w.faults.Fired(id))
		}
	}
	for _, f := range []fault.Fault{{}, {Kind: "x"}, {Kind: fault.Error, Status: 200}, {Kind: fault.Slow}, {Kind: fault.AADSTS}, {Kind: fault.Cut, Path: "x"}, {Kind: fault.Cut, Count: -1}} {
		if _, err := w.faults.Add(f); err == nil {
			t.Errorf("accepted %+v", f)
		}
	}
}

// Readers and editors at work at once: the race detector watches, and the
// last round ends at the directory.
func TestEditsWhileReading(t *testing.T) {
	w := newWorld(t, 60, 7)
	done := make(chan error, 1)
	go func() {
		var err error
		for seed := uint64(0); seed < 20 && err == nil; seed++ {
			_, err = w.t.Apply(tenant.Bulk{Seed: seed, Edit: 10, Remove: 3, Restore: 2, Create: 2})
		}
		done <- err
	}()
	held := map[string]any{}
	read := func(uri string) string {
		list, link := w.round(t, uri)
		for _, x := range list {
			if id := x["id"].(string); x["@removed"] != nil {
				delete(held, id)
			} else {
				held[id] = x["jobTitle"]
			}
		}
		return link
	}
	link := delta + "?$select=jobTitle"
	for running := true; running; {
		select {
		case err := <-done:
			w.must(t, err)
			running = false
		default:
		}
		link = read(link)
	}
	want := map[string]any{}
	for _, p := range w.t.People() {
		want[p.ID] = any(p.JobTitle)
		if p.JobTitle == "" {
			want[p.ID] = nil
		}
	}
	expect(t, "what the reader holds", held, want)
}
