package graph

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

func TestMailboxSettings(t *testing.T) {
	w := newWorld(t, 0, 200)
	ann := w.person(t, tenant.Fields{"userPrincipalName": "a.o'neil@x.example", "mail": "a@x.example"})
	room := w.person(t, tenant.Fields{"userPrincipalName": "r@x.example"})
	none := w.person(t, tenant.Fields{"userPrincipalName": "n@x.example"})
	w.must(t, w.t.SetMailbox(room, tenant.Mailbox{Purpose: "room"}))
	get := func(path string) (int, map[string]any) {
		t.Helper()
		return w.json(t, w.as(t, users+"/"+path, "MailboxSettings.Read"))
	}
	for path, want := range map[string]string{
		ann + "/mailboxSettings/userPurpose": "user", room + "/mailboxSettings/userPurpose": "room",
		url.PathEscape("A.O'Neil@x.example") + "/mailboxSettings/userPurpose": "user",
	} {
		_, d := get(path)
		expect(t, path, d["value"], want)
	}
	_, d := get(room + "/mailboxSettings?$select=userPurpose")
	delete(d, "@odata.context")
	expect(t, "selected", d, doc{"userPurpose": "room"})
	for path, want := range map[string]string{
		none + "/mailboxSettings": "MailboxNotEnabledForRESTAPI", none + "/mailboxSettings/userPurpose": "MailboxNotEnabledForRESTAPI",
		"nobody@x.example/mailboxSettings": "ErrorInvalidUser",
	} {
		if status, d := get(path); status != 404 || code(d) != want {
			t.Errorf("%s: %d %v", path, status, d)
		}
	}
	w.must(t, w.t.RemoveMailbox(ann))
	if status, _ := get(ann + "/mailboxSettings"); status != 404 {
		t.Errorf("a removed mailbox: %d", status)
	}
	if err := w.t.SetMailbox(ann, tenant.Mailbox{Purpose: "letter box"}); err == nil {
		t.Error("an unknown purpose was accepted")
	}
	id := w.arm(t, fault.Fault{Kind: fault.Throttle, Path: fault.MailboxSettings, Count: 1})
	if status, _ := get(room + "/mailboxSettings"); status != 429 || w.faults.Fired(id) != 1 {
		t.Errorf("fault: %d", status)
	}
}

// json decodes an answer.
func (w *world) json(tb testingT, res *httptest.ResponseRecorder) (int, map[string]any) {
	tb.Helper()
	var d map[string]any
	if err := json.Unmarshal(res.Body.Bytes(), &d); err != nil {
		tb.Fatalf("%s: %v", res.Body, err)
	}
	return res.Code, d
}

func TestDeletedItems(t *testing.T) {
	w, boss, oneil, plain := three(t)
	w.now = w.now.Add(90 * time.Minute)
	w.must(t, w.t.Remove(oneil))
	w.now = w.now.Add(time.Hour)
	w.must(t, w.t.Remove(plain))
	const cast = base + "/v1.0/directory/deletedItems/microsoft.graph.user"
	_, d, _ := w.get(t, cast+"?$select=id,displayName,deletedDateTime&$top=1&$count=true", "ConsistencyLevel", "eventual")
	expect(t, "first page", items(t, d), []doc{{"id": oneil, "displayName": "O'Neil", "deletedDateTime": "2026-05-01T13:30:00Z"}})
	expect(t, "count", d["@odata.count"], 2.0)
	_, d, _ = w.get(t, d["@odata.nextLink"].(string))
	expect(t, "second page", items(t, d), []doc{{"id": plain, "displayName": nil, "deletedDateTime": "2026-05-01T14:30:00Z"}})
	if d["@odata.nextLink"] != nil {
		t.Error("the last page has a next link")
	}
	_, d, _ = w.get(t, base+"/v1.0/directory/deletedItems/"+plain)
	expect(t, "one", []any{d["id"], d["deletedDateTime"], d["jobTitle"], d["userPrincipalName"]},
		[]any{plain, "2026-05-01T14:30:00Z", "A, (B) or C", strings.ReplaceAll(plain, "-", "") + "Sam@x.example"})
	for path, status := range map[string]int{
		"": 400, "/microsoft.graph.user?$top=1000": 400, "/microsoft.graph.user?$filter=x": 400, "/microsoft.graph.user?$select=nonsense": 400,
		"/microsoft.graph.user?$skiptoken=x": 400, "/" + boss: 404, "/x": 404, "/microsoft.graph.user?$top=999": 200,
	} {
		if got, d, _ := w.get(t, base+"/v1.0/directory/deletedItems"+path); got != status {
			t.Errorf("%s: %d, want %d: %v", path, got, status, d)
		}
	}
	w.must(t, w.t.Restore(oneil))
	w.must(t, w.t.Purge(plain))
	_, d, _ = w.get(t, cast)
	expect(t, "restored and purged", len(items(t, d)), 0)
}

// A whole enumeration with managers, page by page, is everybody once.
func TestUsersPagesWithManagers(t *testing.T) {
	w := newWorld(t, 1003, 200)
	managers := map[string]string{}
	for _, p := range w.t.People() {
		managers[p.ID] = p.Manager
	}
	pages := 0
	for uri := users + "?$select=id&$expand=manager($select=id)&$top=999"; uri != ""; pages++ {
		_, d, _ := w.get(t, uri)
		for _, x := range items(t, d) {
			m, _ := x["manager"].(map[string]any)
			id, _ := m["id"].(string)
			want, known := managers[x["id"].(string)]
			if !known || want != id {
				t.Fatalf("%v: manager %q, want %q (known %v)", x["id"], id, want, known)
			}
			delete(managers, x["id"].(string))
		}
		uri, _ = d["@odata.nextLink"].(string)
	}
	if pages != 2 || len(managers) != 0 {
		t.Errorf("%d pages, %d people missing", pages, len(managers))
	}
}

func TestCountsLag(t *testing.T) {
	w, boss, oneil, _ := three(t)
	count := func(filter string) (n int, listed any) {
		t.Helper()
		uri := users + "/$count"
		if filter != "" {
			uri += "?$filter=" + url.QueryEscape(filter)
		}
		r := httptest.NewRequest("GET", uri, nil)
		r.Header.Set("ConsistencyLevel", "eventual")
		res, _ := w.do(r, w.bearer(t, "User.Read.All"))
		n, err := strconv.Atoi(res.Body.String())
		if err != nil {
			t.Fatal(err)
		}
		_, d, _ := w.get(t, users+"?$count=true", "ConsistencyLevel", "eventual")
		return n, d["@odata.count"]
	}
	check := func(when string, all, bosses int) {
		t.Helper()
		n, listed := count("")
		b, _ := count("displayName eq 'Boss'")
		if n != all || listed != float64(all) || b != bosses {
			t.Errorf("%s: %d, listed %v, bosses %d; want %d and %d", when, n, listed, b, all, bosses)
		}
	}
	check("at first", 3, 1)
	w.must(t, w.t.LagCount(1))
	check("without the last who came", 2, 1)
	w.must(t, w.t.Remove(boss))
	check("as if the boss were there", 3, 1)
	w.must(t, w.t.Remove(oneil))
	check("only the boss is known to be gone", 2, 0)
	w.must(t, w.t.Restore(boss))
	check("not yet known to be back", 1, 0)
	w.must(t, w.t.LagCount(100))
	check("nobody is known", 0, 0)
	w.must(t, w.t.LagCount(0))
	check("up to date", 2, 1)
	if w.t.LagCount(-1) == nil {
		t.Error("a negative lag was accepted")
	}
}
