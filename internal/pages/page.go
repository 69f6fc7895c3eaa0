package pages

import (
	"html/template"
	"strconv"
	"time"

	"rollcall/internal/consent"
)

// page is what a template sees.
type page struct {
	texts   catalog
	Product string
	company string

	Title string
	CSS   template.CSS
	// Body is the rendered inner template.
	Body template.HTML
	// Step is where in the path this page stands, from 1; 0 for none.
	Step int
	// Refresh is after how many seconds the browser loads the page again; 0
	// for never.
	Refresh int

	View    consent.View
	Grants  []grant
	Since   moment
	Expires moment
	RunText string

	// Of the refused page.
	Tone           string
	Happened, Todo string
	Facts          []fact
	// Attempted is true if the refusal ended an attempt, of which nothing is left.
	Attempted bool
	// Again is where to start over; empty if that is no help.
	Again string
}

// fact is one line of a list of names and values.
type fact struct{ Name, Value string }

// step is one entry of the progress list: done, now or later.
type step struct{ Name, State string }

// moment is a time for a machine and for a person, in UTC because no page
// here can ask the browser for its zone.
type moment struct{ ISO, Text string }

func at(t time.Time) moment {
	t = t.UTC()
	return moment{t.Format(time.RFC3339), t.Format("2 January 2006, 15:04") + " UTC"}
}

// T returns the text of a key.
func (p page) T(key string) string { return p.texts.text(key, p.company, p.Product) }

// Number writes a count with a comma between thousands.
func (p page) Number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// steps is how many entries the progress list has.
const steps = 4

// Steps returns the progress list.
func (p page) Steps() []step {
	list := make([]step, steps)
	for i := range list {
		list[i] = step{Name: p.T("steps." + strconv.Itoa(i+1)), State: "later"}
		switch {
		case i+1 < p.Step || p.Step == steps:
			list[i].State = "done"
		case i+1 == p.Step:
			list[i].State = "now"
		}
	}
	list[p.Step-1].State = "now"
	return list
}
