package repo

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every threat of the page has its tests, and every such test its threat.
func TestThreatsAreListed(t *testing.T) {
	listed := map[string]bool{}
	for line := range strings.Lines(read(t, "docs/threats.md")) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], "-") || strings.TrimSpace(cells[1]) == "threat" {
			continue
		}
		names := regexp.MustCompile("`(TestThreat[A-Za-z]+)`").FindAllStringSubmatch(cells[3], -1)
		if len(names) == 0 || strings.TrimSpace(cells[2]) == "" {
			t.Errorf("no test or defense: %s", line)
		}
		for _, n := range names {
			listed[n[1]] = true
		}
	}
	if len(listed) < 20 {
		t.Fatalf("docs/threats.md names %d tests: its table was not read", len(listed))
	}
	tried := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (TestThreat[A-Za-z]+)\(`)
	for _, dir := range []string{"handler", "functions", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			for _, m := range declared.FindAllStringSubmatch(read(t, rel), -1) {
				if m[1] == "TestThreatsAreListed" {
					continue
				}
				if !listed[m[1]] {
					t.Errorf("%s: %s is not in docs/threats.md", rel, m[1])
				}
				tried[m[1]] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range listed {
		if tried[name] {
			continue
		}
		t.Errorf("docs/threats.md names %s, and there is no such test", name)
	}
}
