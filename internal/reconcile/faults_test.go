package reconcile_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/internal/job"
	"rollcall/internal/sandbox/microsoft/fault"
)

// cell is one fault on one path of one mode's run.
type cell struct {
	mode *mode
	what string // the fault's name
	fault.Fault
}

func (c cell) name() string {
	times := fmt.Sprint(c.Count, "x")
	if c.Count == 0 {
		times = "always"
	}
	return strings.Join([]string{c.mode.name, c.Path, c.what, times, fmt.Sprint("skip", c.Skip)}, " ")
}

// TestFaults lets every fault hit every request that each kind of run makes:
// nobody and nothing is gone afterwards that Microsoft holds, the run says how
// it went, and the first run after the fault makes everything Microsoft's.
//
// ROLLCALL_FAULTS=. proves all cells, or those whose names match another
// expression, and prints a table; without it, a few are proved of each path and
// of each fault.
func TestFaults(t *testing.T) {
	t.Parallel()
	const lanes = 4
	free := make(chan *line, lanes)
	for range lanes {
		free <- newLine(t)
	}
	// on gives a line that is nobody else's, and renews it after a failure,
	// which may leave messages on it.
	on := func(do func(*testing.T, *line)) func(*testing.T) {
		return func(st *testing.T) {
			st.Parallel()
			l := <-free
			defer func() {
				if st.Failed() {
					l = newLine(t)
				}
				free <- l
			}()
			do(st, l)
		}
	}
	var mu sync.Mutex
	calls := map[*mode]map[string]int{}
	t.Run("undisturbed", func(t *testing.T) {
		for i := range modes {
			m := &modes[i]
			t.Run(m.name, on(func(t *testing.T, l *line) {
				n := m.undisturbed(t, l)
				mu.Lock()
				defer mu.Unlock()
				calls[m] = n
			}))
		}
	})
	if t.Failed() {
		return
	}
	var cells []cell
	for i := range modes {
		cells = append(cells, modes[i].cells(calls[&modes[i]])...)
	}
	which := os.Getenv("ROLLCALL_FAULTS")
	if which == "" {
		cells = few(cells)
	} else {
		wanted := regexp.MustCompile(which)
		cells = slices.DeleteFunc(cells, func(c cell) bool { return !wanted.MatchString(c.name()) })
	}
	res := results{}
	t.Run("cells", func(t *testing.T) {
		for _, c := range cells {
			t.Run(c.name(), on(func(t *testing.T, l *line) {
				defer func() {
					mu.Lock()
					defer mu.Unlock()
					res.add(c, t.Failed())
				}()
				c.prove(t, l)
			}))
		}
	})
	if which != "" {
		fmt.Println(res.table())
	}
}

// undisturbed does the mode's run without a fault and returns which paths it
// calls, how often.
func (m *mode) undisturbed(t *testing.T, l *line) map[string]int {
	s := newStage(t, l, m)
	before := s.tenant.Calls()
	for _, r := range m.run(s) {
		if r.State != job.Succeeded || len(r.Skipped) > 0 {
			t.Errorf("%s %s %s, skipped %+v", r.State, r.Code, r.Error, r.Skipped)
		}
	}
	n := s.tenant.Calls()
	maps.DeleteFunc(n, func(path string, calls int) bool {
		n[path] = calls - before[path]
		return n[path] == 0 || path == fault.ListedUsers // counted as users, too
	})
	if n[fault.Token] == 0 || n[fault.LeakedToken] != 0 {
		t.Errorf("calls %v", n)
	}
	s.right()
	t.Logf("calls %v", n)
	return n
}

// prove does the mode's run while the fault is armed, and then one without it.
func (c cell) prove(t *testing.T, l *line) {
	s := newStage(t, l, c.mode)
	if c.Kind == fault.Omit {
		person, team := c.mode.omitted(s)
		if c.Object = person; c.Path == fault.GroupsDelta || c.Path == fault.MemberOf {
			c.Object = team
		}
	}
	c.Tenant = s.tenant.ID
	id, err := wires.Microsoft.AddFault(c.Fault)
	s.ok(err)
	defer wires.Microsoft.ClearFault(id)
	s.engine.MaxAge = time.Hour // longer than a category is waited for
	clean := true
	for _, r := range c.mode.run(s) {
		clean = clean && r.State == job.Succeeded && len(r.Skipped) == 0
		switch {
		case r.State == job.RunFailed && (r.Error == "" || r.Remedy == ""):
			t.Errorf("failed without a word: %+v", r)
		case r.State != job.RunFailed && r.State != job.Succeeded:
			t.Errorf("the run ended as %s", r.State)
		}
		for _, k := range r.Skipped {
			if k.What == "" || k.Message == "" || k.Remedy == "" {
				t.Errorf("left out without a word: %+v", k)
			}
		}
	}
	// Only a lie may make a run that nothing stopped end otherwise than right.
	lie := c.Kind == fault.Omit || c.Kind == fault.Empty && (c.Path == fault.MailboxReport || c.Path == fault.ReportDownload)
	told := clean && !lie
	if told {
		s.right()
	} else {
		s.spared()
	}
	wires.Microsoft.ClearFault(id)
	if wires.Microsoft.Fired(id) == 0 {
		t.Error("the fault never fired")
	}

	s.engine.MaxAge = 24 * time.Hour
	if c.Kind == fault.Omit {
		s.tenant.Forget() // what Microsoft did not tell, only an enumeration finds
	}
	if f := s.fence(); f.Plan != nil {
		if r := s.decision(job.Approve, f.Plan.Hash); r.State != job.Succeeded {
			t.Errorf("the decision after the fault: %s %s %s", r.State, r.Code, r.Error)
		}
	}
	if s.asked != nil || s.back != nil {
		s.day = s.day.AddDate(0, 0, 1) // no sync has seen what became of the mailboxes
	}
	r := s.run()
	if r.State != job.Succeeded || len(r.Skipped) > 0 {
		t.Errorf("the run after the fault: %s %s %s, skipped %+v", r.State, r.Code, r.Error, r.Skipped)
	}
	if syncs := s.asked == nil && s.back == nil; !told || !syncs || r.LastChange != r.FirstChange {
		s.whole() // else all was right before, and is as it was
	}
	if n := s.tenant.Calls()[fault.LeakedToken]; n != 0 {
		t.Errorf("%d downloads carried a token", n)
	}
}

// variant is a fault with the numbers of times that it is tried, 0 for until
// it is cleared.
type variant struct {
	what  string
	fault fault.Fault
	times []int
}

var anywhere = []variant{
	{"throttle", fault.Fault{Kind: fault.Throttle}, []int{1, 3, 0}},
	{"throttle 7", fault.Fault{Kind: fault.Throttle, RetryAfter: "7"}, []int{1}},
	{"throttle 2.128", fault.Fault{Kind: fault.Throttle, RetryAfter: "2.128"}, []int{1}},
	{"throttle date", fault.Fault{Kind: fault.Throttle, RetryAfter: "date:30s"}, []int{1}},
	{"500", fault.Fault{Kind: fault.Error, Status: 500}, []int{1, 3, 0}},
	{"502 HTML", fault.Fault{Kind: fault.Error, Status: 502}, []int{1}},
	{"503", fault.Fault{Kind: fault.Error, Status: 503}, []int{1, 0}},
	{"504", fault.Fault{Kind: fault.Error, Status: 504, RetryAfter: "9"}, []int{1}},
	{"forbidden", fault.Fault{Kind: fault.Forbidden}, []int{1, 3, 0}},
	{"cut", fault.Fault{Kind: fault.Cut}, []int{1, 3, 0}},
	{"cut chunked", fault.Fault{Kind: fault.CutChunked}, []int{1}},
}

// inRounds are those of users/delta and groups/delta. Empty pages without end
// would fill slice after slice, for which a clock that stands still is no
// judge.
var inRounds = []variant{
	{"resync", fault.Fault{Kind: fault.Resync}, []int{1, 3, 0}},
	{"expired", fault.Fault{Kind: fault.Expired}, []int{1, 3, 0}},
	{"empty", fault.Fault{Kind: fault.Empty}, []int{1, 3}},
	{"replay", fault.Fault{Kind: fault.Replay}, []int{1, 0}},
	{"duplicate", fault.Fault{Kind: fault.Duplicate}, []int{1, 0}},
	{"flap", fault.Fault{Kind: fault.Flap}, []int{1, 0}},
	{"permute", fault.Fault{Kind: fault.Permute}, []int{1, 0}},
}

var omits = []variant{{"omit", fault.Fault{Kind: fault.Omit}, []int{1, 0}}}

var inReports = []variant{
	{"expired", fault.Fault{Kind: fault.Expired}, []int{1, 3, 0}},
	{"empty", fault.Fault{Kind: fault.Empty}, []int{1, 3, 0}},
}

var atToken = []variant{
	{"AADSTS700016", fault.Fault{Kind: fault.AADSTS, Code: 700016}, []int{1, 3, 0}},   // withdrawn
	{"AADSTS7000229", fault.Fault{Kind: fault.AADSTS, Code: 7000229}, []int{1, 0}},    // never consented
	{"AADSTS53003", fault.Fault{Kind: fault.AADSTS, Code: 53003}, []int{1, 0}},        // the customer's policy
	{"AADSTS7000222", fault.Fault{Kind: fault.AADSTS, Code: 7000222}, []int{1, 3, 0}}, // our secret
	{"AADSTS90033", fault.Fault{Kind: fault.AADSTS, Code: 90033}, []int{1, 3, 0}},     // passing
	{"no roles", fault.Fault{Kind: fault.NoRoles}, []int{1, 3, 0}},
}

// cells are all that make sense of a mode whose run calls paths so often.
func (m *mode) cells(calls map[string]int) (cs []cell) {
	for _, path := range slices.Sorted(maps.Keys(calls)) {
		vs := slices.Clone(anywhere)
		switch path {
		case fault.UsersDelta, fault.GroupsDelta:
			vs = slices.Concat(vs, inRounds, omits)
		case fault.Users, fault.GroupMembers, fault.TransitiveMembers, fault.MemberOf:
			vs = slices.Concat(vs, omits)
		case fault.MailboxReport, fault.ReportDownload:
			vs = slices.Concat(vs, inReports)
		case fault.Token:
			vs = slices.Concat(vs, atToken)
		}
		for _, v := range vs {
			hits := calls[path]
			switch v.fault.Kind {
			case fault.Resync, fault.Expired:
				if path == fault.UsersDelta || path == fault.GroupsDelta {
					hits -= m.blind
				}
			case fault.Replay:
				hits-- // nothing comes before the first page
			case fault.Omit:
				if hits = 1; m.omitted == nil {
					hits = 0
				}
			}
			for skip := range min(hits, 2) {
				for _, n := range v.times {
					f := v.fault
					f.Path, f.Skip, f.Count = path, skip, n
					cs = append(cs, cell{m, v.what, f})
				}
			}
		}
	}
	return cs
}

// few are cells of each path and of each fault, spread over the modes.
func few(cells []cell) (out []cell) {
	faults, paths, of := map[string]bool{}, map[string]bool{}, map[*mode]int{}
	for {
		best, most := -1, 0
		for i, c := range cells {
			worth := 0
			if !faults[c.what] {
				worth += 1000
			}
			if !paths[c.Path] {
				worth += 1000
			}
			if worth > 0 {
				worth -= of[c.mode] // always less
			}
			if worth > most {
				best, most = i, worth
			}
		}
		if best < 0 {
			return out
		}
		c := cells[best]
		faults[c.what], paths[c.Path] = true, true
		of[c.mode]++
		out = append(out, c)
	}
}

// results are how many cells were proved and missed, by path and mode.
type results map[[2]string][2]int

func (r results) add(c cell, missed bool) {
	for _, mode := range []string{c.mode.name, "all"} {
		for _, path := range []string{c.Path, "all"} {
			n := r[[2]string{path, mode}]
			if missed {
				n[1]++
			} else {
				n[0]++
			}
			r[[2]string{path, mode}] = n
		}
	}
}

func (r results) table() string {
	paths := map[string]bool{}
	for k := range r {
		paths[k[0]] = true
	}
	delete(paths, "all")
	rows := append(slices.Sorted(maps.Keys(paths)), "all")
	var b strings.Builder
	fmt.Fprintf(&b, "proved/missed\n%-28s", "")
	var columns []string
	for _, m := range modes {
		columns = append(columns, m.name)
	}
	columns = append(columns, "all")
	for _, m := range columns {
		fmt.Fprintf(&b, "%10s", m)
	}
	for _, path := range rows {
		fmt.Fprintf(&b, "\n%-28s", path)
		for _, m := range columns {
			figure := ""
			if n, ok := r[[2]string{path, m}]; ok {
				figure = fmt.Sprint(n[0], "/", n[1])
			}
			fmt.Fprintf(&b, "%10s", figure)
		}
	}
	return b.String()
}
