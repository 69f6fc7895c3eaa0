package repo

import (
	"archive/zip"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What the package may weigh and how fast it must be there, since a scaled-out
// app starts it for every instance.
const (
	mostBytes = 25_000_000
	mostStart = 50 * time.Millisecond
	mostRSS   = 40 << 20
)

// BenchmarkPackage starts the shipped binary as the host does, up to its first
// answer. It fails where a limit is exceeded by the median.
func BenchmarkPackage(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "dist")
	if out, err := stage(dir); err != nil {
		b.Fatalf("make dist: %v\n%s", err, out)
	}
	handler := filepath.Join(dir, "handler")
	info, err := os.Stat(handler)
	if err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "local.settings.json.example"))
	if err != nil {
		b.Fatal(err)
	}
	var settings struct{ Values map[string]string }
	if err := json.Unmarshal(text, &settings); err != nil {
		b.Fatal(err)
	}
	env := []string{"IDENTITY_ENDPOINT=http://127.0.0.1:1/", "IDENTITY_HEADER=x"}
	for k, v := range settings.Values {
		env = append(env, k+"="+v)
	}
	var starts []time.Duration
	var sizes []int64
	for b.Loop() {
		took, rss, err := launch(b, handler, env)
		if err != nil {
			b.Fatal(err)
		}
		starts, sizes = append(starts, took), append(sizes, rss)
	}
	slices.Sort(starts)
	slices.Sort(sizes)
	start, rss := starts[len(starts)/2], sizes[len(sizes)/2]
	zipped, err := archive(dir)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB-binary")
	b.ReportMetric(float64(zipped)/1e6, "MB-zip")
	b.ReportMetric(float64(start.Microseconds())/1000, "ms-start")
	b.ReportMetric(float64(rss)/(1<<20), "MiB-RSS")
	if info.Size() > mostBytes || start > mostStart || rss > mostRSS {
		b.Errorf("binary %d bytes (at most %d), start %s (%s), RSS %d bytes (%d)", info.Size(), mostBytes, start, mostStart, rss, mostRSS)
	}
}

// archive is how large a zip of the folder is, as a deployment uploads it.
func archive(dir string) (size int64, err error) {
	var n counter
	w := zip.NewWriter(&n)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, flate.BestCompression) })
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		return 0, err
	}
	err = w.Close()
	return int64(n), err
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// launch returns how long the handler took to answer, and its resident memory
// a moment later.
func launch(b *testing.B, handler string, env []string) (took time.Duration, rss int64, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	if err := l.Close(); err != nil {
		return 0, 0, err
	}
	cmd := exec.Command(handler)
	cmd.Env = append(slices.Clone(env), "FUNCTIONS_CUSTOMHANDLER_PORT="+port)
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	for {
		resp, err := http.Get("http://" + address + "/")
		if err == nil {
			_ = resp.Body.Close()
			break
		}
		if time.Since(begun) > 10*time.Second {
			return 0, 0, fmt.Errorf("no answer after 10 s: %w", err)
		}
		time.Sleep(200 * time.Microsecond)
	}
	took = time.Since(begun)
	b.StopTimer()
	defer b.StartTimer()
	time.Sleep(100 * time.Millisecond) // what runs after the first answer, too
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return 0, 0, fmt.Errorf("no VmRSS in %q", status)
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	return took, kib << 10, err
}
