package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// again shows that an operator cannot sync twice within the cooldown.
func (d *teller) again(ctx context.Context, st *story) error {
	var first, second sandbox.Answer
	err := sandbox.Await(ctx, "the cooldown", func() (accepted bool, err error) {
		first, err = d.Call(ctx, http.MethodPost, st.path("/sync"), nil, nil)
		return first.Status == http.StatusAccepted, err
	})
	if err == nil {
		second, err = d.Call(ctx, http.MethodPost, st.path("/sync"), nil, nil)
	}
	if err != nil {
		return err
	}
	after := second.Header.Get("Retry-After")
	if second.Status != http.StatusTooManyRequests || after == "" {
		return fmt.Errorf("a second manual sync is answered %d, Retry-After %q", second.Status, after)
	}
	d.say("\nA second manual sync within the cooldown: 429, Retry-After %s s.", after)
	_, err = end(ctx, d.Sandbox, first.Header.Get("Location"))
	return err
}

// preview shows that a preview counts what the sync after it does, and writes
// nothing that anybody reads.
func (d *teller) preview(ctx context.Context, st *story) error {
	n := st.tenant.Directory.Len()
	done, err := st.tenant.Apply(tenant.Bulk{Seed: 9, Edit: n/50 + 1, Remove: min(n/100+1, 50), Create: n/200 + 1})
	if err == nil {
		err = st.regroup(done.Created)
	}
	if err != nil {
		return err
	}
	before, err := st.stored(ctx, d.Sandbox)
	if err != nil {
		return err
	}
	r, err := st.ask(ctx, d.Sandbox, "/preview", nil)
	if err != nil {
		return err
	}
	if r.State != "succeeded" || r.Forecast == nil || len(r.Samples) == 0 {
		return fmt.Errorf("the preview: %s, %+v, forecast %+v, %d samples", r.State, r.Problem, r.Forecast, len(r.Samples))
	}
	after, err := st.stored(ctx, d.Sandbox)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(before, after) {
		return fmt.Errorf("the preview has changed what is stored")
	}
	want := st.expect()
	d.say("\nA preview of what has happened at %s since, and the sync after it:", st.name)
	d.say("%-16s %6s %5s %7s %5s %5s  %12s %12s %12s %14s", "", "people", "new", "changed", "left", "back", "teams +~-", "members +-", "positions +-", "licenses free")
	d.forecast("preview", &r, r.Forecast.Total, r.Forecast.LicensesAvailable)
	for _, s := range r.Samples {
		if s.Type == "person.updated" && len(s.Fields) > 0 {
			f := s.Fields[0]
			d.say("  such as: %s from %q to %q", f.Name, fmt.Sprint(f.Before), fmt.Sprint(f.After))
			break
		}
	}
	live, err := st.sync(ctx, d.Sandbox, false)
	if err != nil {
		return err
	}
	var licenses struct {
		Totals struct{ Available, Total int }
	}
	if _, err := d.Call(ctx, http.MethodGet, st.path("/licenses"), nil, &licenses); err != nil {
		return err
	}
	d.forecast("sync", &live, len(st.truth.people), licenses.Totals.Available)
	if r.figures() != live.figures() {
		return fmt.Errorf("the preview counted\n%+v, the sync did\n%+v", r.figures(), live.figures())
	}
	if f := r.Forecast; f.Total != len(st.truth.people) || f.LicensesAvailable != licenses.Totals.Available || f.LicensesTotal != licenses.Totals.Total {
		return fmt.Errorf("the preview foresaw %+v, there are %d people and the licenses %+v", *f, len(st.truth.people), licenses.Totals)
	}
	return st.check(ctx, d.Sandbox, live, want)
}

func (d *teller) forecast(name string, r *run, people, free int) {
	f := r.figures()
	d.say("%-16s %6d %5d %7d %5d %5d  %12s %12s %12s %14d", name, people, f.People.Created, f.People.Updated, f.People.Archived, f.People.Reactivated,
		fmt.Sprintf("%d %d %d", f.Teams.Created, f.Teams.Updated, f.Teams.Archived), fmt.Sprintf("%d %d", f.Memberships.Created, f.Memberships.Archived),
		fmt.Sprintf("%d %d", f.Positions.Created, f.Positions.Archived), free)
}

// person shows a sync of one person, step by step.
func (d *teller) person(ctx context.Context, st *story) error {
	id, team, err := st.outsider()
	if err != nil {
		return err
	}
	if err := st.tenant.Update(id, tenant.Fields{"jobTitle": "Keeper of the Keys", "manager": nil}); err != nil {
		return err
	}
	if err := st.tenant.AddMember(team, id); err != nil {
		return err
	}
	want := st.expect()
	r, err := st.ask(ctx, d.Sandbox, "/people/"+id+"/sync", nil)
	if err != nil {
		return err
	}
	d.say("\nOne person of %s has a new title, no manager and a new team, and is synced at once:", st.name)
	d.steps(&r)
	return st.check(ctx, d.Sandbox, r, want)
}

// outsider finds somebody with a manager, and a team that they are not in.
func (st *story) outsider() (id, team string, err error) {
	for _, id := range slices.Sorted(maps.Keys(st.truth.people)) {
		p := st.truth.people[id].(map[string]any)
		if p["manager"] == nil || p["jobTitle"] == "Keeper of the Keys" {
			continue
		}
		for _, team := range slices.Sorted(maps.Keys(st.truth.teams)) {
			if !st.truth.members[team][id] {
				return id, team, nil
			}
		}
	}
	return "", "", fmt.Errorf("everybody is in every team")
}

// erase shows that nothing is left of an erased person, who is not stored
// again though Microsoft still has them.
func (d *teller) erase(ctx context.Context, st *story) error {
	id, _, err := st.outsider()
	if err != nil {
		return err
	}
	name, _ := st.truth.people[id].(map[string]any)["userPrincipalName"].(string)
	if told, err := d.tells(ctx, st, name); err != nil || !told {
		return fmt.Errorf("the feed does not tell of %s before the erasure: %w", id, err)
	}
	st.erased[id] = true
	r, err := st.ask(ctx, d.Sandbox, "/people/"+id+"/erase", map[string]string{"confirm": id})
	if err != nil {
		return err
	}
	if r.State != "succeeded" {
		return fmt.Errorf("the erasure: %s, %+v", r.State, r.Problem)
	}
	d.say("\nAnother person of %s is erased:", st.name)
	d.steps(&r)
	st.expect() // nobody counts what an erasure takes away
	if err := st.settled(ctx, d.Sandbox); err != nil {
		return err
	}
	if told, err := d.tells(ctx, st, name); err != nil || told {
		return fmt.Errorf("the feed still tells of %s: %w", id, err)
	}
	if a, err := d.Call(ctx, http.MethodGet, st.path("/people/"+id), nil, nil); err != nil || a.Status != http.StatusNotFound {
		return fmt.Errorf("the erased person is answered %d: %w", a.Status, err)
	}
	want := st.expect()
	live, err := st.sync(ctx, d.Sandbox, false)
	if err != nil {
		return err
	}
	d.say("  The next sync does not store them again, though Microsoft still has the account.")
	return st.check(ctx, d.Sandbox, live, want)
}

// tells reports whether the feed has a text.
func (d *teller) tells(ctx context.Context, st *story, text string) (bool, error) {
	for after := int64(0); ; {
		var page struct {
			Last int64
			More bool
		}
		a, err := d.Call(ctx, http.MethodGet, st.path(fmt.Sprintf("/changes?limit=1000&after=%d", after)), nil, &page)
		if err != nil || bytes.Contains(a.Body, []byte(text)) || !page.More {
			return err == nil && bytes.Contains(a.Body, []byte(text)), err
		}
		after = page.Last
	}
}

func (d *teller) steps(r *run) {
	for _, s := range r.Steps {
		d.say("  %-8s %-10s %s", s.Name, s.Result, s.Detail)
	}
}

// denied shows that a permission which the customer takes back costs the
// category that needs it, and nothing else.
func (d *teller) denied(ctx context.Context, st *story) error {
	const role = "Reports.Read.All"
	d.Microsoft.RemoveRole(st.tenant.ID, role)
	if err := d.restart(ctx); err != nil {
		return err
	}
	if _, err := st.tenant.Apply(tenant.Bulk{Seed: 10, Edit: st.tenant.Directory.Len()/50 + 1}); err != nil {
		return err
	}
	want := st.expect()
	r, err := st.sync(ctx, d.Sandbox, false)
	if err != nil {
		return err
	}
	if r.State != "succeeded" || len(r.Skipped) != 1 || r.Skipped[0].What != "mailboxes" || r.figures() != want {
		return fmt.Errorf("without %s the run %s, left out %+v and reports\n%+v, the directory says\n%+v", role, r.State, r.Skipped, r.figures(), want)
	}
	if err := st.settled(ctx, d.Sandbox); err != nil {
		return err
	}
	var c struct {
		Status  string
		Problem *said
	}
	if _, err := d.Call(ctx, http.MethodGet, st.path(""), nil, &c); err != nil || c.Status != "degraded" || c.Problem == nil {
		return fmt.Errorf("the connection is %q, problem %+v: %w", c.Status, c.Problem, err)
	}
	d.say("\n%s takes %s back. The next sync updates %d people, and the connection is %s:", st.name, role, r.Counters.Updated, c.Status)
	for _, sentence := range strings.SplitAfter(c.Problem.Message+" "+c.Problem.Remedy, ". ") {
		d.say("  %s", strings.TrimSpace(sentence))
	}
	return nil
}

// restart ends the handler, since a token lasts an hour and keeps the
// permissions with which it was issued, and waits for the next one.
func (d *teller) restart(ctx context.Context) error {
	d.Host.Kill()
	return sandbox.Await(ctx, "the handler", func() (bool, error) {
		a, err := d.Call(ctx, http.MethodGet, "/v1/connections", nil, nil)
		return err == nil && a.Status == http.StatusOK, nil
	})
}
