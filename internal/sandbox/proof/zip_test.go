package proof

import (
	"archive/zip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/internal/sandbox"
)

// packed zips the staged package; change may alter what is told of a file.
func packed(t *testing.T, change func(*zip.FileHeader)) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rollcall.zip")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(out)
	err = filepath.WalkDir(dist, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h, err := zip.FileInfoHeader(info)
		if err != nil {
			return err
		}
		if h.Name, err = filepath.Rel(dist, path); err != nil {
			return err
		}
		change(h)
		w, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		in, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = in.Close() }()
		_, err = io.Copy(w, in)
		return err
	})
	if err == nil {
		err = z.Close()
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// What is deployed is a zip, and runs as it comes out of it.
func TestFromZip(t *testing.T) {
	t.Parallel()
	o := sandbox.Options{NodeModules: filepath.Join("..", "..", "..", "node_modules"), Seed: 1}
	o.Dist = packed(t, func(*zip.FileHeader) {})
	s, err := sandbox.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if a, err := s.Call(t.Context(), "GET", "/v1/connections", nil, nil); err != nil || a.Status != 200 {
		t.Errorf("%d %s, %v", a.Status, a.Body, err)
	}
	for what, change := range map[string]func(*zip.FileHeader){
		"may not be executed": func(h *zip.FileHeader) { h.SetMode(0o644) },
		"is no file":          func(h *zip.FileHeader) { h.Name = "../" + h.Name },
		"holds no handler":    func(h *zip.FileHeader) { h.Name = "dist/" + h.Name },
	} {
		o.Dist = packed(t, change)
		if s, err := sandbox.Start(t.Context(), o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
			if s != nil {
				_ = s.Close()
			}
		}
	}
}
