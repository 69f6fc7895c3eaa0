package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/pki"
	"rollcall/perf/ours"
	"rollcall/perf/side"
	"rollcall/perf/wires"
)

// tenantSpec is the tenant that the sandbox's Microsoft generates.
type tenantSpec struct {
	tenant.Spec
	PageSize int
}

// serveMicrosoft is the whole main of the sandbox's Microsoft with one tenant,
// whose spec comes first. It says hello when the tenant is there.
func serveMicrosoft(in io.Reader, out io.Writer) error {
	var spec tenantSpec
	// The spec is the first line; the rest are tasks.
	line, err := firstLine(in)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &spec); err != nil {
		return err
	}
	// Nobody measures this process's memory, and it takes half a machine's time.
	debug.SetGCPercent(400)
	ca, err := pki.New()
	if err != nil {
		return err
	}
	s, err := microsoft.Start(microsoft.Options{CA: ca, Seed: 1, PageSize: spec.PageSize})
	if err != nil {
		return err
	}
	defer s.Close()
	t, err := s.NewTenant(spec.Spec)
	if err != nil {
		return err
	}
	if err := s.Consent(t.ID); err != nil {
		return err
	}
	err = json.NewEncoder(out).Encode(ours.Microsoft{
		Authority: s.AuthorityURL(), Graph: s.GraphURL(), IdentityURL: s.IdentityURL(), IdentityHeader: s.IdentityHeader(),
		Identity: s.IdentityClientID(), App: s.AppID(), Tenant: t.ID, Roots: string(ca.PEM()),
	})
	if err != nil {
		return err
	}
	return side.Serve(map[string]side.Prepare{
		"edit": side.Arg(func(e edits) (side.Work, error) {
			return func() (side.Outcome, error) { return side.Outcome{}, e.do(t) }, nil
		}),
		"present": side.Arg(func(struct{}) (side.Work, error) {
			return func() (side.Outcome, error) { return present(t), nil }, nil
		}),
	}, in, out)
}

// edits are how many people are to change, and how many memberships in all are
// to end or begin, as many of the one as of the other.
type edits struct{ People, Memberships int }

func (e edits) do(t *tenant.Tenant) error {
	if _, err := t.Apply(tenant.Bulk{Seed: 7, Edit: e.People}); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(7, 0x6c65617665))
	people := t.People()
	var teams []string
	for _, g := range t.Groups() {
		if g.Team() {
			teams = append(teams, g.ID)
		}
	}
	for i, id := range teams { // each one's share
		pairs := e.Memberships*(i+1)/len(teams)/2 - e.Memberships*i/len(teams)/2
		members := t.Members(id)
		r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		for _, member := range members[:min(pairs, len(members))] {
			if err := t.RemoveMember(id, member); err != nil {
				return err
			}
		}
		for joined := 0; joined < min(pairs, len(people)-len(members)); {
			err := t.AddMember(id, people[r.IntN(len(people))].ID)
			if err != nil && !errors.Is(err, tenant.ErrConflict) {
				return err
			}
			if err == nil {
				joined++
			}
		}
	}
	return nil
}

// firstLine reads no byte beyond the line.
func firstLine(in io.Reader) ([]byte, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := io.ReadFull(in, b); err != nil {
			return nil, err
		}
		if b[0] == '\n' {
			return line, nil
		}
		line = append(line, b[0])
	}
}

// scale shows the four kinds of runs of one large tenant.
func scale(args []string) (err error) {
	flags := flag.NewFlagSet("perf scale", flag.ContinueOnError)
	people := flags.Int("people", 50_000, "people of the tenant")
	teams := flags.Int("teams", 500, "teams; a fifth as many security groups come with them")
	memberships := flags.Int("memberships", 200_000, "memberships of the teams, all together")
	size := flags.Int("pagesize", 200, "people on a page of users/delta")
	budget := flags.Duration("budget", time.Minute, "how long a slice works")
	lanes := flags.Int("lanes", 8, "parts of the first enumeration; 0 follows the chain")
	write := flags.String("write", "", "write the table to this `page` too")
	b, done := newBench()
	defer func() { err = done(err) }()
	flags.StringVar(&b.profile, "cpuprofile", "", "write a processor profile of the first run to this `file`")
	flags.StringVar(&b.servers, "serverprofile", "", "write processor profiles of the servers to this `file`, with their names behind it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.exe, err = os.Executable(); err != nil {
		return err
	}
	spec := tenantSpec{Spec: tenant.Spec{People: *people, Teams: *teams, Memberships: *memberships, Seed: 1}, PageSize: *size}
	began := time.Now()
	ms, err := b.start("microsoft", b.exe, "microsoft-server")
	if err != nil {
		return err
	}
	if err := ms.Say(spec); err != nil {
		return err
	}
	var m ours.Microsoft
	if err := ms.Hear(&m); err != nil {
		return err
	}
	tables, err := b.tables("tls")
	if err != nil {
		return err
	}
	if b.servers != "" {
		if err := ms.Profile(b.servers + ".microsoft"); err != nil {
			return err
		}
	}
	fmt.Printf("tenant made in %s\n", time.Since(began).Round(time.Second))
	a := ours.Scale{
		Servers: wires.Servers{Graph: m.Graph, Tables: tables.URL, Roots: m.Roots + tables.Roots}, Microsoft: m, Connection: benchConn, Budget: *budget, Lanes: *lanes,
	}
	var t strings.Builder
	fmt.Fprintf(&t, "%d people, %d teams, %d memberships; pages of %d; slices of %s; %d lanes\n\n", *people, *teams, *memberships, *size, *budget, *lanes)
	t.WriteString("| run | seconds | processor s | of Graph's stand-in | of the tables' | slices | requests to Graph | transactions | changes | peak MiB |\n|---|---|---|---|---|---|---|---|---|---|\n")
	fmt.Print(t.String())
	// A first run by lanes proves no absence, so the one after it follows the chain.
	kinds := []string{"first", "without changes", "1 % changed", "full re-enumeration"}
	if *lanes > 0 {
		kinds = slices.Insert(kinds, 1, "the chain after it")
	}
	for _, kind := range kinds {
		if kind == "1 % changed" {
			if _, err := ms.Do("edit", edits{*people / 100, *memberships / 100}); err != nil {
				return err
			}
		}
		a.Full = kind == "full re-enumeration"
		before, err := spent(ms, tables.Side)
		if err != nil {
			return err
		}
		r, err := b.once(a)
		if err != nil {
			return fmt.Errorf("run %q: %w", kind, err)
		}
		after, err := spent(ms, tables.Side)
		if err != nil {
			return err
		}
		b.profile = ""
		v := r.Values
		if full := v["full"] == 1; full != (a.Full || kind == "first" || kind == "the chain after it") {
			fmt.Printf("    the run %q has enumerated everybody: %t\n", kind, full)
		}
		line := fmt.Sprintf("| %s | %.1f | %.1f | %.1f | %.1f | %.0f | %.0f | %.0f | %.0f | %.0f |\n", kind, r.Wall.Seconds(), r.CPU.Seconds(),
			after[0]-before[0], after[1]-before[1], v["slices"], v["calls"], v["transactions"], v["changes"], float64(r.Peak)/(1<<20))
		fmt.Print(line, phasesOf(v))
		t.WriteString(line)
		if err := b.ends(kind, ms, a.Servers); err != nil {
			return err
		}
	}
	if *write != "" {
		return os.WriteFile(*write, []byte(t.String()), 0o644)
	}
	return nil
}

// spent is the processor time of servers so far, in seconds.
func spent(servers ...*side.Side) (out []float64, err error) {
	for _, s := range servers {
		seconds, err := s.Spent()
		if err != nil {
			return nil, err
		}
		out = append(out, seconds)
	}
	return out, nil
}

// once does a run in a process of its own.
func (b *bench) once(a ours.Scale) (r side.Result, err error) {
	w, err := b.ours()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.end(w)) }()
	if err := b.timed(); err != nil {
		return r, err
	}
	return w.Do("scale", a)
}

// phasesOf tells the phases that took a second or more.
func phasesOf(v map[string]float64) string {
	var parts []string
	for k, s := range v {
		if name, ok := strings.CutPrefix(k, "phase."); ok && s >= 1 {
			parts = append(parts, fmt.Sprintf("%s %.1f s", name, s))
		}
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return ""
	}
	return "    " + strings.Join(parts, ", ") + "\n"
}
