package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/sandbox/microsoft/fault"
)

// post sends a body and decodes the answer.
func (w *world) post(tb testingT, uri, body string, roles ...string) (status int, doc map[string]any, cut bool) {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, uri, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	res, cut := w.do(r, w.bearer(tb, roles...))
	if cut {
		return 0, nil, true
	}
	if err := json.Unmarshal(res.Body.Bytes(), &doc); err != nil {
		tb.Fatalf("%s: %v", res.Body, err)
	}
	return res.Code, doc, false
}

// responses are the inner answers by ID, and the IDs in the order of the
// answer.
func responses(tb testingT, doc map[string]any) (by map[string]map[string]any, order []string) {
	tb.Helper()
	by = map[string]map[string]any{}
	list, ok := doc["responses"].([]any)
	if !ok {
		tb.Fatalf("no responses in %v", doc)
	}
	for _, v := range list {
		m := v.(map[string]any)
		id := m["id"].(string)
		by[id], order = m, append(order, id)
	}
	return by, order
}

func TestBatchRunsEveryRequestAsItsOwn(t *testing.T) {
	w, boss, oneil, _ := three(t)
	if _, err := w.faults.Add(fault.Fault{Kind: fault.Throttle, Path: fault.Organization, RetryAfter: "7", Count: 1}); err != nil {
		t.Fatal(err)
	}
	status, d, _ := w.post(t, base+"/v1.0/$batch", `{"requests":[
		{"id":"1","method":"GET","url":"/organization"},
		{"id":"2","method":"GET","url":"users/`+oneil+`?$select=displayName&$expand=manager($select=id)"},
		{"id":"3","method":"GET","url":"/users/00000000-0000-0000-0000-000000000000"},
		{"id":"4","method":"GET","url":"/subscribedSkus"},
		{"id":"5","method":"POST","url":"/directoryObjects/getByIds?$select=id,jobTitle,userPrincipalName","headers":{"Content-Type":"application/json"},"body":{"ids":["`+boss+`"],"types":["user"]}},
		{"id":"6","method":"GET","url":"/users/$count","headers":{"ConsistencyLevel":"eventual"}},
		{"id":"7","method":"GET","url":"/users","dependsOn":["2"]},
		{"id":"8","method":"GET","url":"/users","dependsOn":["3"]},
		{"id":"9","method":"GET","url":"/users","dependsOn":["8"]},
		{"id":"10","method":"POST","url":"/$batch","headers":{"Content-Type":"application/json"},"body":{"requests":[]}},
		{"id":"11","method":"POST","url":"/directoryObjects/getByIds","body":{"ids":["`+boss+`"]}},
		{"id":"12","method":"GET","url":"https://elsewhere.example/users"}
	]}`, "User.Read.All")
	expect(t, "status", status, 200)
	by, order := responses(t, d)
	if slices.IsSorted(order) || len(order) != 12 {
		t.Errorf("order %v", order)
	}
	for id, want := range map[string]float64{"1": 429, "2": 200, "3": 404, "4": 403, "5": 200, "6": 200, "7": 200, "8": 424, "9": 424, "10": 400, "11": 400, "12": 400} {
		if by[id]["status"] != want {
			t.Errorf("request %s: %v, want %v: %v", id, by[id]["status"], want, by[id]["body"])
		}
	}
	body := func(id string) map[string]any { return by[id]["body"].(map[string]any) }
	expect(t, "Retry-After", by["1"]["headers"].(map[string]any)["Retry-After"], "7")
	expect(t, "throttled", code(body("1")), "TooManyRequests")
	expect(t, "manager", body("2")["manager"], doc{"@odata.type": "#microsoft.graph.user", "id": boss})
	expect(t, "missing", code(body("3")), "Request_ResourceNotFound")
	expect(t, "denied", code(body("4")), "Authorization_RequestDenied")
	expect(t, "by IDs", items(t, body("5")), []doc{{"@odata.type": "#microsoft.graph.user", "id": boss, "jobTitle": nil, "userPrincipalName": "boss@x.example"}})
	expect(t, "count", by["6"]["body"], 3.0)
	calls := w.t.Calls()
	for path, want := range map[string]int{fault.Batch: 1, fault.Organization: 1, fault.User: 2, fault.SubscribedSKUs: 1, fault.ByIDs: 1, fault.UsersCount: 1, fault.Users: 1, fault.ListedUsers: 0} {
		if calls[path] != want {
			t.Errorf("%d calls of %s, want %d", calls[path], path, want)
		}
	}
}

func TestBatchIsRefusedAsAWhole(t *testing.T) {
	w := newWorld(t, 1, 200)
	var many []string
	for i := range 21 {
		many = append(many, fmt.Sprintf(`{"id":"%d","method":"GET","url":"/users"}`, i))
	}
	for name, body := range map[string]string{
		"too many":           strings.Join(many, ","),
		"none":               ``,
		"no id":              `{"method":"GET","url":"/users"}`,
		"no method":          `{"id":"1","url":"/users"}`,
		"no url":             `{"id":"1","method":"GET"}`,
		"one id twice":       many[0] + "," + many[0],
		"unknown dependency": `{"id":"1","method":"GET","url":"/users","dependsOn":["2"]}`,
		"a circle":           `{"id":"1","method":"GET","url":"/users","dependsOn":["1"]}`,
	} {
		if status, doc, _ := w.post(t, base+"/v1.0/$batch", `{"requests":[`+body+`]}`, "User.Read.All"); status != 400 {
			t.Errorf("%s: %d %v", name, status, doc)
		}
	}
	if status, _, _ := w.post(t, base+"/v1.0/$batch", `{"requests":[`+strings.Join(many[:20], ",")+`]}`, "User.Read.All"); status != 200 {
		t.Errorf("20 requests: %d", status)
	}
	res, _ := w.do(httptest.NewRequest(http.MethodPost, base+"/v1.0/$batch", strings.NewReader(`{}`)), "")
	expect(t, "without a token", res.Code, 401)
}

func TestBatchFaults(t *testing.T) {
	w := newWorld(t, 3, 200)
	const one = `{"requests":[{"id":"1","method":"GET","url":"/users"}]}`
	for _, c := range []struct {
		f      fault.Fault
		status int
		cut    bool
	}{
		{fault.Fault{Kind: fault.Throttle, Path: fault.Batch, Count: 1}, 429, false},
		{fault.Fault{Kind: fault.Error, Status: 503, Path: fault.Batch, Count: 1}, 503, false},
		{fault.Fault{Kind: fault.Cut, Path: fault.Batch, Count: 1}, 0, true},
		{fault.Fault{Kind: fault.Cut, Path: fault.Users, Count: 1}, 0, true}, // inside: there is one connection
	} {
		id, err := w.faults.Add(c.f)
		if err != nil {
			t.Fatal(err)
		}
		status, _, cut := w.post(t, base+"/v1.0/$batch", one, "User.Read.All")
		if status != c.status || cut != c.cut || w.faults.Fired(id) != 1 {
			t.Errorf("%s on %s: %d, cut %v, fired %d", c.f.Kind, c.f.Path, status, cut, w.faults.Fired(id))
		}
	}
	// An inner 502 is HTML, which a batch carries as base64.
	if _, err := w.faults.Add(fault.Fault{Kind: fault.Error, Status: 502, Path: fault.Users, Count: 1}); err != nil {
		t.Fatal(err)
	}
	_, doc, _ := w.post(t, base+"/v1.0/$batch", one, "User.Read.All")
	by, _ := responses(t, doc)
	expect(t, "bad gateway", by["1"]["status"], 502.0)
	expect(t, "its body", by["1"]["body"], "PGh0bWw+PGJvZHk+QmFkIEdhdGV3YXk8L2JvZHk+PC9odG1sPg==")
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte(`{"requests":[{"id":"1","method":"GET","url":"/users","headers":{"a":"b"},"dependsOn":[]}]}`))
	f.Add([]byte(`{"requests":[{"id":"1","method":"PÖST","url":"//%zz?","body":[1]},{"id":"2","method":"GET","url":"../x","dependsOn":["1"]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseBatch(b)
		if err == nil && (len(list) == 0 || len(list) > 20) {
			t.Errorf("%d requests", len(list))
		}
		if err != nil || len(list) > 3 {
			return
		}
		w := newWorld(t, 0, 5)
		status, doc, _ := w.post(t, base+"/v1.0/$batch", string(b), "User.Read.All")
		if status != 200 || len(doc["responses"].([]any)) != len(list) {
			t.Errorf("%d %v", status, doc)
		}
	})
}
