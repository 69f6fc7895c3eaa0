package api

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/job"
)

// fleet stores n connections, of which every third is ok and every seventh of
// the same company, and returns their IDs in order.
func (b *bench) fleet(n int) (ids []string) {
	clear(b.connections)
	for i := range n {
		c := connection.Connection{
			ID: fmt.Sprintf("c%025d", i), Company: fmt.Sprint("company-", i%7), Name: fmt.Sprint("Müller & Söhne ", i), Status: connection.Failed,
			Verified: now, Link: 1, CreatedAt: now, Version: "1", Tenant: fmt.Sprintf("00000000-0000-4000-8000-%012d", i),
		}
		if i%3 == 0 {
			c.Status = connection.OK
		}
		b.connections[c.ID] = c
		ids = append(ids, c.ID)
	}
	return ids
}

// Every filter gives just what fits it, once and in order, on pages of any size.
func TestConnectionFilters(t *testing.T) {
	b := newBench()
	ids := b.fleet(240)
	b.fences[ids[3]] = job.Fence{Run: job.Run{State: job.Running}}
	b.fences[ids[4]] = job.Fence{Run: job.Run{State: job.Waiting, Throttled: true}}
	b.set(ids[5], func(c *connection.Connection) { c.NamedTenant = tenant })
	for query, fits := range map[string]func(i int) bool{
		"":                                  func(int) bool { return true },
		"status=ok":                         func(i int) bool { return i%3 == 0 && i != 3 },
		"status=failed":                     func(i int) bool { return i%3 != 0 && i != 4 },
		"status=syncing":                    func(i int) bool { return i == 3 },
		"status=throttled":                  func(i int) bool { return i == 4 },
		"status=paused":                     func(i int) bool { return false },
		"company=company-2":                 func(i int) bool { return i%7 == 2 },
		"company=Company-2":                 func(i int) bool { return false },
		"company=company-0&status=ok":       func(i int) bool { return i%21 == 0 },
		"tenant=" + strings.ToUpper(tenant): func(i int) bool { return i == 5 },
		"q=" + url.QueryEscape("SÖHNE 44"):  func(i int) bool { return i == 44 || i >= 440 && i < 450 },
	} {
		var want []string
		for i, id := range ids {
			if fits(i) {
				want = append(want, id)
			}
		}
		for _, limit := range []int{1000, 200, 7} {
			var got []string
			for next := ""; ; {
				var page ConnectionPage
				read(t, b.do(get, fmt.Sprintf("/v1/connections?limit=%d&%s&continuation=%s", limit, query, next), ""), 200, &page)
				if len(page.Connections) > limit {
					t.Fatalf("%s: %d on a page of %d", query, len(page.Connections), limit)
				}
				for _, c := range page.Connections {
					got = append(got, c.ID)
				}
				if next = page.Continuation; next == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, limit %d: %d connections, want %d", query, limit, len(got), len(want))
			}
		}
	}
	// A continuation serves the filter that gave it.
	var page ConnectionPage
	read(t, b.do(get, "/v1/connections?limit=5&status=ok", ""), 200, &page)
	for _, other := range []string{"", "&status=failed", "&status=ok&q=x"} {
		refused(t, b.do(get, "/v1/connections?continuation="+page.Continuation+other, ""), 400, codeContinuation)
	}
	for _, query := range []string{"status=weird", "tenant=contoso.com", "name=x", "status=ok&status=failed"} {
		refused(t, b.do(get, "/v1/connections?"+query, ""), 422, codeValidation)
	}
}

// A name is changed like a setting, and never noted.
func TestRename(t *testing.T) {
	b := newBench()
	var v Connection
	read(t, b.do(patch, "/v1/connections/"+fabrica, `{"name":"Ärzte & Söhne"}`, actorHeader, "Ada"), 200, &v)
	c := b.connections[fabrica]
	if v.Name != "Ärzte & Söhne" || c.Name != v.Name || c.Company != "c2" || !c.NextDue.Equal(now.Add(time.Hour)) {
		t.Errorf("answered %+v, stored %+v", v, c)
	}
	if len(b.entries) != 1 || b.entries[0].Action != "name.change" || b.entries[0].Actor != "Ada" || b.entries[0].Detail != nil {
		t.Errorf("noted %+v", b.entries)
	}
}

// Times are told to the second, in UTC; those of runs to the millisecond.
func TestTimesToTheSecond(t *testing.T) {
	b := newBench()
	odd := now.Add(123456789 * time.Nanosecond).In(time.FixedZone("", 3600))
	b.set(fabrica, func(c *connection.Connection) {
		c.CreatedAt, c.LastSuccess, c.NextDue, c.LinkExpires = odd, odd, odd, odd
		c.Problem = &connection.Problem{Message: "x", At: odd}
	})
	b.runs[fabrica] = []job.Run{{ID: "r", State: job.Succeeded, Began: odd, Ended: odd.Add(1500 * time.Millisecond), Phases: []job.Phase{{Name: "people", Began: odd, Ended: odd.Add(40 * time.Millisecond)}}}}
	for path, want := range map[string][]string{
		"":      {`"createdAt":"2026-11-21T09:30:00Z"`, `"at":"2026-11-21T09:30:00Z"`, `"nextDue":"2026-11-21T09:30:00Z"`, `"lastSuccess":"2026-11-21T09:30:00Z"`},
		"/runs": {`"began":"2026-11-21T09:30:00.123Z"`, `"ended":"2026-11-21T09:30:01.623Z"`, `"ended":"2026-11-21T09:30:00.163Z"`},
	} {
		w := b.do(get, "/v1/connections/"+fabrica+path, "")
		for _, want := range want {
			if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "+01:00") || strings.Contains(body, ".1234") || !strings.Contains(body, want) {
				t.Errorf("%s: %d, no %s: %s", path, w.Code, want, body)
			}
		}
	}
}

// While paused no run is due; once purged there are no settings.
func TestWhatIsNot(t *testing.T) {
	b := newBench()
	b.set(fabrica, func(c *connection.Connection) {
		c.Status, c.Paused = connection.Paused, &connection.Pause{At: now, Before: connection.OK}
	})
	var v Connection
	read(t, b.do(get, "/v1/connections/"+fabrica, ""), 200, &v)
	if v.NextDue != nil || v.Settings == nil {
		t.Errorf("paused: %+v", v)
	}
	b.set(fabrica, func(c *connection.Connection) {
		c.Status, c.Offboarding = connection.Offboarded, &connection.Offboarding{At: now, Purge: true, Purged: now}
	})
	v = Connection{}
	read(t, b.do(get, "/v1/connections/"+fabrica, ""), 200, &v)
	if v.Settings != nil {
		t.Errorf("purged: %+v", v.Settings)
	}
}
