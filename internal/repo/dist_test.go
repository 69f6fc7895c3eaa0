package repo

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stage runs make dist into a folder of the test's own, so that a sandbox
// that runs from dist/ meanwhile is left alone.
func stage(dir string) ([]byte, error) {
	cmd := exec.Command("make", "--no-print-directory", "dist", "DIST="+dir, "ARCH=amd64")
	cmd.Dir = root
	// When make runs this test, the child is not part of that make's work.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "MAKE") || strings.HasPrefix(kv, "MFLAGS=")
	})
	return cmd.CombinedOutput()
}

// The staged package is exactly what the host wants, no file more or less.
func TestDist(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dist")
	if out, err := stage(dir); err != nil {
		t.Fatalf("make dist: %v\n%s", err, out)
	}

	var listing strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		kind := map[fs.FileMode]string{0: "f", fs.ModeDir: "d"}[info.Mode().Type()]
		rel, err := filepath.Rel(dir, path)
		fmt.Fprintf(&listing, "%s %04o %s\n", kind, info.Mode().Perm(), filepath.ToSlash(rel))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(read(t, "internal/repo/testdata/dist.golden"), listing.String()); diff != "" {
		t.Errorf("staged (+) is not what dist.golden lists (-):\n%s", diff)
	}

	for _, name := range []string{"host.json", "syncworker/function.json"} {
		staged, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		src := name
		if name != "host.json" {
			src = "functions/" + name
		}
		if string(staged) != read(t, src) {
			t.Errorf("%s is not what is in the repository", name)
		}
	}
	staticLinuxAMD64(t, filepath.Join(dir, "handler"))
}

// staticLinuxAMD64 checks that the binary needs nothing of the machine it is
// put on, not even a loader.
func staticLinuxAMD64(t *testing.T, path string) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if f.Machine != elf.EM_X86_64 || f.Class != elf.ELFCLASS64 || f.Type != elf.ET_EXEC {
		t.Errorf("handler is %v %v %v", f.Machine, f.Class, f.Type)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("handler has a %v segment: it is linked dynamically", p.Type)
		}
	}
	if libs, err := f.ImportedLibraries(); len(libs) > 0 {
		t.Errorf("handler needs %v (%v)", libs, err)
	}
	if f.Section(".symtab") != nil || f.Section(".debug_info") != nil {
		t.Error("handler is not stripped")
	}
}

// make dist empties only what it made.
func TestDistRefusesForeignFolder(t *testing.T) {
	dir := t.TempDir()
	kept := filepath.Join(dir, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := stage(dir); err == nil {
		t.Errorf("make dist staged into a folder that holds something else:\n%s", out)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}

// A folder under functions/ is a function: Go code that does it and a
// function.json by which the host finds it, never one of them alone.
func TestFunctionsAreWhole(t *testing.T) {
	folders, err := os.ReadDir(filepath.Join(root, "functions"))
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) == 0 {
		t.Fatal("no functions")
	}
	for _, d := range folders {
		code, err := filepath.Glob(filepath.Join(root, "functions", d.Name(), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		code = slices.DeleteFunc(code, func(p string) bool { return strings.HasSuffix(p, "_test.go") })
		_, err = os.Stat(filepath.Join(root, "functions", d.Name(), "function.json"))
		if len(code) == 0 || err != nil {
			t.Errorf("functions/%s: %d Go files, function.json: %v", d.Name(), len(code), err)
		}
	}
}
