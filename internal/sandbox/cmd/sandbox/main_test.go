package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"rollcall/internal/sandbox"
	"rollcall/internal/sandbox/microsoft/tenant"
)

var staged string

// TestMain is the command itself when a test starts this binary as it; else it
// stages the package by the project's own recipe.
func TestMain(m *testing.M) {
	if os.Getenv("ROLLCALL_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "rollcall-command-")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		staged = dir
		cmd := exec.Command("make", "-s", "-C", "../../../..", "dist", "DIST="+dir)
		cmd.Env = append(os.Environ(), "MAKEFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			_, _ = os.Stderr.Write(out)
			return 1
		}
		return m.Run()
	}())
}

var nodeModules = filepath.Join("..", "..", "..", "..", "node_modules")

// command starts this binary as the sandbox and returns its lines.
func command(t *testing.T, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"-dist", staged, "-node-modules", nodeModules, "-addr", "127.0.0.1:0", "-people", "50", "-log", os.DevNull}, args...)...)
	cmd.Env = append(os.Environ(), "ROLLCALL_TEST_MAIN=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		cmd.Stderr = os.Stderr
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// descendants are the processes below pid, by the kernel's own account.
func descendants(t *testing.T, pid int) (all []int) {
	t.Helper()
	children := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it ended
		}
		// pid (name) state ppid …; the name may hold anything.
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(fields) > 1 {
			parent, _ := strconv.Atoi(fields[1])
			children[parent] = append(children[parent], id)
		}
	}
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		all = append(all, children[queue[0]]...)
		queue = append(queue, children[queue[0]]...)
	}
	return all
}

// running reports whether the process exists and is no zombie.
func running(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	after := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	return len(after) > 0 && after[0] != "Z" && after[0] != "X"
}

// Ctrl-C stops everything that was started, and so does a kill that gives no
// chance to clean up.
func TestNothingIsLeftBehind(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "kill -9": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			export := t.TempDir()
			page := `{"value":[{"id":"aaaaaaaa-0000-4000-8000-000000000001","userPrincipalName":"a@x.example"}]}`
			if err := os.WriteFile(filepath.Join(export, "users.json"), []byte(page), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd, lines := command(t, "-data", export, "-cooldown", "2s")
			links, loaded, master := 0, false, false
			for lines.Scan() {
				master = master || strings.HasPrefix(lines.Text(), "  master key     ") && len(lines.Text()) > 40
				loaded = loaded || strings.Contains(lines.Text(), " 1 people, 0 groups, 0 licenses")
				if strings.Contains(lines.Text(), "/connect/") {
					links++
				}
				if strings.HasPrefix(lines.Text(), "Ctrl-C") {
					break
				}
			}
			if links != 3 || !loaded || !master {
				t.Errorf("%d invitation links, want 3; export loaded: %v, master key printed: %v", links, loaded, master)
			}
			started := descendants(t, cmd.Process.Pid)
			if len(started) < 2 {
				t.Fatalf("%d processes below it, want the handler and Azurite", len(started))
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			if sig == syscall.SIGINT && err != nil {
				t.Errorf("after Ctrl-C: %v", err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for _, pid := range started {
				if err := sandbox.Await(ctx, "the end of process "+strconv.Itoa(pid), func() (bool, error) { return !running(pid), nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// The demo ends well, and with an error if a figure is not the directory's.
func TestDemo(t *testing.T) {
	cmd, lines := command(t, "demo")
	rows, words := 0, map[string]bool{}
	for lines.Scan() {
		line := lines.Text()
		if n := utf8.RuneCountInString(line); n > 115 {
			t.Errorf("%d columns: %s", n, line)
		}
		if strings.HasSuffix(line, " ms") {
			rows++
		}
		for _, w := range []string{"preview", "found", "erased", "degraded", "Reports.Read.All", "429"} {
			words[w] = words[w] || strings.Contains(line, w)
		}
	}
	if err := cmd.Wait(); err != nil || rows != 12 {
		t.Errorf("%d rows, %v", rows, err)
	}
	for w, said := range words {
		if !said {
			t.Errorf("nothing is said of %s", w)
		}
	}
}

func TestDemoFailsOnWrongFigures(t *testing.T) {
	s, err := sandbox.Start(t.Context(), sandbox.Options{Dist: staged, NodeModules: nodeModules, Log: io.Discard, Seed: 2,
		Settings: map[string]string{"VERIFY_MIN_DELAY": "50ms"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	d := &teller{Sandbox: s, w: io.Discard}
	st, err := d.invite(t.Context(), customers(50)[1], true)
	if err != nil {
		t.Fatal(err)
	}
	want := st.expect()
	r, err := st.sync(t.Context(), s, true)
	if err == nil {
		err = st.check(t.Context(), s, r, want)
	}
	if err != nil {
		t.Fatalf("the first sync: %v", err)
	}
	for name, spoil := range map[string]func(*run){
		"people": func(r *run) { r.Counters.Created++ }, "calls": func(r *run) { r.Counters.GraphCalls++ },
		"teams": func(r *run) { r.Teams.Updated++ }, "memberships": func(r *run) { r.Memberships.Archived++ },
		"licenses": func(r *run) { r.Licenses.Created-- }, "positions": func(r *run) { r.Positions.Reactivated++ },
		"mailboxes": func(r *run) { r.Mailboxes.Created++ }, "what was left out": func(r *run) { r.Skipped = []said{{What: "teams"}} },
	} {
		wrong := r
		spoil(&wrong)
		if st.check(t.Context(), s, wrong, want) == nil {
			t.Errorf("a wrong figure of %s is accepted", name)
		}
	}
	// Changes at Microsoft that no sync has seen.
	for name, change := range map[string]func() error{
		"a person who left": func() error { return st.tenant.Remove(st.tenant.TransitiveUsers(st.scope)[0]) },
		"a new team": func() error {
			_, err := st.tenant.CreateGroup(tenant.Fields{"displayName": "x", "groupTypes": []string{"Unified"}, "resourceProvisioningOptions": []string{"Team"}})
			return err
		},
		"fewer licenses": func() error { return st.tenant.SetSKUs(nil) },
	} {
		kept := st.truth
		if err := change(); err != nil {
			t.Fatal(err)
		}
		st.truth = st.look()
		if st.check(t.Context(), s, r, want) == nil {
			t.Errorf("%s is accepted", name)
		}
		st.truth = kept
	}
}
