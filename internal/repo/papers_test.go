package repo

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// dependencies are those of go.mod and package.json that the project itself
// asks for, with their versions.
func dependencies(t *testing.T) map[string]string {
	t.Helper()
	have := make(map[string]string)
	cmd := exec.Command("go", "mod", "edit", "-json")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path, Version string
			Indirect      bool
		}
		Tool []struct{ Path string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		isTool := slices.ContainsFunc(mod.Tool, func(tool struct{ Path string }) bool { return strings.HasPrefix(tool.Path, r.Path+"/") })
		if !r.Indirect || isTool {
			have[r.Path] = r.Version
		}
	}
	var node struct {
		Dependencies, DevDependencies map[string]string
	}
	if err := json.Unmarshal([]byte(read(t, "package.json")), &node); err != nil {
		t.Fatal(err)
	}
	if len(node.Dependencies) > 0 {
		t.Errorf("package.json has dependencies %v: nothing of npm is shipped", node.Dependencies)
	}
	maps.Copy(have, node.DevDependencies)
	return have
}

// A row of docs/dependencies.md: | `name` | version | for | why |
var dependencyRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\S+) \\| (.+) \\| (.+) \\|$")

func TestDependenciesAreExplained(t *testing.T) {
	have := dependencies(t)
	explained := make(map[string]string)
	for _, m := range dependencyRow.FindAllStringSubmatch(read(t, "docs/dependencies.md"), -1) {
		if _, twice := explained[m[1]]; twice {
			t.Errorf("docs/dependencies.md explains %s twice", m[1])
		}
		explained[m[1]] = m[2]
	}
	for name, version := range have {
		switch got, ok := explained[name]; {
		case !ok:
			t.Errorf("docs/dependencies.md has no row for %s %s", name, version)
		case got != version:
			t.Errorf("docs/dependencies.md has %s %s, used is %s", name, got, version)
		}
	}
	for name := range explained {
		if _, ok := have[name]; !ok {
			t.Errorf("docs/dependencies.md explains %s, which is not a direct dependency", name)
		}
	}
}

// The lockfile pins contents, not the registry that somebody happened to use.
func TestLockfileNamesNoRegistry(t *testing.T) {
	lock := read(t, "package-lock.json")
	if strings.Contains(lock, `"resolved"`) {
		t.Error(`package-lock.json has "resolved" addresses; .npmrc leaves them out: run npm install --package-lock-only`)
	}
	if !strings.Contains(read(t, ".npmrc"), "omit-lockfile-registry-resolved=true\n") {
		t.Error(".npmrc lets npm write addresses into the lockfile")
	}
	var l struct {
		Packages map[string]struct {
			Version, Integrity string
			Link               bool
		}
	}
	if err := json.Unmarshal([]byte(lock), &l); err != nil {
		t.Fatal(err)
	}
	for path, p := range l.Packages {
		if path != "" && p.Integrity == "" {
			t.Errorf("package-lock.json pins %s %s without a hash", path, p.Version)
		}
	}
	for name, version := range dependencies(t) {
		if p, ok := l.Packages["node_modules/"+name]; ok && p.Version != version {
			t.Errorf("package.json asks for %s %s, locked is %s: give the exact version", name, version, p.Version)
		}
	}
}

var (
	decisionName  = regexp.MustCompile(`^(\d{4})-[a-z0-9]+(-[a-z0-9]+)*\.md$`)
	decisionStart = regexp.MustCompile(`^# (\d+)\. \S.*\n\n(\d{4}-\d\d-\d\d)\n\n## Context\n`)
)

// Decisions are numbered without gaps and say when, in what situation, what,
// and what else was weighed, in this order.
func TestDecisions(t *testing.T) {
	files, err := os.ReadDir(filepath.Join(root, "docs", "decisions"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatal("no decisions")
	}
	for i, f := range files {
		m := decisionName.FindStringSubmatch(f.Name())
		if m == nil {
			t.Errorf("%s: want a name like 0001-short-title.md", f.Name())
			continue
		}
		if n, _ := strconv.Atoi(m[1]); n != i+1 {
			t.Errorf("%s: number %d is next", f.Name(), i+1)
		}
		text := read(t, "docs/decisions/"+f.Name())
		start := decisionStart.FindStringSubmatch(text)
		if start == nil {
			t.Errorf("%s: want it to begin with title, date and context, like its neighbors", f.Name())
			continue
		}
		if n, _ := strconv.Atoi(start[1]); n != i+1 {
			t.Errorf("%s: its title has number %s", f.Name(), start[1])
		}
		if _, err := time.Parse(time.DateOnly, start[2]); err != nil {
			t.Errorf("%s: %v", f.Name(), err)
		}
		context, choice, rejected := strings.Index(text, "\n## Context\n"), strings.Index(text, "\n## Choice\n"), strings.Index(text, "\n## Rejected\n")
		if context < 0 || choice < context || rejected < choice {
			t.Errorf("%s: want the sections Context, Choice and Rejected, in this order", f.Name())
		}
	}
}

// A command as papers show it: in backquotes, or on a line of a block.
var command = regexp.MustCompile("(`|^(?:\\$ )?)make ([a-z]+)")

// What newcomers are told to type exists.
func TestCommandsExist(t *testing.T) {
	targets := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^([a-z]+):`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets[m[1]] = true
	}
	named := 0
	for _, paper := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/sandbox.md", "docs/dependencies.md"} {
		block := false
		for line := range strings.Lines(read(t, paper)) {
			if strings.HasPrefix(line, "```") {
				block = !block
			}
			for _, m := range command.FindAllStringSubmatch(line, -1) {
				if !block && m[1] != "`" {
					continue // prose
				}
				named++
				if !targets[m[2]] {
					t.Errorf("%s names make %s, which is no target", paper, m[2])
				}
			}
		}
	}
	if named == 0 {
		t.Error("no paper names a command")
	}
}
