package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// story is one tenant on its way through the demo.
type story struct {
	name   string
	tenant *tenant.Tenant
	inv    sandbox.Invitation
	// before is who was there at the last sync, ever who was there at any.
	before map[string]map[string]any
	ever   map[string]bool
	after  int // Graph calls of the stand-in's own count
}

// figures are what a run must report, taken from the stand-in's directory.
type figures struct {
	people, created, updated, archived, reactivated int
}

// run is a run record as the machine API answers it.
type run struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	Counters struct {
		Created, Updated, Archived, Reactivated, GraphCalls, Transactions int
	} `json:"counters"`
	Problem *struct{ Message, Remedy string } `json:"problem"`
}

// demoTime bounds the whole demo.
const demoTime = 5 * time.Minute

// cooldown is short, so that the demo can sync by hand three times.
const cooldown = 2 * time.Second

// demo tells the story and returns an error if any figure is not what the
// stand-in's directory holds.
func demo(ctx context.Context, w io.Writer, o sandbox.Options, people int) error {
	ctx, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	o.ConsentDelay = time.Second
	o.Addr = "127.0.0.1:0"
	o.Settings = map[string]string{"SYNC_COOLDOWN": cooldown.String(), "VERIFY_MIN_DELAY": "250ms"}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }

	say("Starting a Microsoft, a Service Bus, a Table Storage and a Functions host on loopback …")
	s, err := sandbox.Start(ctx, o)
	if err != nil {
		return err
	}
	if err := tell(ctx, s, w, say, people); err != nil {
		return closed(s, err)
	}
	if err := s.Close(); err != nil {
		return err
	}
	say("\nEvery figure is what the tenants' directories hold.")
	return nil
}

func tell(ctx context.Context, s *sandbox.Sandbox, w io.Writer, say func(string, ...any), people int) error {
	var stories []*story
	for _, spec := range customers(people) {
		t, err := s.Microsoft.NewTenant(spec)
		if err != nil {
			return err
		}
		st := &story{name: spec.Name, tenant: t, ever: map[string]bool{}, before: map[string]map[string]any{}}
		if st.inv, err = s.Invite(ctx, t.ID, spec.Name); err != nil {
			return err
		}
		page, err := s.Consent(ctx, st.inv.Link, t.Accounts[0])
		if err != nil {
			return err
		}
		if !strings.Contains(page.Text, spec.Name) || page.Status != http.StatusOK {
			return fmt.Errorf("%s: after consent the page says %d %q", spec.Name, page.Status, page.Text)
		}
		stories = append(stories, st)
	}
	say("Three administrators opened their link, signed in and consented; consent takes a second to spread.\n")

	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "tenant\tsync\tpeople\tcreated\tupdated\tarchived\treactivated\tGraph calls\ttransactions\ttime\t")
	for round, name := range []string{"first", "nothing new", "changed", "some return"} {
		for _, st := range stories {
			if err := edit(st, round); err != nil {
				return fmt.Errorf("%s, %s: %w", st.name, name, err)
			}
			r, want, err := st.sync(ctx, s, round)
			if err == nil {
				_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d ms\t\n", st.name, name, want.people, r.Counters.Created,
					r.Counters.Updated, r.Counters.Archived, r.Counters.Reactivated, r.Counters.GraphCalls, r.Counters.Transactions, r.Ended.Sub(r.Began).Milliseconds())
				err = st.check(ctx, s, r, want, round)
			}
			if err != nil {
				_ = table.Flush()
				return fmt.Errorf("%s, %s: %w", st.name, name, err)
			}
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return again(ctx, s, say, stories[0])
}

// edit changes the tenant between two syncs.
func edit(st *story, round int) error {
	n := st.tenant.Directory.Len()
	var b tenant.Bulk
	switch round {
	case 2:
		// More than a hundred removals would wait for a human.
		b = tenant.Bulk{Seed: 7, Edit: n/50 + 1, Remove: min(n/100+2, 50), Create: n/100 + 1}
	case 3:
		b = tenant.Bulk{Seed: 8, Restore: 2}
	default:
		return nil
	}
	_, err := st.tenant.Apply(b)
	return err
}

// sync waits for the first run, or asks for one by hand, and returns its
// record when it has ended.
func (st *story) sync(ctx context.Context, s *sandbox.Sandbox, round int) (r run, want figures, err error) {
	want = st.expect()
	st.after = st.tenant.Calls()["users.delta"]
	path := "/v1/connections/" + st.inv.ID
	location := ""
	if round == 0 {
		st.after = 0
		err = sandbox.Await(ctx, "the first run", func() (bool, error) {
			var page struct{ Runs []run }
			if _, err := s.Call(ctx, http.MethodGet, path+"/runs", nil, &page); err != nil || len(page.Runs) == 0 {
				return false, err
			}
			location = path + "/runs/" + page.Runs[0].ID
			return true, nil
		})
	} else {
		err = sandbox.Await(ctx, "the cooldown", func() (bool, error) {
			a, err := s.Call(ctx, http.MethodPost, path+"/sync", nil, nil)
			location = a.Header.Get("Location")
			if err == nil && a.Status != http.StatusAccepted && a.Status != http.StatusTooManyRequests {
				err = fmt.Errorf("manual sync: status %d: %s", a.Status, a.Body)
			}
			return a.Status == http.StatusAccepted, err
		})
	}
	if err != nil {
		return r, want, err
	}
	err = sandbox.Await(ctx, "the end of the run", func() (bool, error) {
		_, err := s.Call(ctx, http.MethodGet, location, nil, &r)
		return r.State == "succeeded" || r.State == "failed" || r.State == "held", err
	})
	return r, want, err
}

// expect compares the directory with what it held at the last sync.
func (st *story) expect() figures {
	now := sandbox.Truth(st.tenant.People())
	f := figures{people: len(now)}
	for id, p := range now {
		old, was := st.before[id]
		switch {
		case !was && !st.ever[id]:
			f.created++
		case !was:
			f.reactivated++
		case !reflect.DeepEqual(old, p):
			f.updated++
		}
		st.ever[id] = true
	}
	for id := range st.before {
		if _, here := now[id]; !here {
			f.archived++
		}
	}
	st.before = now
	return f
}

// check compares the run's record, the stand-in's own count of calls and the
// stored people with what the directory says.
func (st *story) check(ctx context.Context, s *sandbox.Sandbox, r run, want figures, round int) error {
	c := r.Counters
	if r.State != "succeeded" {
		return fmt.Errorf("run %s: %+v", r.State, r.Problem)
	}
	if got := (figures{want.people, c.Created, c.Updated, c.Archived, c.Reactivated}); got != want {
		return fmt.Errorf("the run reports %+v, the directory says %+v", got, want)
	}
	if calls := st.tenant.Calls()["users.delta"] - st.after; calls != c.GraphCalls || round == 1 && calls != 1 {
		return fmt.Errorf("the run reports %d Graph calls, Microsoft counted %d", c.GraphCalls, calls)
	}
	stored, err := s.People(ctx, st.inv.ID)
	if err != nil {
		return err
	}
	if err := sandbox.Compare(stored, st.before); err != nil {
		return err
	}
	changes, err := s.Changes(ctx, st.inv.ID, 0)
	if err != nil {
		return err
	}
	replayed, err := sandbox.Replay(changes)
	if err == nil && !reflect.DeepEqual(replayed, stored) {
		err = fmt.Errorf("the change feed does not lead to what is stored")
	}
	return err
}

// again shows that an operator cannot sync twice within the cooldown.
func again(ctx context.Context, s *sandbox.Sandbox, say func(string, ...any), st *story) error {
	path := "/v1/connections/" + st.inv.ID + "/sync"
	err := sandbox.Await(ctx, "the cooldown", func() (bool, error) {
		a, err := s.Call(ctx, http.MethodPost, path, nil, nil)
		return a.Status == http.StatusAccepted, err
	})
	if err != nil {
		return err
	}
	a, err := s.Call(ctx, http.MethodPost, path, nil, nil)
	if err != nil {
		return err
	}
	if a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" {
		return fmt.Errorf("a second manual sync is answered %d, Retry-After %q", a.Status, a.Header.Get("Retry-After"))
	}
	say("\nA second manual sync within the cooldown: 429, Retry-After %s s.", a.Header.Get("Retry-After"))
	return nil
}
