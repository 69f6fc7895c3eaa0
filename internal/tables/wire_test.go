package tables

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// request is what was sent: its decoded address and its body.
type request struct {
	method, url string
	body        []byte
}

// wire records all requests of a store.
type wire struct {
	mu   sync.Mutex
	sent []request
}

func (w *wire) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	u, err := url.QueryUnescape(r.URL.String())
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.sent = append(w.sent, request{r.Method, u, body})
	w.mu.Unlock()
	return client.Do(r)
}

// take returns what was sent since the last take.
func (w *wire) take() []request {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := w.sent
	w.sent = nil
	return sent
}

func recordedStore(t *testing.T) (*Store, *wire) {
	t.Helper()
	w := &wire{}
	s, err := New(server.URL(), server.Credential(), &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: w, Retry: policy.RetryOptions{MaxRetries: 1, RetryDelay: time.Millisecond},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s, w
}

var partitions = regexp.MustCompile(`PartitionKey(?:=|":|%3D| eq )['"]?([^'",&)]*)`)

// named returns the partitions that a request names, wherever it does.
func (r request) named(t *testing.T) (parts []string) {
	t.Helper()
	for _, m := range partitions.FindAllStringSubmatch(r.url+"\n"+string(r.body), -1) {
		part, err := url.PathUnescape(m[1])
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, strings.TrimSpace(part))
	}
	return parts
}
