package api

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// fleet is a bench with connections of every status, two of them paused, one of
// which with all others, and one that is about to end.
func fleet() (*bench, map[string]connection.Connection) {
	b := newBench()
	clear(b.connections)
	for i, c := range []connection.Connection{
		{Status: connection.Invited}, {Status: connection.OK}, {Status: connection.Paused, Paused: &connection.Pause{Before: connection.OK, All: true}},
		{Status: connection.Offboarded, Offboarding: &connection.Offboarding{}}, {Status: connection.Held}, {Status: connection.Consenting},
		{Status: connection.Paused, Paused: &connection.Pause{Before: connection.OK}}, {Status: connection.Disconnected},
		{Status: connection.OK, Offboarding: &connection.Offboarding{}}, {Status: connection.Failed}, // before it was ever verified
		{Status: connection.Failed, Verified: now},
	} {
		c.ID, c.Version, c.Company, c.Name = fmt.Sprintf("c%02d", i), "1", "c", "n"
		b.connections[c.ID] = c
	}
	return b, b.connections
}

// sweepAll follows continuations to the end, and adds up.
func sweepAll(t *testing.T, b *bench, path, query string) (calls int, sum Sweep) {
	t.Helper()
	sum = Sweep{Skipped: map[string]int{}, Refused: map[string]int{}}
	for after := ""; ; calls++ {
		var s Sweep
		target := path + "?" + query
		if after != "" {
			target += "&continuation=" + after
		}
		read(t, b.do(post, target, "", actorHeader, "Ada"), 200, &s)
		sum.Done += s.Done
		for k, n := range s.Skipped {
			sum.Skipped[k] += n
		}
		for k, n := range s.Refused {
			sum.Refused[k] += n
		}
		if after = s.Continuation; after == "" {
			return calls + 1, sum
		}
	}
}

// Whom it concerns it is done to, once each and with an entry in the log; the
// others are counted, whatever the size of a call.
func TestSweeps(t *testing.T) {
	live := []string{"c01", "c04", "c07", "c10"}
	for path, want := range map[string]struct {
		how     string
		done    []string
		skipped map[string]int
	}{
		"pause":   {"pause with all", append(slices.Clone(live), "c09"), map[string]int{"invited": 1, "paused": 2, "offboarded": 2, "consenting": 1}},
		"resume":  {"resume with all", []string{"c02"}, map[string]int{"invited": 1, "ok": 1, "offboarded": 2, "held": 1, "consenting": 1, "paused": 1, "disconnected": 1, "failed": 2}},
		"requeue": {"requeue", live, map[string]int{"invited": 1, "paused": 2, "offboarded": 2, "consenting": 1, "failed": 1}},
	} {
		slices.Sort(want.done)
		for _, limit := range []int{1, 2, 3, 100} {
			b, _ := fleet()
			var done []string
			b.govern = func(how, id, actor string) (connection.Connection, error) {
				if how != want.how || actor != "Ada" {
					t.Errorf("%s of %s by %s", how, id, actor)
				}
				done = append(done, id)
				return b.connections[id], nil
			}
			b.requeue = func(id string, since time.Time, window time.Duration) (string, error) {
				if !since.Equal(now) || window != 90*time.Second || want.how != "requeue" {
					t.Errorf("requeue of %s since %s within %s", id, since, window)
				}
				done = append(done, id)
				// A continuation keeps when the first call was.
				b.api.Now = func() time.Time { return now.Add(time.Minute) }
				return "r", nil
			}
			query := fmt.Sprintf("limit=%d", limit)
			if path == "requeue" {
				query += "&spread=90"
			}
			calls, sum := sweepAll(t, b, "/v1/operations/"+path, query)
			if !slices.Equal(done, want.done) || sum.Done != len(want.done) || !maps.Equal(sum.Skipped, want.skipped) || len(sum.Refused) > 0 {
				t.Errorf("%s by %d: %v, %+v", path, limit, done, sum)
			}
			if least := (11 + limit - 1) / limit; calls < least || calls > least+1 {
				t.Errorf("%s by %d: %d calls", path, limit, calls)
			}
			var noted []string
			for _, e := range b.entries {
				noted = append(noted, e.Connection)
				if e.Action != path+".all" || e.Actor != "Ada" || e.Outcome != "asked" {
					t.Errorf("noted %+v", e)
				}
			}
			if !slices.Equal(noted, want.done) {
				t.Errorf("%s: noted of %v", path, noted)
			}
		}
	}
}

// What refuses is counted and passed over, what fails for now ends the call
// where it stands, and time does too.
func TestSweepEnds(t *testing.T) {
	b, _ := fleet()
	var fail error
	b.govern = func(_, id, _ string) (connection.Connection, error) {
		if id == "c04" {
			return connection.Connection{}, fail
		}
		return b.connections[id], nil
	}
	fail = fault.New(fault.Conflict, "it has ended meanwhile").WithCode("offboarded")
	_, sum := sweepAll(t, b, "/v1/operations/pause", "")
	if sum.Done != 4 || !maps.Equal(sum.Refused, map[string]int{codeOffboarded: 1}) {
		t.Errorf("%+v", sum)
	}
	if i := slices.IndexFunc(b.entries, func(e connection.Entry) bool { return e.Outcome == "refused: "+codeOffboarded }); i < 0 || b.entries[i].Connection != "c04" {
		t.Errorf("noted %+v", b.entries)
	}

	fail = errors.New("secret")
	var s Sweep
	read(t, b.do(post, "/v1/operations/pause", ""), 200, &s)
	if s.Done != 1 || s.Continuation == "" {
		t.Errorf("%+v", s)
	}
	again := "/v1/operations/pause?continuation=" + s.Continuation
	if w := b.do(post, again, ""); strings.Contains(w.Body.String(), "secret") {
		t.Error(w.Body)
	} else {
		refused(t, w, 503, codeUnavailable)
	}
	fail = nil
	s = Sweep{}
	read(t, b.do(post, again, ""), 200, &s)
	if s.Done != 4 || s.Continuation != "" {
		t.Errorf("%+v", s)
	}

	at := now
	b.api.Now = func() time.Time { at = at.Add(10 * time.Second); return at }
	s = Sweep{}
	read(t, b.do(post, "/v1/operations/pause", ""), 200, &s)
	if n := s.Done + len(s.Skipped); s.Continuation == "" || n == 0 || s.Done == 5 {
		t.Errorf("in time: %+v", s)
	}
	b.api.Now = func() time.Time { return now }
	for _, bad := range []string{
		"pause?continuation=x", "resume?continuation=" + s.Continuation, "pause?limit=0", "pause?limit=1001", "requeue?spread=-1", "requeue?spread=21601", "pause?spread=1",
		"requeue?continuation=" + continuation(listRequeue, "", "c04"), "requeue?continuation=" + continuation(listRequeue, "", "1.99999.c04"), "requeue?continuation=" + continuation(listRequeue, "", "x.1.c04"),
	} {
		if w := b.do(post, "/v1/operations/"+bad, ""); w.Code != 400 && w.Code != 422 {
			t.Errorf("%s: %d", bad, w.Code)
		}
	}
}

func TestRequeueOne(t *testing.T) {
	b := newBench()
	var fail error
	b.requeue = func(id string, since time.Time, window time.Duration) (string, error) {
		if id != fabrica || !since.Equal(now) || window != 0 {
			t.Errorf("%s, %s, %s", id, since, window)
		}
		return "r9", fail
	}
	w := b.do(post, "/v1/connections/"+fabrica+"/requeue", "")
	var r Run
	read(t, w, 202, &r)
	if w.Header().Get("Location") != "/v1/connections/"+fabrica+"/runs/r9" || r.ID != "r9" || r.Trigger != "schedule" || r.State != "queued" {
		t.Errorf("%v %+v", w.Header(), r)
	}
	for code, want := range map[string]string{"paused": codePaused, "not_connected": codeNotConnected, "offboarded": codeOffboarded} {
		fail = fault.New(fault.Denied, "no").WithCode(code)
		refused(t, b.do(post, "/v1/connections/"+fabrica+"/requeue", ""), 409, want)
	}
}

func TestDeadLetters(t *testing.T) {
	b := newBench()
	b.dead = []job.DeadLetter{
		{Sequence: 1, MessageID: fabrica + "/r1/0", Readable: true, Reason: "MaxDeliveryCountExceeded", Description: "Ten.", Enqueued: now, Deliveries: 10,
			Job: job.Job{Version: 1, Kind: job.Sync, Connection: fabrica, Run: "r1", Slice: 2, Trigger: job.Person, Person: object, Plan: "p"}},
		{Sequence: 2, Job: job.Job{Version: 9}, Enqueued: now},
		{Sequence: 3, Readable: true, Job: job.Job{Version: 1, Kind: job.Verify, Connection: contoso, Run: "v"}, Enqueued: now},
	}
	w := b.do(get, "/v1/operations/dead-letters?limit=2", "")
	var page DeadLetterPage
	read(t, w, 200, &page)
	at := now
	want := []DeadLetter{
		{Sequence: "1", Message: fabrica + "/r1/0", Version: 1, Readable: true, Connection: fabrica, Run: "r1", Kind: "sync", Trigger: "person", Slice: 2,
			Reason: "MaxDeliveryCountExceeded", Description: "Ten.", Enqueued: &at, Deliveries: 10},
		{Sequence: "2", Version: 9, Enqueued: &at},
	}
	if !reflect.DeepEqual(page.DeadLetters, want) || page.Continuation == "" || strings.Contains(w.Body.String(), object) {
		t.Errorf("%s", w.Body)
	}
	next := page.Continuation
	page = DeadLetterPage{}
	read(t, b.do(get, "/v1/operations/dead-letters?continuation="+next, ""), 200, &page)
	if len(page.DeadLetters) != 1 || page.DeadLetters[0].Sequence != "3" || page.Continuation != "" {
		t.Errorf("%+v", page)
	}
	refused(t, b.do(get, "/v1/operations/dead-letters?connection="+fabrica+"&continuation="+next, ""), 400, codeContinuation)
	page = DeadLetterPage{}
	if read(t, b.do(get, "/v1/operations/dead-letters?connection="+fabrica, ""), 200, &page); len(page.DeadLetters) != 1 {
		t.Errorf("%+v", page)
	}
	if w := b.do(get, "/v1/operations/dead-letters?connection=unknown", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"deadLetters":[]`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	refused(t, b.do(get, "/v1/operations/dead-letters?connection=A", ""), 422, codeValidation)
}

// What has ended is not sent again, nor, unless it is named, what could bring
// back somebody who was erased.
func TestResubmit(t *testing.T) {
	b := newBench()
	letter := func(seq int64, run string, kind job.Kind, trigger job.Trigger) {
		b.dead = append(b.dead, job.DeadLetter{Sequence: seq, Readable: true, Job: job.Job{Kind: kind, Connection: fabrica, Run: run, Trigger: trigger}})
	}
	letter(1, "ended", job.Sync, job.Schedule)
	letter(2, "open", job.Sync, job.Schedule)
	letter(3, "never", job.Sync, job.Approve)
	letter(4, "person", job.Sync, job.Person)
	letter(5, "past", job.Sync, job.Person)
	letter(6, "verify", job.Verify, "")
	b.runs[fabrica] = []job.Run{{ID: "ended", Ended: now}, {ID: "open"}, {ID: "past", Ended: now}, {ID: "verify", Ended: now}}
	b.resubmit = func(id string, sequence int64, limit int) (map[job.Fate]int, bool, error) {
		if id != fabrica || limit != maxResubmitted {
			t.Errorf("%s, %d", id, limit)
		}
		return map[job.Fate]int{job.Left: 1, job.Resent: 2, job.Done: 3}, sequence == 0, nil
	}
	path := "/v1/connections/" + fabrica + "/resubmit"
	var v Resubmission
	read(t, b.do(post, path, "", actorHeader, "Ada"), 200, &v)
	want := map[string]job.Fate{"ended": job.Done, "open": job.Resent, "never": job.Resent, "person": job.Left, "past": job.Done, "verify": job.Resent}
	if v != (Resubmission{2, 3, 1, true}) || !maps.Equal(b.fates, want) {
		t.Errorf("%+v, %v", v, b.fates)
	}
	v = Resubmission{}
	read(t, b.do(post, path+"?sequence=4", ""), 200, &v)
	if v.More || !maps.Equal(b.fates, map[string]job.Fate{"person": job.Resent}) {
		t.Errorf("%+v, %v", v, b.fates)
	}
	if d := b.entries[len(b.entries)-1]; d.Action != "dead-letters.resubmit" || d.Detail["sequence"] != "4" {
		t.Errorf("noted %+v", d)
	}
	for _, bad := range []string{"0", "-1", "x", "01", "", "9999999999999999999", "1&sequence=2"} {
		refused(t, b.do(post, path+"?sequence="+bad, ""), 422, codeValidation)
	}
	b.resubmit = func(string, int64, int) (map[job.Fate]int, bool, error) {
		return map[job.Fate]int{job.Resent: 1}, false, errors.New("secret")
	}
	v = Resubmission{}
	if read(t, b.do(post, path, ""), 200, &v); v != (Resubmission{Resubmitted: 1, More: true}) {
		t.Errorf("%+v", v)
	}
	b.resubmit = func(string, int64, int) (map[job.Fate]int, bool, error) { return nil, false, errors.New("secret") }
	refused(t, b.do(post, path, ""), 503, codeUnavailable)

	// A worker drops what is for a paused connection; of one that has ended only
	// the purge goes on.
	b.set(fabrica, func(c *connection.Connection) { c.Status = connection.Paused })
	b.fates = nil
	if refused(t, b.do(post, path, ""), 409, codePaused); b.fates != nil {
		t.Errorf("resubmitted %v", b.fates)
	}
	b.set(fabrica, func(c *connection.Connection) { c.Offboarding = &connection.Offboarding{} })
	b.resubmit = func(string, int64, int) (map[job.Fate]int, bool, error) { return nil, false, nil }
	letter(7, "purge", job.Offboard, "")
	if w := b.do(post, path, ""); w.Code != 200 || b.fates["open"] != job.Done || b.fates["person"] != job.Done || b.fates["purge"] != job.Resent {
		t.Errorf("%d %s, %v", w.Code, w.Body, b.fates)
	}
}
