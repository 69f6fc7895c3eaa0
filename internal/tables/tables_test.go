package tables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/pki"
	"rollcall/internal/sandbox/tablestore"
)

var (
	server *tablestore.Server
	client *http.Client
)

func TestMain(m *testing.M) {
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
	}, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func TestFence(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	f, err := s.Fence(ctx, c)
	if err != nil || f.Version != "" {
		t.Fatalf("no fence reads as %+v, %v", f, err)
	}
	f.Run = job.Run{ID: "r1", State: job.Running}
	one, err := s.Commit(ctx, c, f, directory.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	two, err := s.Commit(ctx, c, one, directory.Batch{Add: []directory.Record{person(1)}})
	if err != nil {
		t.Fatal(err)
	}
	read, err := s.Fence(ctx, c)
	if err != nil || !reflect.DeepEqual(read, two) {
		t.Fatalf("read %+v, want %+v (%v)", read, two, err)
	}
	t.Run("a stale version writes nothing", func(t *testing.T) {
		_, err := s.Commit(ctx, c, one, directory.Batch{Add: []directory.Record{person(2)}})
		if !fault.Is(err, fault.Conflict) || fault.Of(err).Code != job.FenceMoved {
			t.Fatalf("error %v, want a lost fence", err)
		}
		if got, _ := s.Records(ctx, c, []string{person(2).ID}); len(got) != 0 {
			t.Error("a stale worker wrote a person")
		}
	})
	t.Run("a first commit loses against another", func(t *testing.T) {
		if _, err := s.Commit(ctx, c, job.Fence{}, directory.Batch{}); !fault.Is(err, fault.Conflict) {
			t.Fatalf("error %v, want a conflict", err)
		}
	})
	t.Run("somebody is stored already", func(t *testing.T) {
		_, err := s.Commit(ctx, c, two, directory.Batch{Add: []directory.Record{person(3), person(1)}})
		if !fault.Is(err, fault.Conflict) || fault.Of(err).Code != "EntityAlreadyExists" {
			t.Fatalf("error %v, want EntityAlreadyExists", err)
		}
		if got, _ := s.Records(ctx, c, []string{person(3).ID}); len(got) != 0 {
			t.Error("half of a refused batch was written")
		}
	})
}

// Of two that take over from the same fence, one wins, and knows.
func TestTakeoverRace(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	base, err := s.Commit(ctx, c, job.Fence{}, directory.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	var (
		won atomic.Int32
		wg  sync.WaitGroup
	)
	for i := range 8 {
		wg.Go(func() {
			f := base
			f.Epoch++
			if _, err := s.Commit(ctx, c, f, directory.Batch{}); err == nil {
				won.Add(1)
			} else if !fault.Is(err, fault.Conflict) {
				t.Errorf("loser %d got %v", i, err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d writers took over", won.Load())
	}
}

// An answer lost after the commit is a success, and the transaction is there
// once.
func TestLostAnswer(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	f, err := s.Commit(ctx, c, job.Fence{}, directory.Batch{})
	if err != nil {
		t.Fatal(err)
	}
	var cut atomic.Int32
	server.OnWrite(func(int64, string) tablestore.Verdict {
		if cut.Add(1) == 1 {
			return tablestore.Cut
		}
		return tablestore.Pass
	})
	defer server.OnWrite(nil)
	f.Epoch++
	got, err := s.Commit(ctx, c, f, directory.Batch{Add: []directory.Record{person(1)}})
	if err != nil {
		t.Fatal(err)
	}
	if cut.Load() == 0 {
		t.Fatal("no answer was cut")
	}
	if read, _ := s.Fence(ctx, c); read.Version != got.Version || read.Seq != f.Seq+1 {
		t.Errorf("fence at commit %d, want %d", read.Seq, f.Seq+1)
	}
}

// Everyone fits: 250 other addresses of the greatest length, and more proxy
// addresses than a directory holds, in a full batch with its changes.
func TestLargestPeople(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	big := person(7)
	for i := range 250 {
		big.OtherMails = append(big.OtherMails, fmt.Sprintf("%03d.%s@%s.example", i, strings.Repeat("é", 100), strings.Repeat("d", 40)))
	}
	for i := range 1200 {
		big.ProxyAddresses = append(big.ProxyAddresses, fmt.Sprintf("smtp:%04d.%s@contoso.example", i, strings.Repeat("p", 220)))
	}
	big.Canonical()
	f, err := s.Commit(ctx, c, job.Fence{}, directory.Batch{
		Add:     []directory.Record{big, person(8)},
		Changes: []directory.Change{{Number: 1, Type: directory.Created, ID: big.ID, Set: directory.Difference(&directory.Person{}, &big.Person)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Records(ctx, c, []string{big.ID, person(9).ID})
	if err != nil || len(got) != 1 || !reflect.DeepEqual(got[big.ID], big) {
		t.Fatalf("%d people read, equal %v, %v", len(got), reflect.DeepEqual(got[big.ID], big), err)
	}
	cs, err := s.Changes(ctx, c, 0, 10)
	if err != nil || len(cs) != 1 || !bytes.Contains(cs[0].Set["otherMails"], []byte("249.")) {
		t.Fatalf("changes %d, %v", len(cs), err)
	}
	t.Run("more than a row holds is refused, not cut", func(t *testing.T) {
		huge := person(10)
		for i := range 4000 {
			huge.ProxyAddresses = append(huge.ProxyAddresses, fmt.Sprintf("smtp:%04d.%s", i, strings.Repeat("p", 250)))
		}
		if _, err := s.Commit(ctx, c, f, directory.Batch{Add: []directory.Record{huge}}); !fault.Is(err, fault.Invalid) {
			t.Errorf("error %v, want kind invalid", err)
		}
	})
}

func TestListing(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	f := job.Fence{}
	var err error
	for from := 0; from < 250; from += 90 {
		var b directory.Batch
		for n := from; n < min(from+90, 250); n++ {
			b.Add = append(b.Add, person(n))
			b.Changes = append(b.Changes, directory.Change{Number: int64(n) + 1, Type: directory.Created, ID: person(n).ID})
		}
		b.Enum, b.Seen = "e1", []string{b.Add[0].ID, b.Add[1].ID}
		b.Pend = []string{b.Add[5].ID}
		if f, err = s.Commit(ctx, c, f, b); err != nil {
			t.Fatal(err)
		}
	}
	// A neighbor's rows must not show.
	if _, err := s.Commit(ctx, c+"0", job.Fence{}, directory.Batch{Add: []directory.Record{person(999)}}); err != nil {
		t.Fatal(err)
	}
	var ids []string
	pages := 0
	for after := ""; ; pages++ {
		ps, next, err := s.People(ctx, c, after, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ps {
			ids = append(ids, p.ID)
		}
		if after = next; next == "" {
			break
		}
	}
	if len(ids) != 250 || !slices.IsSorted(ids) || pages != 2 {
		t.Errorf("%d people in %d pages, sorted %v", len(ids), pages+1, slices.IsSorted(ids))
	}
	for _, after := range []int64{0, 1, 89, 90, 91, 249, 250, 400} {
		cs, err := s.Changes(ctx, c, after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if want := max(250-after, 0); int64(len(cs)) != want || len(cs) > 0 && cs[0].Number != after+1 {
			t.Errorf("after %d: %d changes, want %d", after, len(cs), want)
		}
	}
	if cs, _ := s.Changes(ctx, c, 80, 20); len(cs) != 20 || cs[19].Number != 100 {
		t.Errorf("a limit of 20 gives %d changes", len(cs))
	}
	seen, err := s.Seen(ctx, c, "e1")
	if k, _ := directory.Key(person(91).ID); err != nil || len(seen) != 6 {
		t.Errorf("%d IDs seen, %v", len(seen), err)
	} else if _, ok := seen[k]; !ok {
		t.Error("an ID seen is missing")
	}
	if other, _ := s.Seen(ctx, c, "e"); len(other) != 0 {
		t.Error("another enumeration's IDs show")
	}
	rows, err := s.SeenRows(ctx, c, 2)
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows of IDs seen, %v", len(rows), err)
	}
	if f, err = s.Commit(ctx, c, f, directory.Batch{DropSeen: rows}); err != nil {
		t.Fatal(err)
	}
	if rows, _ := s.SeenRows(ctx, c, 10); len(rows) != 1 {
		t.Errorf("%d rows of IDs seen left, want 1", len(rows))
	}
	if ids, _ := s.Pending(ctx, c, 10); len(ids) != 3 {
		t.Errorf("%d pending, want 3", len(ids))
	}
	if _, err = s.Commit(ctx, c, f, directory.Batch{Unpend: []string{person(5).ID}}); err != nil {
		t.Fatal(err)
	}
	if ids, _ := s.Pending(ctx, c, 10); len(ids) != 2 || ids[0] != person(95).ID {
		t.Errorf("pending %v", ids)
	}
}

func TestConnections(t *testing.T) {
	s, ctx := newStore(t), context.Background()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a := connection.Connection{ID: fresh(), Company: "A", Name: "<b>Ltd</b>", Status: connection.Invited, CreatedAt: now}
	b := connection.Connection{ID: fresh(), Company: "B", Status: connection.OK, NextDue: now}
	for _, c := range []connection.Connection{a, b} {
		if err := s.CreateConnection(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CreateConnection(ctx, a); !fault.Is(err, fault.Conflict) {
		t.Errorf("created twice: %v", err)
	}
	if _, err := s.Connection(ctx, "unknown"); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown: %v", err)
	}
	got, err := s.Connection(ctx, a.ID)
	if err != nil || got.Version == "" {
		t.Fatal(err)
	}
	stale := got
	got.Tenant = "t"
	if got, err = s.UpdateConnection(ctx, got); err != nil {
		t.Fatal(err)
	}
	if _, err = s.UpdateConnection(ctx, got); err != nil { // with the version that the update returned
		t.Errorf("second update: %v", err)
	}
	if _, err := s.UpdateConnection(ctx, stale); !fault.Is(err, fault.Conflict) {
		t.Errorf("stale update: %v", err)
	}
	due := func(at time.Time) (ids []string) {
		cs, _, err := s.Due(ctx, at, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cs {
			ids = append(ids, c.ID)
		}
		return ids
	}
	if ids := due(now.Add(-time.Millisecond)); slices.Contains(ids, b.ID) {
		t.Error("due before its time")
	}
	if ids := due(now); !slices.Contains(ids, b.ID) || slices.Contains(ids, a.ID) {
		t.Errorf("due: %v", ids)
	}
}

func TestClaims(t *testing.T) {
	s, ctx, tenant := newStore(t), context.Background(), fresh()
	a, b := fresh(), fresh()
	if _, err := s.Owner(ctx, tenant); !fault.Is(err, fault.NotFound) {
		t.Errorf("owner of an unclaimed tenant: %v", err)
	}
	for range 2 {
		if err := s.Claim(ctx, tenant, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Claim(ctx, tenant, b); !fault.Is(err, fault.Conflict) {
		t.Errorf("claimed by two: %v", err)
	}
	listed := func() connection.Claim {
		cs, _, err := s.Claims(ctx, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(cs, func(c connection.Claim) bool { return c.Tenant == tenant })
		return cs[i]
	}
	old := listed()
	if err := s.Release(ctx, connection.Claim{Tenant: tenant, Connection: b, At: old.At}); err != nil {
		t.Fatal(err)
	}
	if owner, _ := s.Owner(ctx, tenant); owner != a {
		t.Errorf("owner %q after another gave it up", owner)
	}
	// Claimed again while a janitor still has the old claim in hand.
	if err := errors.Join(s.Claim(ctx, tenant, a), s.Release(ctx, old)); err != nil {
		t.Fatal(err)
	}
	if owner, _ := s.Owner(ctx, tenant); owner != a {
		t.Errorf("owner %q after an old claim was given up", owner)
	}
	now := listed()
	if err := errors.Join(s.Release(ctx, now), s.Release(ctx, now), s.Claim(ctx, tenant, b)); err != nil {
		t.Error(err)
	}
}

// A nonce has one taker, however many try.
func TestNonces(t *testing.T) {
	s, ctx, key := newStore(t), context.Background(), fresh()
	now := time.Now()
	if err := s.PutNonce(ctx, key, []byte(`{"a":1}`), now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := s.PutNonce(ctx, key, []byte(`{}`), now.Add(time.Minute)); !fault.Is(err, fault.Conflict) {
		t.Errorf("put twice: %v", err)
	}
	var (
		took atomic.Int32
		wg   sync.WaitGroup
	)
	for range 8 {
		wg.Go(func() {
			v, err := s.TakeNonce(ctx, key, now)
			switch {
			case err == nil && string(v) == `{"a":1}`:
				took.Add(1)
			case !fault.Is(err, fault.NotFound):
				t.Errorf("loser got %s, %v", v, err)
			}
		})
	}
	wg.Wait()
	if took.Load() != 1 {
		t.Errorf("%d takers", took.Load())
	}
	old := fresh()
	if err := s.PutNonce(ctx, old, []byte(`1`), now.Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.SweepNonces(ctx, now); err != nil || n < 1 {
		t.Errorf("swept %d, %v", n, err)
	}
	late := fresh()
	if err := s.PutNonce(ctx, late, []byte(`1`), now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TakeNonce(ctx, late, now); !fault.Is(err, fault.NotFound) {
		t.Errorf("an expired nonce was taken: %v", err)
	}
}

// The run in the fence is newer than its record, and is listed where it
// belongs.
func TestRuns(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	for i := 9; i > 0; i-- {
		if err := s.PutRun(ctx, c, job.Run{ID: fmt.Sprintf("%03d", i), State: job.Succeeded}); err != nil {
			t.Fatal(err)
		}
	}
	list := func(limit int) (ids []string) {
		for after := ""; ; {
			rs, next, err := s.Runs(ctx, c, after, limit)
			if err != nil || len(rs) > limit {
				t.Fatalf("%d runs, %v", len(rs), err)
			}
			for _, r := range rs {
				ids = append(ids, r.ID+string(r.State[0]))
			}
			if after = next; next == "" {
				return ids
			}
		}
	}
	for _, tt := range []struct {
		open string
		want []string
	}{
		{"", []string{"001s", "002s", "003s", "004s", "005s", "006s", "007s", "008s", "009s"}},
		{"000", []string{"000r", "001s", "002s", "003s", "004s", "005s", "006s", "007s", "008s", "009s"}},
		{"003", []string{"001s", "002s", "003r", "004s", "005s", "006s", "007s", "008s", "009s"}},
		{"0035", []string{"001s", "002s", "003s", "0035r", "004s", "005s", "006s", "007s", "008s", "009s"}},
		{"0099", []string{"001s", "002s", "003s", "004s", "005s", "006s", "007s", "008s", "009s", "0099r"}},
	} {
		f, err := s.Fence(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		f.Run = job.Run{ID: tt.open, State: job.Running}
		if _, err := s.Commit(ctx, c, f, directory.Batch{}); err != nil {
			t.Fatal(err)
		}
		for _, limit := range []int{1, 2, 3, 4, 9, 10, 100} {
			if got := list(limit); !slices.Equal(got, tt.want) {
				t.Errorf("open run %q, limit %d: %v, want %v", tt.open, limit, got, tt.want)
			}
		}
	}
	if r, err := s.Run(ctx, c, "0099"); err != nil || r.State != job.Running {
		t.Errorf("open run reads %v, %v", r.State, err)
	}
	if _, err := s.Run(ctx, c, "none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown run: %v", err)
	}
}

func TestTrimChanges(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var f job.Fence
	var err error
	for i := range 5 {
		if f, err = s.Commit(ctx, c, f, directory.Batch{Changes: []directory.Change{{Number: int64(i) + 1, At: day.AddDate(0, 0, i)}}}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.TrimChanges(ctx, c, day.AddDate(0, 0, 2)); err != nil || n != 2 {
		t.Errorf("trimmed %d, %v", n, err)
	}
	cs, _ := s.Changes(ctx, c, 0, 10)
	if len(cs) != 3 || cs[0].Number != 3 {
		t.Errorf("left: %+v", cs)
	}
}

func FuzzRow(f *testing.F) {
	good, _ := row{pk: "p", rk: "r", data: []byte(strings.Repeat(`{"a":"b"}`, 20000)), cols: map[string]string{"Due": "x"}}.encode()
	f.Add(good)
	f.Add([]byte(`{"PartitionKey":"p","RowKey":"r","V":2}`))
	f.Add([]byte(`{"PartitionKey":"p","RowKey":"r","V":1,"D0":7}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRow(b)
		if err != nil {
			return
		}
		enc, err := r.encode()
		if err != nil {
			if len(r.data) <= maxPacked {
				t.Fatal(err)
			}
			return
		}
		again, err := decodeRow(enc)
		if err != nil || !bytes.Equal(again.data, r.data) || again.pk != r.pk || again.rk != r.rk {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func FuzzTransactionAnswer(f *testing.F) {
	f.Add([]byte("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\nETag: W/\"x\"\r\n\r\n\r\n--c--\r\n--b--"), "b")
	f.Add([]byte("--b\r\n\r\n--b--"), "b")
	f.Fuzz(func(t *testing.T, body []byte, boundary string) {
		for _, r := range parseInner(body, boundary) {
			if r == nil || r.StatusCode < 100 {
				t.Error("an answer without status")
			}
		}
	})
}
