package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// Pages of every size give everybody once and in order, and the first number
// from which to follow.
func TestPeoplePages(t *testing.T) {
	b := newBench()
	b.crowd(contoso, 1203)
	b.people[contoso][5].Archived, b.people[contoso][5].Reason = now, directory.Missing
	for _, limit := range []int{1000, 999, 201, 200, 100, 37} {
		path := fmt.Sprintf("/v1/connections/%s/people?limit=%d", contoso, limit)
		n, pages := 0, 0
		for next := ""; ; pages++ {
			var page PeoplePage
			read(t, b.do(get, path+"&continuation="+next, ""), 200, &page)
			if page.LastChange != 1203 {
				t.Fatalf("lastChange %d", page.LastChange)
			}
			for _, p := range page.People {
				if want := fmt.Sprintf("00000000-0000-4000-8000-%012d", n); p.ID != want || p.DisplayName != fmt.Sprint("Person ", n) || p.LastChange != int64(n+1) {
					t.Fatalf("limit %d: record %d is %+v", limit, n, p)
				}
				if p.Active != (n != 5) || (p.ArchivedAt != nil) != (n == 5) {
					t.Fatalf("record %d: %+v", n, p)
				}
				n++
			}
			if next = page.Continuation; next == "" {
				break
			}
		}
		if want := (1203 - 1) / limit; n != 1203 || pages != want {
			t.Errorf("limit %d: %d people, %d continuations, want 1203 and %d", limit, n, pages, want)
		}
	}
	var empty PeoplePage
	w := b.do(get, "/v1/connections/"+fabrica+"/people", "")
	read(t, w, 200, &empty)
	if got := strings.TrimSpace(w.Body.String()); got != `{"people":[],"lastChange":0}` {
		t.Errorf("nobody: %s", got)
	}
}

func TestDefaultLimit(t *testing.T) {
	b := newBench()
	b.crowd(contoso, 150)
	var page PeoplePage
	read(t, b.do(get, "/v1/connections/"+contoso+"/people", ""), 200, &page)
	if len(page.People) != 100 || page.Continuation == "" {
		t.Errorf("%d people, continuation %q", len(page.People), page.Continuation)
	}
}

func TestConnectionPages(t *testing.T) {
	b := newBench()
	var first, second ConnectionPage
	read(t, b.do(get, "/v1/connections?limit=1", ""), 200, &first)
	read(t, b.do(get, "/v1/connections?limit=1&continuation="+first.Continuation, ""), 200, &second)
	if len(first.Connections) != 1 || first.Connections[0].ID != fabrica ||
		len(second.Connections) != 1 || second.Connections[0].ID != contoso || second.Continuation != "" {
		t.Errorf("%+v, then %+v", first, second)
	}
}

func TestQueryRefused(t *testing.T) {
	b := newBench()
	for query, field := range map[string]string{
		"limit=0": "query.limit", "limit=1001": "query.limit", "limit=-1": "query.limit", "limit=ten": "query.limit",
		"limit=99999999999999999999": "query.limit", "limit=1&limit=2": "query.limit",
		"continuaton=x": "query.continuaton", "%zz": "query", "a=1;b=2": "query",
	} {
		for _, list := range []string{"/v1/connections", "/v1/connections/" + contoso + "/people", "/v1/connections/" + contoso + "/runs", "/v1/connections/" + contoso + "/changes",
			"/v1/connections/" + contoso + "/removals", "/v1/connections/" + contoso + "/teams", "/v1/connections/" + contoso + "/teams/" + team1 + "/members",
			"/v1/connections/" + contoso + "/positions", "/v1/connections/" + contoso + "/mailboxes"} {
			if p := refused(t, b.do(get, list+"?"+query, ""), 422, codeValidation); !p.names(field) {
				t.Errorf("%s?%s: %+v", list, query, p.Errors)
			}
		}
	}
	for _, after := range []string{"-1", "x", "1e3", "9223372036854775808"} {
		refused(t, b.do(get, "/v1/connections/"+contoso+"/changes?after="+after, ""), 422, codeValidation)
	}
	if w := b.do(get, "/v1/connections?code=key&clientId=me&limit=5", ""); w.Code != 200 {
		t.Errorf("the host's own parameters: %d", w.Code)
	}
}

func TestContinuationRefused(t *testing.T) {
	b := newBench()
	b.crowd(contoso, 3)
	b.crowd(fabrica, 3)
	var page PeoplePage
	read(t, b.do(get, "/v1/connections/"+contoso+"/people?limit=1", ""), 200, &page)
	good := page.Continuation
	for name, path := range map[string]string{
		"other connection": fabrica + "/people?continuation=" + good,
		"other list":       contoso + "/runs?continuation=" + good,
		"cut":              contoso + "/people?continuation=" + good[:len(good)-2],
		"longer":           contoso + "/people?continuation=" + good + "AA",
		"not base64":       contoso + "/people?continuation=" + url.QueryEscape("!!'--"),
		"padding":          contoso + "/people?continuation=" + good + "==",
		"huge":             contoso + "/people?continuation=" + strings.Repeat("A", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			if p := refused(t, b.do(get, "/v1/connections/"+path, ""), 400, codeContinuation); !p.names("query.continuation") {
				t.Errorf("errors %+v", p.Errors)
			}
		})
	}
	raw, _ := base64.RawURLEncoding.DecodeString(good)
	for i := range raw { // any one bit
		raw[i] ^= 1
		if _, err := resume(listPeople, contoso, base64.RawURLEncoding.EncodeToString(raw)); err == nil {
			t.Errorf("byte %d changed, and accepted", i)
		}
		raw[i] ^= 1
	}
	refused(t, b.do(get, "/v1/connections?continuation="+good, ""), 400, codeContinuation)
}

func FuzzContinuation(f *testing.F) {
	f.Add("AXBlb3BsZQBr", "00000000-0000-4000-8000-000000000001")
	f.Add(continuation(listPeople, contoso, "x"), "")
	f.Add(continuation(listRuns, contoso, "\x00\x00"), "a\x00b")
	f.Fuzz(func(t *testing.T, token, after string) {
		if got, err := resume(listPeople, contoso, token); err == nil && continuation(listPeople, contoso, got) != token {
			t.Errorf("%q resumes at %q, whose token is another", token, got)
		}
		got, err := resume(listPeople, contoso, continuation(listPeople, contoso, after))
		if err == nil && got != after {
			t.Errorf("%q came back as %q", after, got)
		}
		printable := strings.Trim(after, "0123456789abcdefghijklmnopqrstuvwxyz-") == ""
		if err != nil && printable && len(after) < 300 {
			t.Errorf("%q: %v", after, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"company":"c","name":"n"}`))
	f.Add([]byte(`{"a":{"b":[1,{"c":null,"c":2}]}}`))
	f.Add([]byte(`{} {}`))
	f.Add([]byte(`{"guard":{"maxCount":1e2,"maxPercent":null}}`))
	f.Add([]byte(`[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var v any
		if decode(body, &v) == nil && !json.Valid(body) {
			t.Errorf("%q is not JSON", body)
		}
		var c ConnectionRequest
		_ = decode(body, &c)
		var change ConnectionChangeRequest
		_ = decode(body, &change)
	})
}

// What was read has reached the client, to the last record, while the next
// records have not been read.
func TestStreamed(t *testing.T) {
	for _, list := range []string{"people", "changes"} {
		t.Run(list, func(t *testing.T) {
			b := newBench()
			b.crowd(contoso, 1000)
			b.gate = make(chan struct{})
			open := sync.OnceFunc(func() { close(b.gate) })
			srv := httptest.NewServer(b.api)
			defer srv.Close()
			defer open()
			client := http.Client{Timeout: 10 * time.Second} // a failing test's patience
			resp, err := client.Get(srv.URL + "/v1/connections/" + contoso + "/" + list + "?limit=1000")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			dec := json.NewDecoder(resp.Body)
			for range 3 { // {"people":[
				if _, err := dec.Token(); err != nil {
					t.Fatal(err)
				}
			}
			for n := range 1000 {
				var record struct{ ID string }
				if err := dec.Decode(&record); err != nil {
					t.Fatalf("record %d: %v", n, err)
				}
				if want := fmt.Sprintf("00000000-0000-4000-8000-%012d", n); record.ID != want {
					t.Fatalf("record %d is %q", n, record.ID)
				}
				if n == chunk-1 {
					open()
				}
			}
			if b.reads < 2 {
				t.Errorf("%d reads: nothing was streamed", b.reads)
			}
		})
	}
}

// A failure in mid-list ends the page, and the next page tells of it.
func TestFailureMidway(t *testing.T) {
	b := newBench()
	b.crowd(contoso, 1000)
	b.failAfter = 2
	var people PeoplePage
	read(t, b.do(get, "/v1/connections/"+contoso+"/people?limit=1000", ""), 200, &people)
	if len(people.People) != 400 || people.Continuation == "" {
		t.Fatalf("%d people, continuation %q", len(people.People), people.Continuation)
	}
	if !strings.Contains(b.log.String(), "page ended early") {
		t.Errorf("log: %s", &b.log)
	}
	next := "/v1/connections/" + contoso + "/people?limit=1000&continuation=" + people.Continuation
	refused(t, b.do(get, next, ""), 503, codeUnavailable)
	b.failAfter = -1
	var rest PeoplePage
	read(t, b.do(get, next, ""), 200, &rest)
	if len(rest.People) != 600 || rest.People[0].DisplayName != "Person 400" || rest.Continuation != "" {
		t.Errorf("the rest: %d people", len(rest.People))
	}

	b.failAfter, b.reads = 3, 0
	var changes ChangesPage
	read(t, b.do(get, "/v1/connections/"+contoso+"/changes?limit=1000", ""), 200, &changes)
	if len(changes.Changes) != 600 || changes.Last != 600 || !changes.More {
		t.Errorf("%d changes, last %d, more %t", len(changes.Changes), changes.Last, changes.More)
	}
}

func TestChanges(t *testing.T) {
	b := newBench()
	b.crowd(contoso, 450)
	b.changes[contoso][7].Type = directory.Archived
	b.changes[contoso][7].Reason = directory.SoftDeleted
	b.changes[contoso][7].Set = directory.Set(`{"mail":null}`)
	b.changes[contoso][8] = directory.Change{
		Number: 9, Type: directory.TeamMembers, ID: team1, Run: "r", At: now, Joined: []string{object}, Left: []string{tenant},
		Set: directory.Set(`{"mail":1}`), Was: directory.Set(`{"mail":"secret"}`),
	}
	b.changes[contoso][9].Position = &directory.Move{To: position}
	b.changes[contoso][10] = directory.Change{Number: 11, Type: directory.Redacted, Run: "r", At: now}
	path := "/v1/connections/" + contoso + "/changes"
	some := b.do(get, path+"?after=8&limit=3", "").Body.String()
	for _, want := range []string{`"joined":["` + object + `"],"left":["` + tenant + `"]`, `"position":{"to":"` + position + `"}`, `{"number":11,"type":"redacted","run":"r","at":"2026-11-21T09:30:00Z"}`} {
		if !strings.Contains(some, want) || strings.Contains(some, "secret") {
			t.Errorf("no %s in %s, or too much", want, some)
		}
	}
	var after int64
	for more := true; more; {
		var page ChangesPage
		read(t, b.do(get, fmt.Sprintf("%s?after=%d&limit=210", path, after), ""), 200, &page)
		for _, c := range page.Changes {
			if after++; c.Number != after {
				t.Fatalf("change %d after %d", c.Number, after-1)
			}
			if c.Number == 8 && (c.Type != "person.archived" || c.Reason != "softDeleted" || string(c.Set["mail"]) != "null") {
				t.Errorf("%+v", c)
			}
		}
		if more = page.More; page.Last != after || more != (after < 450) {
			t.Fatalf("last %d, more %t after %d", page.Last, more, after)
		}
	}
	if after != 450 {
		t.Errorf("%d changes", after)
	}
	w := b.do(get, path+"?after=450", "")
	if got := strings.TrimSpace(w.Body.String()); got != `{"changes":[],"last":450,"more":false}` {
		t.Errorf("at the end: %s", got)
	}
	refused(t, b.do(get, path+"?after=451", ""), 400, codePosition)

	b.changes[contoso] = b.changes[contoso][100:] // cleaned up
	if p := refused(t, b.do(get, path+"?after=99", ""), 410, codeGone); !strings.Contains(p.Remedy, "/people") {
		t.Errorf("remedy %q", p.Remedy)
	}
	var page ChangesPage
	read(t, b.do(get, path+"?after=100&limit=1", ""), 200, &page)
	if page.Changes[0].Number != 101 {
		t.Errorf("%+v", page)
	}
	b.changes[contoso] = nil
	refused(t, b.do(get, path+"?after=100", ""), 410, codeGone)
}

// A row that cannot be encoded cuts the answer: a list that left it out
// would look whole.
func TestDamagedRow(t *testing.T) {
	b := newBench()
	b.crowd(contoso, 300)
	b.changes[contoso][250].Set = directory.Set(`{"mail":#}`)
	srv := httptest.NewServer(b.api)
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/v1/connections/" + contoso + "/changes?limit=1000")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page ChangesPage
	if err := json.NewDecoder(resp.Body).Decode(&page); err == nil {
		t.Errorf("a list of %d looks whole", len(page.Changes))
	}
}

func TestListsOfUnknown(t *testing.T) {
	b := newBench()
	for _, list := range []string{"people", "runs", "changes", "removals", "teams", "positions", "licenses", "mailboxes", "teams/" + team1 + "/members", "teams/" + team1, "positions/" + position, "people/" + object} {
		refused(t, b.do(get, "/v1/connections/nobody/"+list, ""), 404, codeNotFound)
	}
	b.err = fault.New(fault.Unknown, "down")
	refused(t, b.do(get, "/v1/connections", ""), 503, codeUnavailable)
}
