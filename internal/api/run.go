package api

import (
	"time"

	"rollcall/internal/job"
)

// Run is a run as the API shows it.
type Run struct {
	ID         string     `json:"id" example:"04f8f6b1c2d-9f2c4e71ab03"`
	Trigger    string     `json:"trigger" enum:"first,schedule,manual,again,approve,reject,preview,person,erase" doc:"Who started it. again: a sync asked for while another was under way. approve, reject: a decision on the removals that plan names. preview: writes beside what is stored, not into it. person: brings one person up to date. erase: erases one." example:"manual"`
	By         string     `json:"by,omitempty" doc:"Who asked for it, as the vendor asserted; absent if nobody did." example:"ada@vendor.example"`
	Person     string     `json:"person,omitempty" format:"uuid" doc:"Whom a run for one person is about." example:"8d2f6c1e-0a4b-4f7d-8c39-51e0b7d9a642"`
	State      string     `json:"state" enum:"queued,running,waiting,succeeded,held,failed,merged,stopped" doc:"queued: accepted, not begun. waiting: for Microsoft, until nextTry. held: everything is written but the removals of plan, which wait for a decision. merged: its work was done by the run mergedInto. stopped: somebody paused or offboarded the connection; what was written stays." example:"succeeded"`
	Phase      string     `json:"phase,omitempty" doc:"What the run is at, by the names that a phase may have, or was at when it failed; done when it has come to its end." example:"people"`
	Full       bool       `json:"full" doc:"Whether the whole tenant is read, rather than what changed since the last run."`
	Why        string     `json:"why,omitempty" doc:"Why it is full." example:"first sync"`
	Slices     int        `json:"slices" doc:"How many pieces the work was cut into so far." example:"1"`
	QueuedAt   *time.Time `json:"queuedAt,omitempty" doc:"When it was asked for; only while queued." example:"2026-11-21T09:40:00Z"`
	Began      *time.Time `json:"began,omitempty" example:"2026-11-21T09:40:02Z"`
	Ended      *time.Time `json:"ended,omitempty" example:"2026-11-21T09:40:09Z"`
	NextTry    *time.Time `json:"nextTry,omitempty" doc:"When a waiting run goes on."`
	Throttled  bool       `json:"throttled,omitempty" doc:"True if it waits because Microsoft asked for it."`
	MergedInto string     `json:"mergedInto,omitempty" doc:"The run that did its work."`
	Override   bool       `json:"override,omitempty" doc:"True if somebody had let the run pass the guard."`

	Counters    *Counters     `json:"counters,omitempty" doc:"What became of people, and what it took. Absent while queued."`
	Teams       *KindCounters `json:"teams,omitempty" doc:"What became of teams. Absent while queued, as the following four."`
	Memberships *KindCounters `json:"memberships,omitempty" doc:"What became of memberships: created and archived only."`
	Licenses    *KindCounters `json:"licenses,omitempty"`
	Mailboxes   *KindCounters `json:"mailboxes,omitempty"`
	Positions   *KindCounters `json:"positions,omitempty"`

	Phases   []Phase   `json:"phases,omitempty" nullable:"false" doc:"What the run has gone through, in order; the last may be under way."`
	Skipped  []Skipped `json:"skipped,omitempty" nullable:"false" doc:"What the run left out, and why; absent if nothing."`
	Steps    []Step    `json:"steps,omitempty" nullable:"false" doc:"What a run for one person did, with reasons."`
	Forecast *Forecast `json:"forecast,omitempty" doc:"How things would stand after the sync; only of a preview."`
	Samples  []Sample  `json:"samples,omitempty" nullable:"false" doc:"Up to five changes of each type that a preview has found; only of the newest preview, for 24 hours unless somebody is erased, and not in lists."`

	Problem     *Trouble `json:"problem,omitempty" doc:"What went wrong; absent if nothing."`
	Plan        *Plan    `json:"plan,omitempty" doc:"The removals that waited when the run ended, or that it decides; absent if none."`
	FirstChange int64    `json:"firstChange" doc:"The number of the connection's newest change before the run." example:"1268"`
	LastChange  int64    `json:"lastChange" doc:"The number of the connection's newest change when this was written." example:"1284"`
}

// Counters is what a run did. What became of people is exact.
type Counters struct {
	Created      int `json:"created" doc:"People stored for the first time." example:"12"`
	Updated      int `json:"updated" doc:"People of whom something differs from what was stored." example:"3"`
	Archived     int `json:"archived" doc:"People who left; their records stay." example:"1"`
	Reactivated  int `json:"reactivated" doc:"People who came back." example:"0"`
	Unchanged    int `json:"unchanged" doc:"People listed without a difference; those of a page that was read again after a crash count again." example:"4"`
	Seen         int `json:"seen" doc:"People that Microsoft listed, repeats included." example:"20"`
	GraphCalls   int `json:"graphCalls" doc:"Requests to Microsoft Graph, repeated ones included." example:"2"`
	Units        int `json:"units" doc:"What these requests cost, in the resource units by which Microsoft Graph limits an app, as Microsoft tells them with its answers." example:"5"`
	Throttles    int `json:"throttles" doc:"How often Microsoft asked to slow down." example:"0"`
	Retries      int `json:"retries" doc:"How often the run was put off after a failure, to go on later." example:"0"`
	Transactions int `json:"transactions" doc:"Commits to the store." example:"2"`
	Pages        int `json:"pages" doc:"How many pages of Microsoft's lists were read and taken in." example:"1"`
}

// KindCounters is what became of one kind of record, exactly.
type KindCounters struct {
	Created     int `json:"created" example:"4"`
	Updated     int `json:"updated" example:"1"`
	Archived    int `json:"archived" example:"0"`
	Reactivated int `json:"reactivated" example:"0"`
}

// Phase is one part of a run.
type Phase struct {
	Name       string     `json:"name" doc:"What was done; more names may follow. scope: the members of the scope groups are listed. rejudge: everybody stored is judged by narrower settings. person: one person is brought up to date. fold: changes that no position has counted yet are counted, before an erasure takes values out of them. erase: one person is erased. decide: a plan of removals that was decided is carried out. people: Microsoft's list of people is read, all of it or what changed. sweep: whoever is stored and was not in a complete list is asked for by ID. managers: all managers are compared, since lists of changes leave some out. teams: Microsoft's list of groups with their members is read, all of it or what changed. teamsweep: teams and memberships that are stored and were not in a complete list are looked into. members: the members of teams that are new here are listed, team by team. licenses: the subscriptions are compared. mailboxes: the usage report on mailboxes is compared, and their types are asked for. judge: the guard judges the removals that have come together. settle: removals that may go without a human are done. hold: those that may not are put into a plan. positions: the changes are counted in the positions. tidy: what earlier lists have left behind is deleted." example:"people"`
	Began      time.Time  `json:"began" example:"2026-11-21T09:40:02Z"`
	Ended      *time.Time `json:"ended,omitempty" doc:"Absent while it is under way." example:"2026-11-21T09:40:07Z"`
	Full       bool       `json:"full" doc:"Whether all of it is read, rather than what changed." example:"false"`
	Why        string     `json:"why,omitempty" doc:"Why it is full." example:"first sync"`
	Pages      int        `json:"pages" doc:"How many pages of Microsoft's lists were read and taken in." example:"1"`
	GraphCalls int        `json:"graphCalls" doc:"Requests to Microsoft Graph, repeated ones included." example:"2"`
	Units      int        `json:"units" doc:"What these requests cost, in the resource units by which Microsoft Graph limits an app, as Microsoft tells them with its answers." example:"5"`
	Changes    int64      `json:"changes" doc:"How many numbered changes it made." example:"16"`
}

// Skipped is something that a run left out.
type Skipped struct {
	What    string `json:"what" doc:"A category, as in settings, or the ID of a scope group." example:"licenses"`
	Code    string `json:"code,omitempty" doc:"The cause for machines, often Microsoft's own code." example:"Authorization_RequestDenied"`
	Message string `json:"message" doc:"What happened." example:"Microsoft refused to list the subscriptions of the tenant."`
	Remedy  string `json:"remedy" doc:"What to do next." example:"Ask the company's administrator to consent again."`
}

// Step is one step of a run for one person.
type Step struct {
	Name   string `json:"name" doc:"found, scope, fields, manager, teams or written; more may follow." example:"scope"`
	Result string `json:"result" doc:"One word for machines." example:"in"`
	Detail string `json:"detail" doc:"One sentence for people." example:"The person is a member of a scope group."`
}

// Forecast is how things would stand after a run that was only previewed.
type Forecast struct {
	Total             int `json:"total" doc:"How many people would be active." example:"1842"`
	HeldPeople        int `json:"heldPeople" doc:"How many removals of people would wait for a human." example:"0"`
	HeldTeams         int `json:"heldTeams" doc:"How many removals of teams would wait for a human." example:"0"`
	HeldMemberships   int `json:"heldMemberships" doc:"How many removals of memberships would wait for a human." example:"0"`
	LicensesTotal     int `json:"licensesTotal" doc:"How many licenses there are, of all SKUs." example:"250"`
	LicensesAvailable int `json:"licensesAvailable" doc:"How many of them are free." example:"38"`
}

func shapeRun(r *job.Run) Run {
	v := Run{
		ID: r.ID, Trigger: string(r.Trigger), State: string(r.State), By: r.By, Person: r.Person, Phase: r.Phase, Full: r.Full, Why: r.Why,
		Slices: r.Slices, Began: exactly(r.Began), Ended: exactly(r.Ended), NextTry: when(r.NextTry), Throttled: r.State == job.Waiting && r.Throttled,
		MergedInto: r.MergedInto, Override: r.Override, FirstChange: r.FirstChange, LastChange: r.LastChange,
		Counters: &Counters{
			Created: r.Created, Updated: r.Updated, Archived: r.Archived, Reactivated: r.Reactivated,
			Unchanged: r.Unchanged, Seen: r.Seen, GraphCalls: r.GraphCalls, Units: r.Units, Throttles: r.Throttles,
			Retries: r.Retries, Transactions: r.Transactions, Pages: r.Pages,
		},
		Teams: shapeKind(r.Teams), Memberships: shapeKind(r.Memberships), Licenses: shapeKind(r.Licenses),
		Mailboxes: shapeKind(r.Mailboxes), Positions: shapeKind(r.Positions),
		Plan: shapePlan(r.Plan),
	}
	for _, p := range r.Phases {
		v.Phases = append(v.Phases, Phase{
			Name: p.Name, Began: p.Began.UTC().Truncate(time.Millisecond), Ended: exactly(p.Ended), Full: p.Full, Why: p.Why,
			Pages: p.Pages, GraphCalls: p.GraphCalls, Units: p.Units, Changes: p.Changes,
		})
	}
	for _, s := range r.Skipped {
		v.Skipped = append(v.Skipped, Skipped{What: s.What, Code: s.Code, Message: s.Message, Remedy: s.Remedy})
	}
	for _, s := range r.Steps {
		v.Steps = append(v.Steps, Step(s))
	}
	if r.Forecast != nil {
		f := Forecast(*r.Forecast)
		v.Forecast = &f
	}
	if r.Error != "" || r.Code != "" {
		v.Problem = &Trouble{Code: r.Code, Message: r.Error, Remedy: r.Remedy}
	}
	return v
}

// exactly is t to the millisecond, nil if zero: many runs are over within a
// second, and are told apart by when they ended.
func exactly(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

func shapeKind(k job.KindCounters) *KindCounters {
	v := KindCounters(k)
	return &v
}
