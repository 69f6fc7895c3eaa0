package bus_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"

	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/servicebus"
	"rollcall/internal/sandbox/wiretest"
)

// bury dead-letters everything that is on the queue, for the reason.
func (r *rig) bury(n int, reason, description string) {
	r.t.Helper()
	rx, err := r.client().NewReceiverForQueue(wiretest.Queue, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = rx.Close(context.Background()) }()
	for n > 0 {
		ms, err := rx.ReceiveMessages(r.t.Context(), n, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, m := range ms {
			if err := rx.DeadLetterMessage(r.t.Context(), m, &azservicebus.DeadLetterOptions{Reason: &reason, ErrorDescription: &description}); err != nil {
				r.t.Fatal(err)
			}
		}
		n -= len(ms)
	}
}

func (r *rig) letters(connection string, limit int) (all []job.DeadLetter, calls int) {
	r.t.Helper()
	for after := ""; ; {
		ds, next, err := r.DeadLetters(r.t.Context(), connection, after, limit)
		if err != nil || len(ds) > limit {
			r.t.Fatal(len(ds), err)
		}
		all, calls = append(all, ds...), calls+1
		if after = next; after == "" {
			return all, calls
		}
	}
}

// What is told of a dead letter is what the queue knows and the IDs in it;
// nothing of it that somebody else has written.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	at := r.clock.Now()
	asked := job.Job{Kind: job.Sync, Connection: "a", Run: "r", Slice: 2, Try: 3}
	r.send(asked, time.Time{})
	r.bury(1, "MaxDeliveryCountExceeded", "Message could not be consumed after 10 delivery attempts.")
	for id, body := range map[string]string{"newer": `{"v":7,"kind":"sync","connection":"a","run":"r"}`, "Zoë <z@contoso.example>": "no JSON"} {
		r.post(id, []byte(body), time.Time{})
		r.bury(1, "by hand", "because of Zoë")
	}
	for n := range 300 { // more than one peek returns
		r.send(of("b", n), time.Time{})
	}
	r.bury(300, "by hand", "")

	all, _ := r.letters("", 1000)
	if len(all) != 303 || !slices.IsSortedFunc(all, func(x, y job.DeadLetter) int { return int(x.Sequence - y.Sequence) }) {
		t.Fatalf("%d dead letters", len(all))
	}
	asked.Version = job.Version
	want := job.DeadLetter{
		Sequence: all[0].Sequence, MessageID: "a/r/2/3", Job: asked, Readable: true, Reason: "MaxDeliveryCountExceeded",
		Description: "Message could not be consumed after 10 delivery attempts.", Enqueued: at, Deliveries: all[0].Deliveries,
	}
	if all[0] != want || want.Sequence < 1 || want.Deliveries > 1 {
		t.Errorf("%+v, want %+v", all[0], want)
	}
	for _, d := range all[1:3] {
		if d.Readable || d.Job.Connection != "" || d.Reason != "by hand" || d.Description != "" || d.MessageID != map[int]string{7: "newer"}[d.Job.Version] {
			t.Errorf("%+v", d)
		}
	}
	if of, calls := r.letters("b", 7); len(of) != 300 || calls != 43 || slices.ContainsFunc(of, func(d job.DeadLetter) bool { return d.Job.Connection != "b" }) {
		t.Errorf("%d of b in %d calls", len(of), calls)
	}
	if of, _ := r.letters("a", 7); len(of) != 1 {
		t.Errorf("of a: %+v", of)
	}
	if n, _ := r.Counts(wiretest.Queue + "/$deadletterqueue"); n.Locked != 0 || n.Active != 303 {
		t.Errorf("%+v", n)
	}
	for _, bad := range []string{"x", "0", "-3", "1.5"} {
		if _, _, err := r.DeadLetters(t.Context(), "", bad, 1); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// all sends everything again.
func all(context.Context, job.Job) (job.Fate, error) { return job.Resent, nil }

func (r *rig) resubmit(connection string, sequence int64, limit int, judge func(context.Context, job.Job) (job.Fate, error), want map[job.Fate]int, more bool) {
	r.t.Helper()
	met, left, err := r.Resubmit(r.t.Context(), connection, sequence, limit, judge)
	maps.DeleteFunc(met, func(_ job.Fate, n int) bool { return n == 0 })
	if err != nil || left != more || !maps.Equal(met, want) {
		r.t.Errorf("met %v, more %t (%v), want %v, %t", met, left, err, want, more)
	}
}

// Dead letters of one connection come again, as what they were and under an
// identity that the queue has not seen; what is judged done is deleted; others
// stay, unlocked.
func TestResubmit(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.die(of("a", 1), of("b", 1), of("a", 2), of("a", 3), of("ab", 1))
	judge := func(_ context.Context, j job.Job) (job.Fate, error) {
		return map[string]job.Fate{"r1": job.Resent, "r2": job.Done, "r3": job.Left}[j.Run], nil
	}
	r.resubmit("a", 0, 100, judge, map[job.Fate]int{job.Resent: 1, job.Done: 1, job.Left: 1}, false)
	there := r.there()
	if len(there) != 4 || !strings.HasPrefix(there[0], "a/r1/0/again-") || !strings.HasSuffix(there[0], " active") ||
		!slices.Equal(there[1:], []string{"a/r3/0 dead-lettered", "ab/r1/0 dead-lettered", "b/r1/0 dead-lettered"}) {
		t.Errorf("there is %v", there)
	}
	if n, _ := r.Counts(wiretest.Queue + "/$deadletterqueue"); n.Locked != 0 {
		t.Errorf("%d stay locked", n.Locked)
	}
	r.want(func(n servicebus.Counts) bool { return n.Active == 1 && n.Duplicates == 0 })
	ms, _ := r.Messages(wiretest.Queue)
	i := slices.IndexFunc(ms, func(m servicebus.Info) bool { return m.State == "active" })
	want := of("a", 1)
	want.Version = job.Version
	if j, err := job.Decode(ms[i].Body); err != nil || j != want {
		t.Errorf("sent %+v, want %+v (%v)", j, want, err)
	}

	// It dies again, and comes again.
	r.bury(1, "again", "")
	r.resubmit("a", 0, 100, judge, map[job.Fate]int{job.Resent: 1, job.Left: 1}, false)
	r.want(func(n servicebus.Counts) bool { return n.Active == 1 && n.Duplicates == 0 && n.DeadLetter == 3 })
	r.resubmit("none", 0, 100, all, nil, false)
}

// One is named by its number; a connection's are not another's.
func TestResubmitOne(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.die(of("a", 1), of("a", 2), of("b", 3))
	ds, _ := r.letters("", 10)
	named := map[string]int64{}
	for _, d := range ds {
		named[d.Job.Run] = d.Sequence
	}
	r.resubmit("a", named["r3"], 100, all, nil, false)
	r.resubmit("a", named["r2"], 100, all, map[job.Fate]int{job.Resent: 1}, false)
	if there := r.there(); len(there) != 3 || !strings.HasPrefix(there[1], fmt.Sprintf("a/r2/0/again-%d active", named["r2"])) {
		t.Errorf("there is %v", there)
	}
}

// A call does so many, and says that there are more; what cannot be judged ends
// it before anything is done.
func TestResubmitBounded(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.die(of("a", 1), of("a", 2), of("a", 3))
	failed := errors.New("no table")
	if met, _, err := r.Resubmit(t.Context(), "a", 0, 100, func(_ context.Context, j job.Job) (job.Fate, error) {
		if j.Run == "r3" {
			return job.Left, failed
		}
		return job.Resent, nil
	}); !errors.Is(err, failed) || met[job.Resent] != 0 {
		t.Errorf("%v, %v", met, err)
	}
	r.resubmit("a", 0, 2, all, map[job.Fate]int{job.Resent: 2}, true)
	r.resubmit("a", 0, 2, all, map[job.Fate]int{job.Resent: 1}, false)
	r.want(func(n servicebus.Counts) bool { return n.Active == 3 && n.DeadLetter == 0 })
}

// A message of a newer version stays for the build that can read it.
func TestResubmitUnreadable(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.post("a/r1/0", []byte(`{"v":7,"kind":"sync","connection":"a","run":"r1"}`), time.Time{})
	r.bury(1, "by hand", "")
	r.resubmit("a", 0, 100, all, map[job.Fate]int{job.Left: 1}, false)
	if there := r.there(); !slices.Equal(there, []string{"a/r1/0 dead-lettered"}) {
		t.Errorf("there is %v", there)
	}
}

// A process that dies after it has sent a dead letter again, and before it has
// deleted it, leaves one that is not delivered twice.
func TestResubmitKilled(t *testing.T) {
	t.Parallel()
	r := start(t, nil)
	r.die(of("a", 1))
	ds, _ := r.letters("a", 1)
	r.post(fmt.Sprintf("a/r1/0/again-%d", ds[0].Sequence), of("a", 1).Encode(), time.Time{})
	r.resubmit("a", 0, 100, all, map[job.Fate]int{job.Resent: 1}, false)
	r.want(func(n servicebus.Counts) bool { return n.Active == 1 && n.Duplicates == 1 && n.DeadLetter == 0 })
}
