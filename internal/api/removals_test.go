package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

const planHash = "9f2c4e71ab0396d5c8e1f07b2a4d6c83"

// plan stores n people whose removal waits for a human.
func (b *bench) plan(id string, n int) {
	b.crowd(id, n)
	for i := range b.people[id] {
		r := &b.people[id][i]
		r.Mail, r.UserPrincipalName = fmt.Sprintf("m%d@contoso.com", i), fmt.Sprintf("u%d@contoso.com", i)
		r.Pending, r.Held = directory.SoftDeleted, true
		b.listed[directory.HeldPeople] = append(b.listed[directory.HeldPeople], r.ID)
	}
	b.fences[id] = job.Fence{Tally: job.Tally{Held: n}, Plan: &job.Plan{Hash: planHash, Run: "04f8-run", At: now, Count: n + 1, Active: 900, Teams: 2, Memberships: 7}}
}

func TestDecisions(t *testing.T) {
	for verb, approve := range map[string]bool{"approve": true, "reject": false} {
		b := newBench()
		b.decide = func(id, run, hash string, yes bool) (string, error) {
			if id != fabrica || run != "04f8-run" || hash != planHash || yes != approve {
				t.Errorf("%s: decided %q, %q, %q, %t", verb, id, run, hash, yes)
			}
			return "04f7-decision", nil
		}
		w := b.do(post, "/v1/connections/"+fabrica+"/runs/04f8-run/"+verb, `{"hash":"`+planHash+`"}`, "X-Rollcall-Actor", "Ada")
		var v Run
		read(t, w, 202, &v)
		if want := "/v1/connections/" + fabrica + "/runs/04f7-decision"; w.Header().Get("Location") != want {
			t.Errorf("location %q, want %q", w.Header().Get("Location"), want)
		}
		if v.ID != "04f7-decision" || v.State != "queued" || v.Trigger != verb || v.Counters != nil || !v.QueuedAt.Equal(now) {
			t.Errorf("%+v", v)
		}
	}
}

func TestDecisionRefused(t *testing.T) {
	b := newBench()
	asked := 0
	var err error
	b.decide = func(string, string, string, bool) (string, error) { asked++; return "", err }
	good := `{"hash":"` + planHash + `"}`
	for _, verb := range []string{"approve", "reject"} {
		path := "/v1/connections/" + fabrica + "/runs/04f8-run/" + verb
		for name, test := range map[string]struct {
			err    error
			status int
			code   string
			logged int
		}{
			"decided":       {fmt.Errorf("x: %w", fault.New(fault.Conflict, "secret").WithCode("plan_decided").WithRemedy("Read the runs.")), 409, codeDecided, 0},
			"not connected": {fault.New(fault.Denied, "secret").WithCode("not_connected"), 409, codeNotConnected, 0},
			"conflict":      {fault.New(fault.Conflict, "secret"), 409, codeConflict, 1},
			"unknown":       {fault.New(fault.NotFound, "secret"), 404, codeNotFound, 0},
			"not sent":      {errors.New("secret"), 503, codeUnavailable, 1},
		} {
			b.log.Reset()
			err = test.err
			w := b.do(post, path, good)
			p := refused(t, w, test.status, test.code)
			if strings.Contains(w.Body.String(), "secret") || w.Header().Get("Location") != "" {
				t.Errorf("%s %s: %v %s", verb, name, w.Header(), w.Body)
			}
			if name == "decided" && p.Remedy != "Read the runs." {
				t.Errorf("remedy %q", p.Remedy)
			}
			if lines := strings.Count(b.log.String(), "\n"); lines != test.logged {
				t.Errorf("%s %s: %d log lines, want %d", verb, name, lines, test.logged)
			}
		}
		asked = 0
		for body, status := range map[string]int{
			`{}`:                              422,
			`{"hash":""}`:                     422,
			`{"hash":null}`:                   422,
			`{"hash":7}`:                      422,
			`{"hash":["` + planHash + `"]}`:   422,
			`{"hash":"` + planHash + `0"}`:    422,
			`{"hash":"` + planHash[1:] + `"}`: 422,
			`{"hash":"` + planHash + `\n"}`:   422,
			`{"hash":"` + strings.ToUpper(planHash) + `"}`:                     422,
			`{"Hash":"` + planHash + `"}`:                                      422,
			`{"hash":"` + planHash + `","force":true}`:                         422,
			`{"hash":"` + planHash + `","hash":"` + planHash + `"}`:            400,
			`{"hash":"` + planHash:                                             400,
			` `:                                                                400,
			`{"hash":"` + strings.Repeat("a", 1<<17) + `"}`:                    413,
			`"` + planHash + `"`:                                               422,
			`{"hash":"` + strings.Repeat("a", 31) + "\u0661" + `"}`:            422,
			`{"hash":"` + strings.Repeat("'", 32) + `"}`:                       422,
			`{"hash":{"$ne":"` + planHash + `"},"__proto__":{"hash":"` + `"}}`: 422,
		} {
			if w := b.do(post, path, body); w.Code != status {
				t.Errorf("%.80s: %d, want %d: %s", body, w.Code, status, w.Body)
			}
		}
		refused(t, b.do(post, path, good, "Content-Type", "text/plain"), 415, codeMediaType)
		refused(t, b.do(post, path+"?force=1", good), 422, codeValidation)
		for _, target := range []string{"UPPER/runs/04f8-run/", strings.Repeat("a", 65) + "/runs/04f8-run/", fabrica + "/runs/NONE/", fabrica + "/runs/a%27b/"} {
			refused(t, b.do(post, "/v1/connections/"+target+verb, good), 404, codeNotFound)
		}
		if asked != 0 {
			t.Errorf("%d hostile requests were decided", asked)
		}
	}
}

// Pages of every size give everybody who waits once and in order, each with
// the plan.
func TestRemovalPages(t *testing.T) {
	b := newBench()
	b.plan(contoso, 503)
	b.people[contoso][4].Held, b.people[contoso][4].Pending = false, "" // returned between two reads
	b.people[contoso][5].Pending = directory.Missing
	for _, limit := range []int{1000, 503, 250, 201, 37} {
		path := fmt.Sprintf("/v1/connections/%s/removals?limit=%d", contoso, limit)
		n := 0
		for next := ""; ; {
			var page RemovalPage
			read(t, b.do(get, path+"&continuation="+next, ""), 200, &page)
			if p := page.Plan; p == nil || p.Hash != planHash || p.Run != "04f8-run" || !p.At.Equal(now) || p.Count != 504 || p.Active != 900 || p.Teams != 2 || p.Memberships != 7 {
				t.Fatalf("plan %+v", page.Plan)
			}
			if len(page.Removals) > limit {
				t.Fatalf("%d on a page of %d", len(page.Removals), limit)
			}
			for _, r := range page.Removals {
				if n == 4 {
					n++
				}
				want := Removal{
					ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), DisplayName: fmt.Sprint("Person ", n),
					Mail: fmt.Sprintf("m%d@contoso.com", n), UserPrincipalName: fmt.Sprintf("u%d@contoso.com", n), Reason: "softDeleted",
				}
				if n == 5 {
					want.Reason = "missing"
				}
				if r != want {
					t.Fatalf("limit %d: %+v, want %+v", limit, r, want)
				}
				n++
			}
			if next = page.Continuation; next == "" {
				break
			}
		}
		if n != 503 {
			t.Errorf("limit %d: %d people", limit, n)
		}
	}
}

func TestNoRemovals(t *testing.T) {
	b := newBench()
	path := "/v1/connections/" + contoso + "/removals"
	empty := func(when string) {
		t.Helper()
		if w := b.do(get, path, ""); w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"removals":[]}` {
			t.Errorf("%s: %d %s", when, w.Code, w.Body)
		}
	}
	empty("never synced")
	b.plan(contoso, 3)
	var page RemovalPage
	read(t, b.do(get, path+"?limit=1", ""), 200, &page)
	if len(page.Removals) != 1 || page.Continuation == "" {
		t.Fatalf("%+v", page)
	}
	rest := path + "?limit=1&continuation=" + page.Continuation
	read(t, b.do(get, rest, ""), 200, &page)

	// Another plan is another list, and so is none.
	f := b.fences[contoso]
	other := *f.Plan
	other.Hash = strings.Repeat("0", 32)
	f.Plan = &other
	b.fences[contoso] = f
	refused(t, b.do(get, rest, ""), 400, codeContinuation)
	f.Plan = nil
	b.fences[contoso] = f
	refused(t, b.do(get, rest, ""), 400, codeContinuation)
	empty("a plan in the making")

	refused(t, b.do(get, path+"?continuation="+continuation(listPeople, contoso, "x"), ""), 400, codeContinuation)
	refused(t, b.do(get, "/v1/connections/unknown/removals", ""), 404, codeNotFound)
	refused(t, b.do(get, "/v1/connections/UPPER/removals", ""), 404, codeNotFound)
}

// A failure in mid-list ends the page, and the next page tells of it.
func TestRemovalsFailMidway(t *testing.T) {
	b := newBench()
	b.plan(contoso, 500)
	b.failAfter = 1
	var page RemovalPage
	read(t, b.do(get, "/v1/connections/"+contoso+"/removals?limit=1000", ""), 200, &page)
	if len(page.Removals) != 200 || page.Continuation == "" || page.Plan == nil {
		t.Fatalf("%d people, continuation %q", len(page.Removals), page.Continuation)
	}
	refused(t, b.do(get, "/v1/connections/"+contoso+"/removals?continuation="+page.Continuation, ""), 503, codeUnavailable)
}
