package tables

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// A try ends with its timeout, wherever the service keeps it waiting, and the
// next one has as much time.
func TestSenderTimeout(t *testing.T) {
	const timeout = 200 * time.Millisecond
	for name, stall := range map[string]func(w http.ResponseWriter){
		"before the answer": func(http.ResponseWriter) {},
		"within the body": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"odata.etag":`)
			_ = http.NewResponseController(w).Flush()
		},
	} {
		var tries atomic.Int32
		stop := make(chan struct{})
		srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tries.Add(1)
			stall(w)
			select {
			case <-r.Context().Done(): // the client has gone
			case <-stop:
			}
			panic(http.ErrAbortHandler) // else an answer could still reach the client as it hangs up
		}))
		s, err := New(srv.URL, server.Credential(), &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{
			Transport: Sender{srv.Client().Transport, timeout}, Retry: policy.RetryOptions{MaxRetries: 1, RetryDelay: time.Millisecond},
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err = s.Connection(ctx, "c")
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			t.Errorf("%s: %v; the caller's own time: %v", name, err, ctx.Err())
		}
		cancel()
		close(stop)
		srv.Close() // waits for the handlers
		if n := tries.Load(); n != 2 {
			t.Errorf("%s: %d tries", name, n)
		}
	}
}

// Whoever redirects a request gets none: it bears a token.
func TestSenderStays(t *testing.T) {
	asked := ""
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked += r.URL.Path + "\n"
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	s, err := New(srv.URL, server.Credential(), &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: Sender{srv.Client().Transport, time.Minute}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Connection(t.Context(), "c"); err == nil || strings.Contains(asked, "elsewhere") || strings.Count(asked, "\n") != 1 {
		t.Errorf("asked for %q, %v", asked, err)
	}
}
