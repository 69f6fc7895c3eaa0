// Package repo holds the repository to its own rules: who may import whom,
// what is shipped, and that the papers say what is. It has tests only.
package repo

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the repository's, as seen from this folder.
const root = "../.."

// maxLines bounds a Go file, tests apart: one subject each.
const maxLines = 400

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sources calls do for every file that somebody wrote, by its path from the
// repository's root.
func sources(t *testing.T, do func(path string)) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		switch rel {
		case ".git", "node_modules", "dist", "build":
			if d.IsDir() {
				return fs.SkipDir
			}
		}
		if d.Type().IsRegular() {
			n++
			do(filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 100 {
		t.Fatalf("found %d files: this is not the repository", n)
	}
}

func TestFilesAreShort(t *testing.T) {
	sources(t, func(path string) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return
		}
		if n := strings.Count(read(t, path), "\n"); n > maxLines {
			t.Errorf("%s has %d lines, at most %d", path, n, maxLines)
		}
	})
}

// What belongs to one machine, or was left for later, has no place in what is
// read by others.
func TestNothingIsLeftBehind(t *testing.T) {
	forbidden := []string{"/wo" + "rk/", "/ro" + "ot/", "TO" + "DO", "FIX" + "ME", "<<<<" + "<<<", ">>>>" + ">>>"}
	kinds := []string{".go", ".md", ".mjs", ".html", ".css", ".yml", ".json", ".example", "Makefile", "run"}
	sources(t, func(path string) {
		for _, k := range kinds {
			if !strings.HasSuffix(path, k) {
				continue
			}
			for i, line := range strings.Split(read(t, path), "\n") {
				for _, f := range forbidden {
					if strings.Contains(line, f) {
						t.Errorf("%s:%d mentions %s", path, i+1, f)
					}
				}
			}
			return
		}
	})
}
