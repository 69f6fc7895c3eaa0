package tables

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/sandbox/pki"
	"rollcall/internal/sandbox/tablestore"
)

var (
	server *tablestore.Server
	client *http.Client
)

func TestMain(m *testing.M) {
	if os.Getenv(nullServer) != "" {
		serveNothing()
		return
	}
	os.Exit(func() int {
		ca, err := pki.New()
		if err != nil {
			panic(err)
		}
		server, err = tablestore.Start(context.Background(), tablestore.Options{CA: ca, NodeModules: "../../node_modules"})
		if err != nil {
			fmt.Fprintln(os.Stderr, "Azurite does not start; run: npm ci\n", err)
			return 1
		}
		defer func() { _ = server.Close() }()
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig.RootCAs = ca.Pool()
		client = &http.Client{Transport: t}
		return m.Run()
	}())
}

func newStore(t *testing.T) *Store {
	t.Helper()
	s, err := New(server.URL(), server.Credential(), &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: client, Retry: policy.RetryOptions{MaxRetries: 1, RetryDelay: time.Millisecond},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fresh is a connection ID that no other test uses.
func fresh() string { return connection.NewID() }

func person(n int) directory.Record {
	return directory.Record{Person: directory.Person{
		ID: fmt.Sprintf("%08x-0000-0000-0000-000000000000", n), DisplayName: fmt.Sprintf("Person %d", n),
	}, Life: directory.Life{Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
}

// seenOf is the set of IDs that an enumeration has come across.
func seenOf(s *Store, ctx context.Context, part, enum string) (map[[16]byte]struct{}, error) {
	ids := make(map[[16]byte]struct{})
	err := s.Seen(ctx, part, enum, func(key [16]byte) { ids[key] = struct{}{} })
	return ids, err
}
