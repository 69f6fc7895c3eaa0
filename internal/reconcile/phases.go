package reconcile

import (
	"context"
	"errors"
	"slices"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// phase is one part of a run. A run goes through the phases that are due, in
// the order of [phases], each at most once.
type phase struct {
	name string
	// due reports whether there is anything to do, by the fence as it is when
	// the phases before have ended.
	due func(*worker) bool
	// do does it, and ends with [worker.advance], in a commit or just in the
	// fence: then the next commit tells.
	do func(*worker, context.Context) error
	// category is what the run goes on without if Microsoft denies it; empty
	// if it cannot.
	category string
}

// phaseDone is where a run has come to its end.
const phaseDone = "done"

// phases is every part of every kind of run. What belongs to a sync is not
// due in a run that does one thing that somebody asked for.
var phases []phase

// init makes them: as an initializer this were a cycle, since what a phase does
// ends with a look at which is next.
func init() {
	phases = []phase{
		// nothing comes before the end of what takes people away
		{"expiring", func(w *worker) bool { return len(w.fence.Expiry.People) > 0 }, (*worker).finishExpiry, ""},
		// whom do the settings choose?
		{"scope", (*worker).scopeDue, (*worker).scope, ""},
		{"rejudge", func(w *worker) bool { return w.syncs() && w.fence.Scope.Rejudge }, (*worker).rejudge, ""},
		// one thing that somebody asked for
		{"person", func(w *worker) bool { return w.fence.Run.Trigger == job.Person }, (*worker).person, ""},
		// what an erasure redacts must have been counted before
		{"fold", func(w *worker) bool { return w.fence.Run.Trigger == job.Erase && w.positionsDue() }, (*worker).positions, ""},
		{"erase", func(w *worker) bool { return w.fence.Run.Trigger == job.Erase }, (*worker).erase, ""},
		{"decide", func(w *worker) bool { return w.fence.Run.Trigger.Decides() }, (*worker).decide, ""},
		// people: a round of changes or of everybody, then who was not in it
		{"people", (*worker).syncs, (*worker).people, ""},
		{"sweep", func(w *worker) bool { return w.syncs() && w.fence.People.Enum != "" }, (*worker).sweep, ""},
		{"managers", (*worker).managersDue, (*worker).repairManagers, "reportingLines"},
		// teams and memberships: the same, then the members of teams new to us
		{"teams", (*worker).teamsDue, (*worker).teams, "teams"},
		{"teamsweep", func(w *worker) bool {
			return w.syncs() && w.fence.Groups.Enum != "" && w.fence.Groups.Delta != "" && w.groupsWanted()
		}, (*worker).sweepTeams, "teams"},
		{"members", func(w *worker) bool { return w.syncs() && len(w.fence.Backlog) > 0 }, (*worker).members, "teams"},
		// what the tenant has bought, and its mailboxes
		{"licenses", func(w *worker) bool { return w.syncs() && w.chosen.Licenses }, (*worker).licenses, "licenses"},
		{"mailboxes", func(w *worker) bool { return w.syncs() && w.chosen.Mailboxes }, (*worker).mailboxes, "mailboxes"},
		// removals: may they go without a human?
		{"judge", (*worker).judgeDue, (*worker).judge, ""},
		{"settle", func(w *worker) bool { return w.fence.Verdict.Any(job.Settle) }, (*worker).settle, ""},
		{"hold", func(w *worker) bool { return w.fence.Verdict.Any(job.Hold) }, (*worker).hold, ""},
		// what follows from all that was written
		{"positions", (*worker).positionsDue, (*worker).positions, ""},
		// whom nobody has asked for in a long time
		{"expire", (*worker).expireDue, (*worker).expire, ""},
		{"reindex", (*worker).scattered, (*worker).reindex, ""},
		{"tidy", func(w *worker) bool { return w.fence.Untidy && !w.enumerating() }, (*worker).tidy, ""},
	}
}

// syncs reports whether the run compares the directory as a whole.
func (w *worker) syncs() bool { return !w.fence.Run.Trigger.Asked() }

// enumerating reports whether IDs seen are still needed.
func (w *worker) enumerating() bool {
	return w.fence.People.Enum != "" || w.fence.Groups.Enum != ""
}

// errBudget ends a slice that has used its time; the run goes on at once in
// the next one.
var errBudget = errors.New("slice budget used")

// spent reports whether the slice has used its time.
func (w *worker) spent() bool { return w.Now().After(w.until) }

// work does the phases that are left.
func (w *worker) work(ctx context.Context) error {
	for w.fence.Run.Phase != phaseDone {
		at := slices.IndexFunc(phases, func(p phase) bool { return p.name == w.fence.Run.Phase })
		if at < 0 {
			return fault.New(fault.Invalid, "unknown phase %q", w.fence.Run.Phase)
		}
		p := phases[at]
		err := w.watched(ctx, p.do)
		if lerr := w.land(ctx); lerr != nil && (err == nil || errors.Is(err, errBudget) || lost(lerr)) {
			err = lerr
		}
		if p.category != "" && w.dispensable(ctx, err) {
			w.skip(ctx, p.category, err)
			err = nil
		}
		if err != nil {
			return err
		}
		// The end is not told by the next commit: there is none.
		if w.fence.Run.Phase == phaseDone && w.last.Run.Phase != phaseDone {
			if err := w.commit(ctx, directory.Batch{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// watched does a phase, and tells who watches.
func (w *worker) watched(ctx context.Context, do func(*worker, context.Context) error) error {
	if w.Watch == nil {
		return do(w, ctx)
	}
	ctx, done := w.Watch.Phase(ctx, w.conn.ID, w.fence.Run)
	err := do(w, ctx)
	if errors.Is(err, errBudget) { // nothing has failed
		done(w.fence.Run, nil)
		return err
	}
	done(w.fence.Run, err)
	return err
}

// maxAttempts is how often a category that the run can do without may fail
// without progress before it is left out: with the back-off, half an hour.
const maxAttempts = 8

// dispensable reports whether a category that failed so is better left out
// than waited for.
func (w *worker) dispensable(ctx context.Context, err error) bool {
	if err == nil || errors.Is(err, errBudget) || ctx.Err() != nil || fault.Of(err).Class != "" {
		return false // whoever gets no token can do without none of it
	}
	switch fault.Of(err).Kind {
	case fault.Denied, fault.NotFound, fault.Invalid:
		return true
	case fault.Unknown:
		return w.fence.Attempt >= maxAttempts
	default:
		return false
	}
}

// skip leaves a category out of the run. What the phase has not committed is
// dropped, its place stays for the day when the permission is back.
func (w *worker) skip(ctx context.Context, category string, err error) {
	w.log.WarnContext(ctx, "category left out", "category", category, "err", err)
	w.takeMeter()
	run := w.fence.Run
	w.fence = w.last
	w.fence.Run.GraphCalls, w.fence.Run.Units, w.fence.Run.Phases = run.GraphCalls, run.Units, run.Phases
	w.fence.Run.Phase, w.fence.Run.Skipped = run.Phase, run.Skipped
	w.fence.Attempt = 0
	w.note(denial(category, err))
	w.advance()
}

// note adds to what the run left out, once each.
func (w *worker) note(s job.Skipped) {
	r := &w.fence.Run
	if !slices.ContainsFunc(r.Skipped, func(o job.Skipped) bool { return o.What == s.What && o.Code == s.Code }) {
		r.Skipped = append(slices.Clone(r.Skipped), s)
	}
}

// denied reports whether Microsoft denies what was asked for to an app that it
// knows, so that all else may go on.
func denied(err error) bool { return fault.Is(err, fault.Denied) && fault.Of(err).Class == "" }

// denial says what the run goes on without, and why.
func denial(what string, err error) job.Skipped {
	e := fault.Of(err)
	s := job.Skipped{What: what, Code: e.Code, Message: skippedText(what, e), Remedy: e.Remedy, Consent: consents(e)}
	if s.Remedy == "" {
		s.Remedy = "Nothing has to be done: the next run tries again. If it goes on, report the run's ID to Rollcall's operator."
	}
	return s
}

// consents reports whether a permission is missing that the customer can grant.
func consents(e *fault.Error) bool { return e.Kind == fault.Denied && e.Code != "concealed_names" }

func skippedText(category string, e *fault.Error) string {
	names := map[string]string{
		"reportingLines": "Reporting lines were not checked", "teams": "Teams were not synced", "licenses": "Licenses were not synced",
		"mailboxes": "Mailboxes were not synced", "mailboxTypes": "The types of mailboxes were not asked for",
	}
	why := "Microsoft keeps failing to answer as expected."
	switch {
	case e.Code == "concealed_names":
		why = "the customer's reports conceal the names."
	case e.Kind == fault.Denied:
		why = "Microsoft denies it."
	case e.Kind == fault.NotFound:
		why = "Microsoft does not know what was asked for."
	case e.Kind == fault.Invalid:
		why = "Microsoft's answer, or what is stored of them, cannot be used."
	}
	return names[category] + ": " + why + " What is stored of them stays as it is."
}

// advance ends the phase in the fence and begins the next one that is due; if
// none is, it ends the run. It is a function of the fence and the settings, so
// that it may be done twice.
func (w *worker) advance() {
	r := &w.fence.Run
	w.takeMeter()
	w.endPhase()
	at := slices.IndexFunc(phases, func(p phase) bool { return p.name == r.Phase })
	for _, p := range phases[at+1:] {
		if p.due(w) {
			r.Phase = p.name
			r.Phases = append(slices.Clone(r.Phases), job.Phase{Name: p.name, Began: w.Now().UTC()})
			return
		}
	}
	w.finish()
}

// endPhase notes what the phase took: what the run took and the phases before
// did not.
func (w *worker) endPhase() {
	r := &w.fence.Run
	n := len(r.Phases)
	if n == 0 {
		return
	}
	r.Phases = slices.Clone(r.Phases)
	p := &r.Phases[n-1]
	p.Ended = w.Now().UTC()
	p.Pages, p.GraphCalls, p.Units, p.Changes = r.Pages, r.GraphCalls, r.Units, w.fence.LastChange-r.FirstChange
	for _, before := range r.Phases[:n-1] {
		p.Pages -= before.Pages
		p.GraphCalls -= before.GraphCalls
		p.Units -= before.Units
		p.Changes -= before.Changes
	}
}

// full notes in the phase's record that it enumerates everything, and why.
func (w *worker) full(why string) {
	r := &w.fence.Run
	if n := len(r.Phases); n > 0 {
		r.Phases = slices.Clone(r.Phases)
		r.Phases[n-1].Full, r.Phases[n-1].Why = true, why
	}
}

// finish ends the run in the fence: held while a plan waits for a human. A
// plan whose removals have all become void has settled itself.
func (w *worker) finish() {
	f := &w.fence
	if !f.Holding() {
		f.Plan = nil
	}
	f.Run.Phase = phaseDone
	f.Run.Error, f.Run.Code, f.Run.Remedy = "", "", ""
	f.Verdict = job.Verdicts{}
	state := job.Succeeded
	if f.Plan != nil {
		state, f.Run.Plan = job.Held, f.Plan
	}
	w.end(state)
}

// takeMeter puts on the run's record what Graph was asked since.
func (w *worker) takeMeter() {
	calls, units := w.meter.Take()
	w.fence.Run.GraphCalls += calls
	w.fence.Run.Units += units
}
