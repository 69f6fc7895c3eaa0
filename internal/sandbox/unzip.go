package sandbox

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxPackage bounds what is unpacked, in bytes: the handler has some 25 MB.
const maxPackage = 256 << 20

// unzip unpacks a deployment's zip as Azure does, modes included.
func unzip(file, dir string) (err error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	left := int64(maxPackage)
	for _, f := range z.File {
		if !filepath.IsLocal(f.Name) || !f.Mode().IsRegular() && !f.Mode().IsDir() {
			return fmt.Errorf("%s: %q is no file of a package", file, f.Name)
		}
		to := filepath.Join(dir, f.Name)
		if f.Mode().IsDir() {
			err = os.MkdirAll(to, 0o755)
		} else {
			var n int64
			n, err = extract(f, to, left)
			left -= n
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", file, f.Name, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "handler"))
	switch {
	case err != nil:
		return fmt.Errorf("%s holds no handler: zip what is in dist, not the folder (make dist)", file)
	case info.Mode()&0o100 == 0:
		return fmt.Errorf("%s: its handler may not be executed: zip it with its modes", file)
	}
	return nil
}

func extract(f *zip.File, to string, most int64) (n int64, err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return 0, err
	}
	from, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.Mode().Perm())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if n, err = io.Copy(out, io.LimitReader(from, most+1)); err == nil && n > most {
		err = fmt.Errorf("more than %d bytes in all", maxPackage)
	}
	return n, err
}
