package servicebus

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
)

// An independent client, Microsoft's for JavaScript, understands the server too.
func TestSecondClient(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "node_modules", "@azure", "service-bus")); err != nil {
		if os.Getenv("CI") != "" || os.Getenv("ROLLCALL_REQUIRE_NODE") != "" {
			t.Fatalf("npm ci has not been run in %s: %v", root, err)
		}
		t.Skip("node_modules/@azure/service-bus is absent: run npm ci in " + root)
	}
	s := mustStart(t, Options{Queues: []Queue{{Name: "jobs"}}})
	cmd := exec.CommandContext(deadline(t), "node", filepath.Join("testdata", "second_client.mjs"), emulator(s))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	want := map[string]any{
		"single":    []any{"world", "single", 7.0, "x", 0.0, 1.0},
		"renewed":   true,
		"abandoned": 1.0,
		"batch":     20.0,
		"large":     true,
		"peeked":    []any{"later", "scheduled", true},
		"left":      0.0,
		"deferred":  "aside",
		"dead":      []any{"aside", "why", "because", "jobs"},
		"absent":    "MessagingEntityNotFound",
		"streamed":  []any{"s1", "s2"},
	}
	for k := range want {
		if !reflect.DeepEqual(got[k], want[k]) {
			t.Errorf("%s is %v, want %v", k, got[k], want[k])
		}
	}
	if n, err := s.Counts("jobs"); err != nil || n.Active+n.Locked+n.Scheduled+n.Deferred+n.DeadLetter != 0 {
		t.Errorf("counts are %+v, %v", n, err)
	}
}
