package repo

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
)

// lint returns what actionlint says of one workflow. Its scripts are left to
// the eye: shellcheck is not on every machine.
func lint(t *testing.T, path string, content []byte) []string {
	t.Helper()
	l, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{Shellcheck: "", Pyflakes: ""})
	if err != nil {
		t.Fatal(err)
	}
	project, err := actionlint.NewProject(root)
	if err != nil {
		t.Fatal(err)
	}
	mistakes, err := l.Lint(path, content, project)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, m := range mistakes {
		said = append(said, m.Error())
	}
	return said
}

// Workflows are what GitHub takes: keys, expressions, needs, inputs of called
// workflows, events and permissions.
func TestWorkflowsAreSound(t *testing.T) {
	for name, text := range workflows(t) {
		for _, m := range lint(t, filepath.Join(root, filepath.FromSlash(name)), []byte(text)) {
			t.Error(m)
		}
	}
}

// The linter reads what it is given: breaking a workflow breaks the test.
func TestWorkflowsLinterBites(t *testing.T) {
	name := ".github/workflows/package.yml"
	path := filepath.Join(root, filepath.FromSlash(name))
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for what, edit := range map[string][2]string{
		"an unknown key":          {"    needs: test\n", "    need: test\n"},
		"a job that is not there": {"    needs: build\n", "    needs: bild\n"},
		"an unknown permission":   {"attestations: write", "attestation: write"},
		"an unknown property":     {"github.ref_type", "github.reftype"},
		"a called workflow":       {"workflows/test.yml", "workflows/tests.yml"},
	} {
		broken := strings.Replace(string(sound), edit[0], edit[1], 1)
		if broken == string(sound) {
			t.Errorf("%s: nothing to break", what)
		} else if len(lint(t, path, []byte(broken))) == 0 {
			t.Errorf("%s passes", what)
		}
	}
}
