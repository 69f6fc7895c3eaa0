package tablestore

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/sandbox/pki"
)

const modules = "../../../node_modules"

var shared struct {
	sync.Once
	s   *Server
	ca  *pki.CA
	err error
}

var tables atomic.Int64

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.s != nil {
		if err := shared.s.Close(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

// server starts the one store of this test process, lazily, so that fuzzing
// the parsers needs none. Tests that set hooks or faults clear them.
func server(t *testing.T) *Server {
	t.Helper()
	shared.Do(func() {
		if shared.ca, shared.err = pki.New(); shared.err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		shared.s, shared.err = Start(ctx, Options{CA: shared.ca, NodeModules: modules})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.s
}

func httpClient(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: shared.ca.Pool()}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// sdk is the real client, through the proxy, without retries.
func sdk(t *testing.T, s *Server, token string) *aztables.ServiceClient {
	t.Helper()
	c, err := aztables.NewServiceClient(s.URL(), staticToken(token), &aztables.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: httpClient(t), Retry: policy.RetryOptions{MaxRetries: -1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// table makes a table of the test's own and returns the real client for it.
func table(t *testing.T) (*Server, *aztables.Client) {
	t.Helper()
	s := server(t)
	c := sdk(t, s, ownToken(time.Now()))
	name := fmt.Sprintf("table%d", tables.Add(1))
	if _, err := c.CreateTable(t.Context(), name, nil); err != nil {
		t.Fatal(err)
	}
	return s, c.NewClient(name)
}

func entity(t *testing.T, pk, rk string, props map[string]any) []byte {
	t.Helper()
	e := map[string]any{"PartitionKey": pk, "RowKey": rk}
	for k, v := range props {
		e[k] = v
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stored lists the rows of a table, past the proxy.
func stored(t *testing.T, s *Server, name string) []string {
	t.Helper()
	var rows []string
	for p := s.Client().NewClient(name).NewListEntitiesPager(nil); p.More(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entities {
			var k struct{ PartitionKey, RowKey string }
			if err := json.Unmarshal(e, &k); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, k.PartitionKey+"|"+k.RowKey)
		}
	}
	return rows
}

// lastTable is the table that the running test has made.
func lastTable() string { return fmt.Sprintf("table%d", tables.Load()) }

func name(n int) string { return strings.Repeat("n", n) }
