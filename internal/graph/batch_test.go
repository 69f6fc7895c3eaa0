package graph_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// asked is a request in a batch, as a server of a test's own sees it.
type asked struct {
	ID, Method, URL string
	Headers         map[string]string
	Body            json.RawMessage
}

// told is the response to it.
type told map[string]any

// batches answers $batch, with one more response or less if it likes.
func batches(t *testing.T, each func(call int, all []asked) []told) http.HandlerFunc {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Requests []asked }
		b, err := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &body); err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1.0/$batch" {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		if err != nil || len(body.Requests) == 0 || len(body.Requests) > 20 {
			t.Errorf("%d requests in a batch, %v", len(body.Requests), err)
		}
		w.Header().Set("x-ms-resource-unit", "1")
		out, _ := json.Marshal(map[string]any{"responses": each(int(n.Add(1)), body.Requests)})
		_, _ = w.Write(out)
	}
}

// people are n IDs.
func people(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("%08x-2222-3333-4444-555555555555", i))
	}
	return ids
}

// restorable answers deletedItems: odd ones are there.
func restorable(a asked) told {
	id := strings.TrimSuffix(strings.TrimPrefix(a.URL, "/directory/deletedItems/"), "?$select=id")
	if strings.IndexByte("13579bdf", id[7]) < 0 {
		return told{"id": a.ID, "status": 404, "body": map[string]any{"error": map[string]any{"code": "Request_ResourceNotFound"}}}
	}
	return told{"id": a.ID, "status": 200, "headers": map[string]string{"x-ms-resource-unit": "2"}, "body": map[string]any{"id": strings.ToUpper(id)}}
}

// Any number of requests goes out by twenties, in whatever order they return,
// and everything that they cost is counted.
func TestBatch(t *testing.T) {
	c, _ := serve(t, batches(t, func(_ int, all []asked) (out []told) {
		for _, a := range all {
			out = append(out, restorable(a))
		}
		slices.Reverse(out)
		return out
	}))
	for n, want := range map[int][2]int{0: {0, 0}, 1: {1, 1}, 20: {1, 21}, 45: {3, 3 + 44}} { // calls and units
		ctx, count := metered(t)
		got, err := c.DeletedPeople(ctx, connection.Access{Tenant: "t"}, people(n))
		if err != nil || len(got) != n {
			t.Fatalf("%d of %d, %v", len(got), n, err)
		}
		for i, id := range people(n) {
			if got[id] != (i%2 == 1) {
				t.Errorf("%s: %v", id, got[id])
			}
		}
		if calls, units := count.Take(); calls != want[0] || units != want[1] {
			t.Errorf("%d people: %d calls and %d units, want %v", n, calls, units, want)
		}
	}
}

// One response that cannot be believed makes the batch an error, and so does
// one refusal.
func TestBatchRefused(t *testing.T) {
	status := func(at, status int, more ...any) func([]told) []told {
		return func(all []told) []told {
			r := told{"id": all[at]["id"], "status": status, "body": map[string]any{"error": map[string]any{"code": fmt.Sprint("code", status)}}}
			for i := 0; i < len(more); i += 2 {
				r[more[i].(string)] = more[i+1]
			}
			all[at] = r
			return all
		}
	}
	after := func(s any) map[string]any { return map[string]any{"retry-after": s} }
	both := func(a, b func([]told) []told) func([]told) []told {
		return func(all []told) []told { return b(a(all)) }
	}
	for name, f := range map[string]struct {
		change func([]told) []told
		kind   fault.Kind
		code   string
		after  time.Duration
		calls  int
	}{
		"missing":             {func(all []told) []told { return all[1:] }, fault.Unknown, "", 0, 1},
		"none":                {func([]told) []told { return nil }, fault.Unknown, "", 0, 1},
		"twice":               {func(all []told) []told { all[1] = all[2]; return all }, fault.Unknown, "", 0, 1},
		"one more":            {func(all []told) []told { return append(all, all[2]) }, fault.Unknown, "", 0, 1},
		"unknown":             {func(all []told) []told { all[1]["id"] = "99"; return all }, fault.Unknown, "", 0, 1},
		"another's":           {func(all []told) []told { all[1]["body"] = map[string]any{"id": another}; return all }, fault.Unknown, "", 0, 1},
		"no body":             {func(all []told) []told { delete(all[1], "body"); return all }, fault.Unknown, "", 0, 1},
		"no base64":           {func(all []told) []told { all[1]["body"] = "%"; return all }, fault.Unknown, "", 0, 1},
		"no status":           {func(all []told) []told { delete(all[1], "status"); return all }, fault.Unknown, "", 0, 1},
		"204":                 {status(1, 204), fault.Unknown, "code204", 0, 1},
		"400":                 {status(1, 400), fault.Invalid, "code400", 0, 1},
		"410":                 {status(1, 410), fault.Unknown, "code410", 0, 1},
		"424":                 {status(1, 424), fault.Unknown, "code424", 0, 1},
		"500":                 {status(1, 500), fault.Unknown, "code500", 0, 1},
		"403":                 {status(1, 403), fault.Denied, "code403", 0, 2},
		"401":                 {status(1, 401), fault.Unknown, "code401", 0, 2},
		"429":                 {status(1, 429), fault.Throttled, "code429", 0, 1},
		"503":                 {status(1, 503), fault.Throttled, "code503", 0, 1},
		"the longest wait":    {both(status(1, 429, "headers", after("3")), both(status(2, 503, "headers", after("17")), status(3, 429, "headers", after("5")))), fault.Throttled, "code503", 17 * time.Second, 1},
		"a wait as a number":  {status(1, 429, "headers", after(2.128)), fault.Throttled, "code429", 2128 * time.Millisecond, 1},
		"throttled and 403":   {both(status(1, 403), status(2, 429, "headers", after("3"))), fault.Throttled, "code429", 3 * time.Second, 1},
		"500 and 403":         {both(status(1, 500), status(2, 403)), fault.Denied, "code403", 0, 2},
		"403 without a code":  {status(1, 403, "body", map[string]any{"error": map[string]any{"code": ""}}), fault.Denied, "", 0, 2},
		"403 in plain base64": {status(1, 403, "body", "c29ycnk="), fault.Denied, "", 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var calls int
			c, _ := serve(t, batches(t, func(_ int, all []asked) (out []told) {
				calls++
				for _, a := range all {
					out = append(out, restorable(a))
				}
				if calls > 1 { // what was refused is refused again
					for i := range out {
						status(i, map[fault.Kind]int{fault.Denied: 403}[f.kind]+map[bool]int{true: 401}[name == "401"], "body", map[string]any{"error": map[string]any{"code": f.code}})(out)
					}
					return out
				}
				return f.change(out)
			}))
			got, err := c.DeletedPeople(t.Context(), connection.Access{Tenant: "t"}, people(30)[:19])
			e := fault.Of(err)
			if err == nil || got != nil || e.Kind != f.kind || e.Code != f.code || e.After < f.after || e.After > f.after+time.Millisecond || calls != f.calls {
				t.Errorf("%v: kind %s, code %q, after %s, %d calls", err, e.Kind, e.Code, e.After, calls)
			}
			if (e.Kind == fault.Denied) != strings.Contains(e.Remedy, "User.Read.All") {
				t.Errorf("remedy %q", e.Remedy)
			}
		})
	}
}

// What a new token is granted counts, and only the refused is asked again.
func TestBatchFreshToken(t *testing.T) {
	var sizes []int
	c, _ := serve(t, batches(t, func(call int, all []asked) (out []told) {
		sizes = append(sizes, len(all))
		for i, a := range all {
			r := restorable(a)
			if call == 1 && i%5 == 0 {
				r = told{"id": a.ID, "status": 403, "headers": map[string]string{"x-ms-resource-unit": "3"}}
			}
			out = append(out, r)
		}
		return out
	}))
	ctx, count := metered(t)
	got, err := c.DeletedPeople(ctx, connection.Access{Tenant: "t"}, people(20))
	if err != nil || len(got) != 20 || !slices.Equal(sizes, []int{20, 4}) {
		t.Fatalf("%d people by %v, %v", len(got), sizes, err)
	}
	for i, id := range people(20) {
		if got[id] != (i%2 == 1) {
			t.Errorf("%s: %v", id, got[id])
		}
	}
	if calls, units := count.Take(); calls != 2 || units != 2+4*3+8*2+2*2 {
		t.Errorf("%d calls, %d units", calls, units)
	}
}

// A batch that is refused as a whole.
func TestOuterRefusal(t *testing.T) {
	for status, kind := range map[int]fault.Kind{424: fault.Throttled, 429: fault.Throttled, 503: fault.Throttled, 500: fault.Unknown, 403: fault.Denied, 400: fault.Invalid} {
		c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"error":{"code":"why"}}`)
		})
		got, err := c.DeletedPeople(t.Context(), connection.Access{Tenant: "t"}, people(3))
		e := fault.Of(err)
		if got != nil || err == nil || e.Kind != kind || e.Code != "why" || (kind == fault.Throttled) != (e.After >= 7*time.Second) {
			t.Errorf("%d: %v, %s after %s", status, err, e.Kind, e.After)
		}
	}
}

// A later chunk that fails takes the earlier ones with it.
func TestBatchAllOrNothing(t *testing.T) {
	c, _ := serve(t, batches(t, func(call int, all []asked) (out []told) {
		for _, a := range all {
			out = append(out, restorable(a))
		}
		if call == 2 {
			out[3]["status"] = 500
		}
		return out
	}))
	if got, err := c.DeletedPeople(t.Context(), connection.Access{Tenant: "t"}, people(40)); got != nil || !fault.Is(err, fault.Unknown) {
		t.Errorf("%d people, %v", len(got), err)
	}
	if got, err := c.DeletedPeople(t.Context(), connection.Access{Tenant: "t"}, []string{"../x"}); got != nil || !fault.Is(err, fault.Invalid) {
		t.Errorf("no ID: %d people, %v", len(got), err)
	}
}

// The paths and bodies inside of a batch, and what comes back by each.
func TestInnerRequests(t *testing.T) {
	var urls []string
	var bodies []string
	answer := func(a asked) any { return map[string]any{} }
	c, _ := serve(t, batches(t, func(_ int, all []asked) (out []told) {
		for _, a := range all {
			urls = append(urls, a.Method+" "+a.URL)
			if a.Body != nil {
				bodies = append(bodies, a.Headers["Content-Type"]+" "+string(a.Body))
			}
			out = append(out, told{"id": a.ID, "status": 200, "body": answer(a)})
		}
		return out
	}))
	check := func(what string, err error, want ...string) {
		t.Helper()
		if err != nil || !slices.Equal(urls, want) {
			t.Errorf("%s: %v, %v", what, urls, err)
		}
		urls = nil
	}
	upns := []string{"a@x.example", "o'neil@x.example", "guest_y.example#EXT#@x.example", "a/../b?c@x.example", "$odd'@x.example", "concealed"}
	answer = func(a asked) any { return told{"value": "shared"} }
	got, err := c.MailboxPurposes(t.Context(), connection.Access{Tenant: "t"}, upns)
	check("purposes", err,
		"GET /users/a@x.example/mailboxSettings/userPurpose", "GET /users/o%27neil@x.example/mailboxSettings/userPurpose",
		"GET /users/guest_y.example%23EXT%23@x.example/mailboxSettings/userPurpose", "GET /users/a%2F..%2Fb%3Fc@x.example/mailboxSettings/userPurpose",
		"GET /users('$odd%27%27@x.example')/mailboxSettings/userPurpose")
	if want := map[string]string{upns[0]: "shared", upns[1]: "shared", upns[2]: "shared", upns[3]: "shared", upns[4]: "shared"}; !maps.Equal(got, want) {
		t.Errorf("purposes %v", got)
	}
	answer = func(a asked) any { return told{"value": "unknownFutureValue"} }
	if got, err := c.MailboxPurposes(t.Context(), connection.Access{Tenant: "t"}, upns[:1]); err != nil || len(got) != 0 {
		t.Errorf("a purpose of the future: %v, %v", got, err)
	}
	urls = nil

	answer = func(a asked) any {
		return told{"id": strings.ToUpper(someone), "mail": "a@x.example", "manager": told{"id": strings.ToUpper(another)}}
	}
	items, err := c.Whole(t.Context(), connection.Access{Tenant: "t"}, []string{someone}, []string{"mail", "manager", "jobTitle"})
	check("whole", err, "GET /users/"+someone+"?$select=id%2Cmail%2CjobTitle&$expand=manager($select=id)")
	if len(items) != 1 || items[0].ID != someone || items[0].Mail != "a@x.example" || !items[0].HasManager || items[0].Manager != another {
		t.Errorf("whole: %+v", items)
	}
	items, err = c.Whole(t.Context(), connection.Access{Tenant: "t"}, []string{someone}, []string{"mail"})
	check("whole without manager", err, "GET /users/"+someone+"?$select=id%2Cmail")
	if len(items) != 1 || items[0].HasManager || items[0].Manager != "" {
		t.Errorf("whole without manager: %+v", items)
	}
	if _, err := c.Whole(t.Context(), connection.Access{Tenant: "t"}, []string{another}, nil); !fault.Is(err, fault.Unknown) {
		t.Errorf("another person answers: %v", err)
	}
	urls = nil

	answer = func(a asked) any { return told{"value": []string{strings.ToUpper(another)}} }
	in, err := c.InGroups(t.Context(), connection.Access{Tenant: "t"}, []string{someone}, []string{someone, another})
	check("in groups", err, "POST /users/"+someone+"/checkMemberGroups")
	if want := `application/json {"groupIds":["` + someone + `","` + another + `"]}`; !slices.Equal(bodies, []string{want}) || !in[someone] {
		t.Errorf("in groups: %v by %q", in, bodies)
	}
	if _, err := c.InGroups(t.Context(), connection.Access{Tenant: "t"}, []string{someone}, []string{someone}); !fault.Is(err, fault.Unknown) {
		t.Errorf("a group that was not asked for: %v", err)
	}
	answer = func(a asked) any { return told{"value": []string{}} }
	if in, err := c.InGroups(t.Context(), connection.Access{Tenant: "t"}, []string{someone}, []string{another}); err != nil || len(in) != 1 || in[someone] {
		t.Errorf("in no group: %v, %v", in, err)
	}
	for _, n := range []int{0, 21} {
		if in, err := c.InGroups(t.Context(), connection.Access{Tenant: "t"}, []string{someone}, people(n)); !fault.Is(err, fault.Invalid) || in != nil {
			t.Errorf("%d groups: %v, %v", n, in, err)
		}
	}
	urls = nil

	group := func(id string) told { return told{"@odata.type": "#microsoft.graph.group", "id": id} }
	answer = func(a asked) any {
		return told{"value": []any{group(another), told{"@odata.type": "#microsoft.graph.directoryRole", "id": someone}, group(another)}}
	}
	of, err := c.MemberOf(t.Context(), connection.Access{Tenant: "t"}, []string{someone})
	check("member of", err, "GET /users/"+someone+"/memberOf?$select=id&$top=999")
	if !slices.Equal(of[someone], []string{another}) {
		t.Errorf("member of %v", of)
	}
}
