package child_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"rollcall/internal/sandbox/host/child"
)

// TestMain doubles as the parent that is killed in TestParentKilled.
func TestMain(m *testing.M) {
	if os.Getenv("CHILD_TEST_PARENT") == "" {
		os.Exit(m.Run())
	}
	p, err := child.Start(child.Command{Path: "/bin/sleep", Args: []string{"600"}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(p.Pid())
	select {}
}

func TestExitCodes(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 200": 200, "kill -KILL $$": 137, "kill -TERM $$": 143} {
		p, err := child.Start(child.Command{Path: "/bin/sh", Args: []string{"-c", script}})
		if err != nil {
			t.Fatal(err)
		}
		if code, err := p.Wait(); code != want || err != nil {
			t.Errorf("%q: got %d, %v; want %d", script, code, err, want)
		}
	}
}

func TestOutputAndEnvironment(t *testing.T) {
	var out, errs bytes.Buffer
	p, err := child.Start(child.Command{
		Path: "/bin/sh", Args: []string{"-c", "echo $A; pwd; echo oops >&2"},
		Dir: "/", Env: []string{"A=b c"}, Stdout: &out, Stderr: &errs,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if out.String() != "b c\n/\n" || errs.String() != "oops\n" {
		t.Errorf("got %q and %q", out.String(), errs.String())
	}
}

func TestKillEndsTheGroup(t *testing.T) {
	r, w := io.Pipe()
	p, err := child.Start(child.Command{Path: "/bin/sh", Args: []string{"-c", "sleep 600 & echo $!; wait"}, Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	grandchild, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if code, _ := p.Wait(); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	if !gone(grandchild) {
		t.Errorf("grandchild %d is still there", grandchild)
	}
	if err := p.Kill(); err != nil {
		t.Errorf("second kill: %v", err)
	}
}

func TestParentKilled(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "CHILD_TEST_PARENT=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(line)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if !gone(pid) {
		t.Errorf("child %d outlived its parent", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func TestMissingProgram(t *testing.T) {
	if _, err := child.Start(child.Command{Path: "/no/such/program"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// gone watches a process until it has ended or is only waiting to be reaped.
func gone(pid int) bool {
	for range 20000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return true
		}
		after := stat[bytes.LastIndexByte(stat, ')')+1:]
		if f := bytes.Fields(after); len(f) > 0 && (string(f[0]) == "Z" || string(f[0]) == "X") {
			return true
		}
	}
	return false
}
