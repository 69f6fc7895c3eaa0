package pages

import (
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/message"

	"rollcall/internal/consent"
)

// page is what a template sees.
type page struct {
	speech
	Lang     string
	speeches []speech
	// keep is the language that was chosen, address where this page can be had
	// in another; empty if none was, or it cannot.
	keep, address string
	Product       string
	company       string

	Title string
	CSS   template.CSS
	// Body is the rendered inner template.
	Body template.HTML
	// Step is where in the path this page stands, from 1; 0 for none.
	Step int
	// Live is true while there is something to wait for.
	Live, still bool
	// Refresh is after how many seconds the browser loads the page again; 0
	// for never.
	Refresh int

	View     consent.View
	Troubles []trouble

	// Of the invitation. Reason is why consent is asked for once more, Renewal
	// is true of a connection that worked before.
	Grants, Rest []grant
	missing      []string
	Expires      moment
	Reason       string
	ReasonText   string
	Lead         string
	Renewal      bool
	Unconfirmed  bool
	// Waits is true if there is no app yet to consent to.
	Waits bool

	// Of the pages after it.
	Since moment
	// Sync heads what is told of the newest sync, RunText says how it stands and
	// Figures what it is at or has changed; Stored counts what is stored.
	Sync, RunText   string
	Stored, Figures []fact
	Times           []timed

	// Of the refused page.
	Tone           string
	Happened, Todo string
	// Kept says what stays of the attempt that was refused; empty where nothing
	// was under way.
	Kept  []string
	Facts []fact
	// Again is where to start over; empty if that is no help.
	Again string
	// Approval is true if the vendor can let this person pass.
	Approval bool

	// Letter is a text for an administrator, Mail the address of a message with
	// it; both empty where there is no link to send.
	Letter, Mail string
}

// fact is one line of a list of names and values.
type fact struct{ Name, Value string }

// timed is one line of a list of names and times.
type timed struct {
	Name string
	At   moment
}

// step is one entry of the progress list: done, now or later.
type step struct{ Name, State string }

// moment is a time for a machine and for a person: in UTC, because no page here
// can ask the browser for its zone, and in figures, which are the same in
// every language.
type moment struct{ ISO, Text string }

func at(t time.Time) moment {
	t = t.UTC()
	return moment{t.Format(time.RFC3339), t.Format("2006-01-02 15:04") + " UTC"}
}

// page begins the answer to a request.
func (p *Pages) page(r *http.Request, company string) page {
	pg := page{speeches: p.speeches, address: here(r), Product: p.product, company: company, CSS: template.CSS(style)}
	i := chosen(r)
	if i >= 0 {
		pg.keep = p.speeches[i].Code
	} else {
		i = p.preferred(r)
	}
	pg.speech = p.speeches[i]
	pg.Lang = pg.Code
	return pg
}

// T returns the text of a key.
func (p page) T(key string) string { return p.texts.text(key, p.company, p.Product) }

// Number writes a count as the language does.
func (p page) Number(n int) string { return message.NewPrinter(p.tag).Sprintf("%d", n) }

// Missing lists the missing permissions.
func (p page) Missing() (gs []grant) {
	for _, scope := range p.missing {
		gs = append(gs, grant{Scope: scope, Name: p.T("grant." + scope)})
	}
	return gs
}

// letter writes the text with which somebody sends the link to an
// administrator.
func (p *page) letter(link string) {
	if link == "" {
		return
	}
	p.Letter = p.T("letter.body") + "\n" + link
	// A mail's address knows no plus sign for a space (RFC 6068).
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	p.Mail = "mailto:?subject=" + escape(p.T("letter.subject")) + "&body=" + escape(strings.ReplaceAll(p.Letter, "\n", "\r\n"))
}

// LetterRows is how many lines the letter takes, long ones folded.
func (p page) LetterRows() int {
	const width = 40 // characters, on a phone
	rows := 0
	for line := range strings.SplitSeq(p.Letter, "\n") {
		rows += 1 + len([]rune(line))/width
	}
	return rows
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
