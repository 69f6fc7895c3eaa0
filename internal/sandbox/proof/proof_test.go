// Package proof holds the tests of the whole: the shipped binary under the
// Functions host stand-in, with every wire real.
//
// Expected figures come from the stand-in's directory, never from the
// handler's own answers, and every test that injects a fault asserts that the
// fault fired.
package proof

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// dist is the staged package that all tests of this process run.
var dist string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "rollcall-proof-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		dist = dir
		// The project's own recipe, so that what is proved is what is deployed.
		cmd := exec.Command("make", "-s", "-C", "../../..", "dist", "DIST="+dir)
		cmd.Env = append(os.Environ(), "MAKEFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "make dist: %v\n%s", err, out)
			return 1
		}
		code := m.Run()
		if err := besieged.close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// start runs a sandbox for one test, closed at its end.
func start(t *testing.T, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	s, err := launch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// launch runs a sandbox. Waits are short, so that a test of failures does not
// take minutes.
func launch(ctx context.Context, o sandbox.Options) (*sandbox.Sandbox, error) {
	o.Dist = dist
	o.NodeModules = filepath.Join("..", "..", "..", "node_modules")
	settings := map[string]string{
		"RETRY_MIN_DELAY": "50ms", "RETRY_MAX_DELAY": "200ms", "VERIFY_MIN_DELAY": "50ms", "SYNC_COOLDOWN": "1s",
	}
	for k, v := range o.Settings {
		settings[k] = v
	}
	o.Settings = settings
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.Log == nil {
		o.Log = testLog{}
	}
	s, err := sandbox.Start(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("%w (is node_modules there? run: make deps)", err)
	}
	return s, nil
}

// testLog shows what the host and handler wrote if ROLLCALL_PROOF_LOG is set.
type testLog struct{}

func (testLog) Write(b []byte) (int, error) {
	if os.Getenv("ROLLCALL_PROOF_LOG") != "" {
		_, _ = os.Stderr.Write(b)
	}
	return len(b), nil
}

// within bounds a wait that can only end late if something is broken.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// customer is a company with its tenant and connection.
type customer struct {
	tenant *tenant.Tenant
	sandbox.Invitation
}

func (c customer) path(rest string) string { return "/v1/connections/" + c.ID + rest }

// invited makes a customer whose administrator has a link and has not used it.
func invited(t *testing.T, s *sandbox.Sandbox, spec tenant.Spec) customer {
	t.Helper()
	tn, err := s.Microsoft.NewTenant(spec)
	if err != nil {
		t.Fatal(err)
	}
	inv, err := s.Invite(t.Context(), "company-"+tn.ID, tn.Name)
	if err != nil {
		t.Fatal(err)
	}
	return customer{tn, inv}
}

// admin is the tenant's Global Administrator, employee somebody without a role.
func (c customer) admin() tenant.Account    { return c.tenant.Accounts[0] }
func (c customer) employee() tenant.Account { return c.tenant.Accounts[3] }

// connected makes a customer whose first run has succeeded.
func connected(t *testing.T, s *sandbox.Sandbox, spec tenant.Spec) customer {
	t.Helper()
	c := invited(t, s, spec)
	if _, err := s.Consent(t.Context(), c.Link, c.admin()); err != nil {
		t.Fatal(err)
	}
	awaitRuns(t, s, c, 1)
	return c
}

// run is a run record as the machine API answers it.
type run struct {
	ID, Trigger, By, State, Phase, Why, MergedInto string
	Full                                           bool
	Slices                                         int
	Ended                                          time.Time
	Counters                                       struct {
		Created, Updated, Archived, Reactivated, GraphCalls, Throttles, Retries, Transactions int
	}
	Problem *struct{ Code, Message, Remedy string }
}

func (r run) ended() bool {
	return slices.Contains([]string{"succeeded", "failed", "merged", "held", "stopped"}, r.State)
}

// runs lists a connection's runs, newest first.
func runs(ctx context.Context, s *sandbox.Sandbox, c customer) ([]run, error) {
	var page struct{ Runs []run }
	_, err := s.Call(ctx, "GET", c.path("/runs?limit=1000"), nil, &page)
	return page.Runs, err
}

// awaitRuns waits until the connection has n ended runs and none open, and
// the newest has been noted on the connection.
func awaitRuns(t *testing.T, s *sandbox.Sandbox, c customer, n int) []run {
	t.Helper()
	var all []run
	err := sandbox.Await(within(t, time.Minute), fmt.Sprintf("%d runs", n), func() (bool, error) {
		var err error
		if all, err = runs(t.Context(), s, c); err != nil {
			return false, err
		}
		var conn struct{ LastRun string }
		if _, err := s.Call(t.Context(), "GET", c.path(""), nil, &conn); err != nil {
			return false, err
		}
		// Merged runs leave no trace on the connection; what ended last does.
		var last run
		for _, r := range all {
			if !r.ended() {
				return false, nil
			}
			if r.State != "merged" && r.Ended.After(last.Ended) {
				last = r
			}
		}
		return len(all) >= n && last.ID != "" && last.ID == conn.LastRun, nil
	})
	if err != nil {
		t.Fatalf("%v: %+v", err, all)
	}
	return all
}

// check compares everything stored of the customer with the directory, and
// the feed with what is stored.
func check(t *testing.T, s *sandbox.Sandbox, c customer) []sandbox.Change {
	t.Helper()
	stored, err := s.People(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := sandbox.Compare(stored, sandbox.Truth(c.tenant.People())); err != nil {
		t.Error(err)
	}
	changes, err := s.Changes(t.Context(), c.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	replayed, err := sandbox.Replay(changes)
	if err != nil {
		t.Error(err)
	} else if diff := differ(replayed, stored); diff != "" {
		t.Errorf("the feed does not lead to what is stored: %s", diff)
	}
	return changes
}
