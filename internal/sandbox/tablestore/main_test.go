package tablestore

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/sandbox/pki"
)

const modules = "../../../node_modules"

// stores are the stores of this test process, one of a kind.
var stores struct {
	ca  *pki.CA
	s   map[Kind]*Server
	err map[Kind]error
	now Kind // that the running test is about
}

var tables atomic.Int64

func TestMain(m *testing.M) {
	if kind := os.Getenv(childVariable); kind != "" {
		os.Exit(serveChild(kind))
	}
	code := m.Run()
	for _, s := range stores.s {
		if err := s.Close(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

// suite is what holds for every store.
var suite = []struct {
	name string
	test func(*testing.T)
}{
	{"Counters", testCounters}, {"CutAfterCommit", testCutAfterCommit}, {"CutBeforeWrite", testCutBeforeWrite},
	{"HookHoldsOtherWrites", testHookHoldsOtherWrites}, {"Fail", testFail}, {"EmptyPages", testEmptyPages},
	{"TableBeingDeleted", testTableBeingDeleted}, {"Authorize", testAuthorize},
	{"EntityLimits", testEntityLimits}, {"TransactionRules", testTransactionRules}, {"TransactionConflict", testTransactionConflict},
	{"BodyTooLarge", testBodyTooLarge}, {"QuoteInKey", testQuoteInKey}, {"RawRefusals", testRawRefusals}, {"RawTransaction", testRawTransaction},
	{"Tables", testTables}, {"Conditions", testConditions}, {"Filters", testFilters}, {"Pages", testPages},
	{"Formats", testFormats}, {"Merge", testMerge}, {"TransactionErrors", testTransactionErrors},
}

func TestStores(t *testing.T) {
	for _, kind := range []Kind{Azurite, Memory} {
		t.Run(kind.String(), func(t *testing.T) {
			for _, tt := range suite {
				t.Run(tt.name, func(t *testing.T) {
					stores.now = kind
					tt.test(t)
				})
			}
		})
	}
}

// server starts the store that the running test is about, lazily, so that
// fuzzing the parsers needs none. Tests that set hooks or faults clear them.
func server(t *testing.T) *Server { return serverOf(t, stores.now) }

func serverOf(t testing.TB, kind Kind) *Server {
	t.Helper()
	if stores.ca == nil {
		ca, err := pki.New()
		if err != nil {
			t.Fatal(err)
		}
		stores.ca, stores.s, stores.err = ca, map[Kind]*Server{}, map[Kind]error{}
	}
	if stores.s[kind] == nil && stores.err[kind] == nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s, err := Start(ctx, Options{Kind: kind, CA: stores.ca, NodeModules: modules})
		if stores.err[kind] = err; err == nil {
			stores.s[kind] = s
		}
	}
	if err := stores.err[kind]; err != nil {
		t.Fatal(err)
	}
	return stores.s[kind]
}

func httpClient(t testing.TB) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: stores.ca.Pool()}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// sdk is the real client, through the proxy, without retries.
func sdk(t testing.TB, s *Server, token string) *aztables.ServiceClient {
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

func entity(t testing.TB, pk, rk string, props map[string]any) []byte {
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

// listed lists the rows of a table, past the proxy.
func listed(t *testing.T, s *Server, name string) []string {
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

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// plain is an entity without metadata and time.
func plain(t testing.TB, e []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(e, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "Timestamp")
	maps.DeleteFunc(m, func(k string, _ any) bool { return strings.HasPrefix(k, "odata.") })
	return m
}
