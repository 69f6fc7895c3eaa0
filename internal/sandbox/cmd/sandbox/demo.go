package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// story is one tenant on its way through the demo.
type story struct {
	name   string
	tenant *tenant.Tenant
	inv    sandbox.Invitation
	// scope is the group whose members are synced, empty for everybody;
	// mailboxes is whether they are synced too.
	scope     string
	mailboxes bool
	// truth is of the last sync, ever what was there at any, by kind and ID.
	truth  truth
	ever   map[string]bool
	erased map[string]bool
	sizes  map[string]int // of teams, as last read
	moved  string         // who left the scope group for a while
	after  int            // Graph calls before the run, by Microsoft's own count
}

// run is a run record as the machine API answers it.
type run struct {
	ID       string    `json:"id"`
	Trigger  string    `json:"trigger"`
	State    string    `json:"state"`
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	Counters struct {
		kind
		GraphCalls, Transactions int
	} `json:"counters"`
	Teams, Memberships, Licenses, Positions, Mailboxes kind

	Problem  *said  `json:"problem"`
	Skipped  []said `json:"skipped"`
	Steps    []said `json:"steps"`
	Forecast *struct {
		Total, LicensesTotal, LicensesAvailable int
	} `json:"forecast"`
	Samples []struct {
		Type   string `json:"type"`
		Fields []struct {
			Name          string
			Before, After any
		} `json:"fields"`
	} `json:"samples"`
}

// said is what a run says in words, of any sort.
type said struct{ What, Code, Message, Remedy, Name, Result, Detail string }

// figures are what the run reports.
func (r *run) figures() figures {
	return figures{
		People: r.Counters.kind, Teams: r.Teams, Memberships: r.Memberships, Licenses: r.Licenses, Positions: r.Positions, Mailboxes: r.Mailboxes,
	}
}

func (r *run) over() bool { return r.State == "succeeded" || r.State == "failed" || r.State == "held" }

// demoTime bounds the whole demo.
const demoTime = 5 * time.Minute

// cooldown is short, so that the demo can sync by hand many times.
const cooldown = time.Second

// demo tells the story and returns an error if any figure is not what the
// stand-in's directory holds.
func demo(ctx context.Context, w io.Writer, o sandbox.Options, people int) error {
	ctx, cancel := context.WithTimeout(ctx, demoTime)
	defer cancel()
	o.ConsentDelay = time.Second
	o.Addr = "127.0.0.1:0"
	o.Settings = map[string]string{
		"SYNC_COOLDOWN": cooldown.String(), "VERIFY_MIN_DELAY": "250ms",
		"GUARD_MAX_PERCENT": "0", // in a company of twenty, two leavers with three teams each are more than a tenth
	}
	d := &teller{w: w}
	d.say("Starting a Microsoft, a Service Bus, a Table Storage and a Functions host on loopback …")
	s, err := sandbox.Start(ctx, o)
	if err != nil {
		return err
	}
	d.Sandbox = s
	if err := d.tell(ctx, people); err != nil {
		return closed(s, err)
	}
	if err := s.Close(); err != nil {
		return err
	}
	d.say("\nEvery figure is what the tenants' directories hold.")
	return nil
}

// teller is the sandbox with a voice.
type teller struct {
	*sandbox.Sandbox
	w io.Writer
}

func (d *teller) say(format string, args ...any) { _, _ = fmt.Fprintf(d.w, format+"\n", args...) }

// tell is the whole story: the table of syncs first, then what else can be
// asked for, of the first customer or of the second.
func (d *teller) tell(ctx context.Context, people int) error {
	var stories []*story
	for i, spec := range customers(people) {
		st, err := d.invite(ctx, spec, i == 1)
		if err != nil {
			return fmt.Errorf("%s: %w", spec.Name, err)
		}
		stories = append(stories, st)
	}
	d.say("Three administrators opened their link, signed in and consented; consent takes a second to spread.")
	d.say("%s syncs the members of one group and of the group within it, and mailboxes too.\n", stories[1].name)
	d.say("%-16s %6s %5s %7s %5s %5s  %5s %7s %10s %9s %9s  %5s %7s", "", "people", "new", "changed", "left", "back",
		"teams", "members", "licenses", "positions", "mailboxes", "calls", "time")
	for round, name := range rounds {
		d.say("%s", name)
		for _, st := range stories {
			if err := d.row(ctx, st, round); err != nil {
				return fmt.Errorf("%s, %s: %w", st.name, name, err)
			}
		}
	}
	d.say("\nlicenses: assigned/bought. calls: requests to Graph, as Microsoft counted them too.")
	for _, act := range []struct {
		do func(context.Context, *story) error
		st *story
	}{{d.again, stories[0]}, {d.preview, stories[0]}, {d.person, stories[0]}, {d.erase, stories[0]}, {d.denied, stories[1]}} {
		if err := act.do(ctx, act.st); err != nil {
			return fmt.Errorf("%s: %w", act.st.name, err)
		}
	}
	return nil
}

// invite makes a customer and lets its administrator consent.
func (d *teller) invite(ctx context.Context, spec tenant.Spec, special bool) (*story, error) {
	t, err := d.Microsoft.NewTenant(spec)
	if err != nil {
		return nil, err
	}
	st := &story{name: spec.Name, tenant: t, ever: map[string]bool{}, erased: map[string]bool{}, sizes: map[string]int{}}
	settings := map[string]any{}
	if special {
		if st.scope, err = scopeGroup(t); err != nil {
			return nil, err
		}
		st.mailboxes = true
		settings = map[string]any{"groups": []string{st.scope}, "mailboxes": true}
	}
	if st.inv, err = d.InviteWith(ctx, t.ID, spec.Name, settings); err != nil {
		return nil, err
	}
	page, err := d.Consent(ctx, st.inv.Link, t.Accounts[0])
	if err != nil {
		return nil, err
	}
	if !strings.Contains(page.Text, spec.Name) || page.Status != http.StatusOK {
		return nil, fmt.Errorf("after consent the page says %d %q", page.Status, page.Text)
	}
	return st, nil
}

// row does one sync and prints and checks its figures.
func (d *teller) row(ctx context.Context, st *story, round int) error {
	if err := st.edit(round); err != nil {
		return err
	}
	want := st.expect()
	r, err := st.sync(ctx, d.Sandbox, round == 0)
	if err != nil {
		return err
	}
	memberships, consumed, total := st.truth.numbers()
	c := r.Counters
	d.say("%-16s %6d %5d %7d %5d %5d  %5d %7d %10s %9d %9d  %5d %4d ms", st.name, len(st.truth.people), c.Created, c.Updated, c.Archived, c.Reactivated,
		len(st.truth.teams), memberships, fmt.Sprintf("%d/%d", consumed, total), len(st.truth.positions), len(st.truth.mailboxes),
		c.GraphCalls, r.Ended.Sub(r.Began).Milliseconds())
	return st.check(ctx, d.Sandbox, r, want)
}

func (st *story) path(rest string) string { return "/v1/connections/" + st.inv.ID + rest }

// sync waits for the first run, or asks for one by hand, and returns its
// record when it has ended.
func (st *story) sync(ctx context.Context, s *sandbox.Sandbox, first bool) (r run, err error) {
	location := ""
	if first {
		err = sandbox.Await(ctx, "the first run", func() (bool, error) {
			var page struct{ Runs []run }
			if _, err := s.Call(ctx, http.MethodGet, st.path("/runs"), nil, &page); err != nil || len(page.Runs) == 0 {
				return false, err
			}
			location = st.path("/runs/" + page.Runs[0].ID)
			return true, nil
		})
	} else {
		st.after = st.calls()
		err = sandbox.Await(ctx, "the cooldown", func() (bool, error) {
			a, err := s.Call(ctx, http.MethodPost, st.path("/sync"), nil, nil)
			location = a.Header.Get("Location")
			if err == nil && a.Status != http.StatusAccepted && a.Status != http.StatusTooManyRequests {
				err = fmt.Errorf("manual sync: status %d: %s", a.Status, a.Body)
			}
			return a.Status == http.StatusAccepted, err
		})
	}
	if err != nil {
		return r, err
	}
	return end(ctx, s, location)
}

// ask starts a run in another way, and returns its record when it has ended.
func (st *story) ask(ctx context.Context, s *sandbox.Sandbox, what string, body any) (r run, err error) {
	st.after = st.calls()
	a, err := s.Call(ctx, http.MethodPost, st.path(what), body, nil)
	if err == nil && a.Status != http.StatusAccepted {
		err = fmt.Errorf("%s: status %d: %s", what, a.Status, a.Body)
	}
	if err != nil {
		return r, err
	}
	return end(ctx, s, a.Header.Get("Location"))
}

// end waits for the end of a run.
func end(ctx context.Context, s *sandbox.Sandbox, location string) (r run, err error) {
	err = sandbox.Await(ctx, "the end of the run", func() (bool, error) {
		r = run{}
		_, err := s.Call(ctx, http.MethodGet, location, nil, &r)
		return r.over() && (r.Trigger != "preview" || r.State == "failed" || r.Forecast != nil), err
	})
	return r, err
}

// check compares the run's record, Microsoft's own count of calls and all
// that is stored with what the directory says.
func (st *story) check(ctx context.Context, s *sandbox.Sandbox, r run, want figures) error {
	if r.State != "succeeded" || len(r.Skipped) > 0 {
		return fmt.Errorf("run %s: %+v, %+v", r.State, r.Problem, r.Skipped)
	}
	if got := r.figures(); got != want {
		return fmt.Errorf("the run reports\n%+v, the directory says\n%+v", got, want)
	}
	if calls := st.calls() - st.after; calls != r.Counters.GraphCalls {
		return fmt.Errorf("the run reports %d Graph calls, Microsoft counted %d", r.Counters.GraphCalls, calls)
	}
	return st.settled(ctx, s)
}

// settled compares all that is stored with the directory, and the feed with
// what is stored.
func (st *story) settled(ctx context.Context, s *sandbox.Sandbox) error {
	stored, err := st.stored(ctx, s)
	if err != nil {
		return err
	}
	if err := st.truth.compare(&stored); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(st.truth.members)) {
		want := len(st.truth.members[id])
		if read, known := st.sizes[id]; known && read == want {
			continue // the feed tells of all members, every time
		}
		var team struct{ Members int }
		if _, err := s.Call(ctx, http.MethodGet, st.path("/teams/"+id), nil, &team); err != nil {
			return err
		}
		if team.Members != want {
			return fmt.Errorf("team %s has %d members, the directory says %d", id, team.Members, want)
		}
		st.sizes[id] = want
	}
	return nil
}

// stored is what the lists answer. Members are those of the feed.
func (st *story) stored(ctx context.Context, s *sandbox.Sandbox) (sandbox.State, error) {
	people, err := s.People(ctx, st.inv.ID)
	if err != nil {
		return sandbox.State{}, err
	}
	things, err := s.Things(ctx, st.inv.ID)
	if err != nil {
		return sandbox.State{}, err
	}
	changes, err := s.Changes(ctx, st.inv.ID, 0)
	if err != nil {
		return sandbox.State{}, err
	}
	feed, err := sandbox.ReplayAll(changes)
	if err == nil && !reflect.DeepEqual(feed.People, people) {
		err = fmt.Errorf("the change feed does not lead to the people who are stored")
	}
	return sandbox.State{People: people, Things: things, Members: feed.Members}, err
}
