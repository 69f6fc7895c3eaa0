package tables

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"rollcall/internal/directory"
)

// nullServer is set for the process that answers a benchmark.
const nullServer = "ROLLCALL_TABLES_NULL_SERVER"

// serveNothing accepts every transaction of a full batch, and every upsert,
// until its input ends.
func serveNothing() {
	ours, theirs := answered(directory.MaxRows+3), answered(directory.MaxRows+2)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case !strings.HasSuffix(r.URL.Path, "$batch"):
			w.WriteHeader(http.StatusNoContent)
		case r.Header.Get("Content-Type") == batchType:
			w.Header().Set("Content-Type", innerType)
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, ours)
		default:
			w.Header().Set("Content-Type", innerType)
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, theirs)
		}
	}))
	fmt.Println(srv.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// remote starts that process, and returns a client of it and its address.
func remote(b *testing.B) (*http.Client, string) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), nullServer+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	local := httptest.NewTLSServer(http.NotFoundHandler()) // of the same certificate
	b.Cleanup(local.Close)
	return local.Client(), strings.TrimSpace(url)
}
