package repo

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// workflows are the files of .github/workflows with their texts.
func workflows(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, ".github/workflows/*"))
	if err != nil {
		t.Fatal(err)
	}
	texts := make(map[string]string)
	for _, p := range paths {
		name := ".github/workflows/" + filepath.Base(p)
		texts[name] = read(t, name)
	}
	for _, name := range []string{"test.yml", "package.yml", "deploy.yml"} {
		if texts[".github/workflows/"+name] == "" {
			t.Errorf("no workflow %s", name)
		}
	}
	return texts
}

var (
	uses   = regexp.MustCompile(`(?m)^ *(?:- )?uses: *(.*)$`)
	pinned = regexp.MustCompile(`^([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$`)
	local  = regexp.MustCompile(`^\./\.github/workflows/[\w-]+\.yml$`)
	runs   = regexp.MustCompile(`^( *(?:- )?)run: *(.*\n)`)
)

// A tag of somebody else's repository can be moved, a commit cannot. Dependabot
// moves commit and comment together, everywhere at once.
func TestActionsArePinned(t *testing.T) {
	pins, n := make(map[string]string), 0
	for name, text := range workflows(t) {
		for _, m := range uses.FindAllStringSubmatch(text, -1) {
			if local.MatchString(m[1]) {
				read(t, strings.TrimPrefix(m[1], "./"))
				continue
			}
			p := pinned.FindStringSubmatch(m[1])
			if p == nil {
				t.Errorf("%s uses %s: want owner/name@<commit> # v1.2.3", name, m[1])
				continue
			}
			n++
			if at := p[2] + " " + p[3]; pins[p[1]] == "" {
				pins[p[1]] = at
			} else if pins[p[1]] != at {
				t.Errorf("%s uses %s at %s, another place at %s", name, p[1], at, pins[p[1]])
			}
		}
	}
	if n < 8 {
		t.Errorf("found %d actions: the workflows were not read", n)
	}
}

// Whoever gets a workflow to run something gets as little as can be: rights are
// named, no text from outside becomes part of a script, no credential is kept,
// and no secret is stored at GitHub at all.
func TestWorkflowsHaveLeastRights(t *testing.T) {
	for name, text := range workflows(t) {
		if !regexp.MustCompile(`(?m)^permissions:(?: \{\}|\n  contents: read)$`).MatchString(text) {
			t.Errorf("%s: want permissions for all jobs of {} or contents: read", name)
		}
		for _, never := range []string{"secrets.", "pull_request_target", "workflow_run", "write-all", "read-all", "self-hosted", "continue-on-error"} {
			if strings.Contains(text, never) {
				t.Errorf("%s has %s", name, never)
			}
		}
		if !strings.Contains(text, "\nconcurrency:\n") {
			t.Errorf("%s: runs of the same thing can overtake each other", name)
		}
		if out, keep := strings.Count(text, "uses: actions/checkout@"), strings.Count(text, "persist-credentials: false"); out != keep {
			t.Errorf("%s checks out %d times, and forgets the credential %d times", name, out, keep)
		}
		_, jobs, _ := strings.Cut(text, "\njobs:\n")
		for _, job := range regexp.MustCompile(`(?m)^  (\w+):\n((?:(?: {4}.*|\s*#.*)?\n)+)`).FindAllStringSubmatch(jobs, -1) {
			if !strings.Contains(job[2], "    uses: ./") && !strings.Contains(job[2], "    timeout-minutes: ") {
				t.Errorf("%s: the job %s may run for hours", name, job[1])
			}
		}
		for _, s := range scripts(text) {
			if strings.Contains(s, "${{") {
				t.Errorf("%s: hand values to a script by its environment, not as its text:\n%s", name, s)
			}
		}
		if len(scripts(text)) == 0 {
			t.Errorf("%s runs nothing", name)
		}
	}
}

// scripts are what a workflow's steps run.
func scripts(text string) (all []string) {
	indent, within := 0, false
	for line := range strings.Lines(text) {
		depth := len(line) - len(strings.TrimLeft(line, " "))
		if m := runs.FindStringSubmatch(line); m != nil {
			all, indent, within = append(all, m[2]), len(m[1]), true
			continue
		}
		if within = within && (depth > indent || strings.TrimSpace(line) == ""); within {
			all[len(all)-1] += line
		}
	}
	return all
}

// What deploys knows azd's preview feature, an azd that azure.yaml takes, and
// the service's name; it takes what package.yml makes; and its papers name
// every variable that it wants.
func TestDeployFitsTheRest(t *testing.T) {
	text, releases := read(t, ".github/workflows/deploy.yml"), read(t, "docs/releases.md")
	if !strings.Contains(text, `AZD_ALPHA_ENABLE_LANGUAGE_CUSTOM: "true"`) {
		t.Error("deploy.yml does not switch on azd's language: custom")
	}
	service := found(t, "azure.yaml", `services:\n  (\w+):`)
	if !strings.Contains(text, "azd deploy "+service+" --from-package out/"+service+".zip") {
		t.Errorf("deploy.yml does not deploy the service %s", service)
	}
	if !strings.Contains(read(t, ".github/workflows/package.yml"), "../out/"+service+".zip") {
		t.Errorf("package.yml makes no %s.zip", service)
	}
	least, used := version(t, found(t, "azure.yaml", `azd: ">= ([0-9.]+)"`)), version(t, found(t, ".github/workflows/deploy.yml", `version: ([0-9.]+)`))
	if used < least {
		t.Error("deploy.yml installs an azd that azure.yaml refuses")
	}
	// It waits for the code that it deployed: the tag's, as the binary tells it.
	header := strings.ToLower(found(t, "handler/commit.go", `commitHeader = "(.+)"`))
	if !strings.Contains(text, "ref: refs/tags/${{ inputs.release }}") || !strings.Contains(text, "commit=$(git rev-parse HEAD)") || !strings.Contains(text, `grep -qix "`+header+`: $commit" <<<"$head"`) {
		t.Errorf("deploy.yml does not wait for %s of the release", header)
	}
	vars := regexp.MustCompile(`vars\.([A-Z_]+)`).FindAllStringSubmatch(text, -1)
	for _, m := range vars {
		if !strings.Contains(releases, "`"+m[1]+"`") {
			t.Errorf("docs/releases.md does not name the variable %s", m[1])
		}
	}
	if len(vars) < 5 {
		t.Errorf("deploy.yml takes %d variables", len(vars))
	}
}

// version makes "1.31.2" comparable.
func version(t *testing.T, s string) (n int) {
	t.Helper()
	for part := range strings.SplitSeq(s, ".") {
		k, err := strconv.Atoi(part)
		if err != nil || k > 999 {
			t.Fatalf("%q is no version", s)
		}
		n = n*1000 + k
	}
	return n
}

// Each kind of dependency is kept up to date.
func TestDependabot(t *testing.T) {
	text := read(t, ".github/dependabot.yml")
	for _, kind := range []string{"gomod", "npm", "github-actions"} {
		_, entry, ok := strings.Cut(text, "- package-ecosystem: "+kind+"\n")
		entry, _, _ = strings.Cut(entry, "- package-ecosystem: ")
		if !ok || !strings.Contains(entry, "    groups:\n") || !strings.Contains(entry, "      interval: weekly\n") {
			t.Errorf("dependabot.yml: no weekly groups of %s", kind)
		}
	}
}
