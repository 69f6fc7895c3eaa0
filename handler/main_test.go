package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"rollcall/internal/sandbox/wiretest"
)

// wires are a store and a queue for those tests that need no more.
var wires *wiretest.Wires

// TestMain is main itself when a test starts this binary as the handler.
func TestMain(m *testing.M) {
	if os.Getenv("ROLLCALL_TEST_MAIN") != "" {
		main()
	}
	wiretest.Main(m, wiretest.Options{NodeModules: "../node_modules"}, func(w *wiretest.Wires) { wires = w })
}

// process starts the handler with the given settings.
func process(t *testing.T, env map[string]string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = []string{"ROLLCALL_TEST_MAIN=1"}
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, &out
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -2
	}
	return 0
}

// Wrong settings are all named before it serves, and the host sees a failure.
func TestExitsOnWrongSettings(t *testing.T) {
	env := good()
	env["PUBLIC_URL"], env["SLICE_BUDGET"] = "http://plain.example", "forever"
	cmd, out := process(t, env)
	if code := exitCode(cmd.Wait()); code <= 0 {
		t.Errorf("exit code %d", code)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 2 || !strings.Contains(out.String(), "PUBLIC_URL") || !strings.Contains(out.String(), "SLICE_BUDGET") {
		t.Errorf("log: %s", out)
	}
}

// It answers as soon as it listens, though nothing that it needs is there, and
// no stop looks like a planned one.
func TestServesAtOnceAndNeverExitsWithZero(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	env := good()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	env["FUNCTIONS_CUSTOMHANDLER_PORT"] = port

	cmd, _ := process(t, env) // the port is taken
	if code := exitCode(cmd.Wait()); code <= 0 {
		t.Errorf("with its port taken: exit code %d", code)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd, out := process(t, env)
	for deadline := time.Now().Add(20 * time.Second); ; {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%s/", port))
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent || resp.Header.Get("X-Rollcall-Commit") == "" {
				t.Errorf("readiness is answered %d, %v", resp.StatusCode, resp.Header)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not answer: %v, %s", err, out)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := exitCode(cmd.Wait()); code == 0 {
		t.Error("after an interrupt: exit code 0")
	}
}
