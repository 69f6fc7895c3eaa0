package tables

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

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

// One sweep deletes all that has expired, however much, of whatever version,
// and nothing else.
func TestSweepNonces(t *testing.T) {
	s, ctx := newStore(t), context.Background()
	now := time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC) // long before any other test's
	good := fresh()
	if err := s.PutNonce(ctx, good, []byte(`1`), now); err != nil {
		t.Fatal(err)
	}
	const many = 2300
	old := dueColumn(now.Add(-time.Second))
	for from := 0; from < many; from += maxOperations {
		var adds []aztables.TransactionAction
		for n := from; n < from+maxOperations; n++ {
			entity := fmt.Appendf(nil, `{"PartitionKey":"nonce","RowKey":"%s%05d","V":9,"Due":%q}`, good, n, old)
			adds = append(adds, aztables.TransactionAction{ActionType: aztables.TransactionTypeAdd, Entity: entity})
		}
		if _, err := s.nonces.SubmitTransaction(ctx, adds, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.SweepNonces(ctx, now); err != nil || n != many {
		t.Errorf("swept %d, want %d (%v)", n, many, err)
	}
	if n, err := s.SweepNonces(ctx, now); err != nil || n != 0 {
		t.Errorf("swept %d that are not there (%v)", n, err)
	}
	if _, err := s.TakeNonce(ctx, good, now.Add(-time.Second)); err != nil {
		t.Error(err)
	}
}

// A row that cannot be read, by its value or its version, keeps no other from
// being listed, whichever list it is in.
func TestUnreadableRows(t *testing.T) {
	s, ctx := newStore(t), context.Background()
	var ids []string
	for range 5 {
		ids = append(ids, fresh())
	}
	slices.Sort(ids)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	log := fresh() // of whose audit log the IDs are entries
	for _, id := range ids {
		e := entry(log, at, "act")
		e.ID = id
		for _, err := range []error{
			s.CreateConnection(ctx, connection.Connection{ID: id, Company: "A", Status: connection.OK, NextDue: at}),
			s.Claim(ctx, id, "c"), s.Note(ctx, e),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for table, pk := range map[string]string{connectionsTable: connectionsPartition, claimsTable: claimsPartition, auditTable: log} {
		for id, entity := range map[string]string{
			ids[1]: `"V":1,"D0@odata.type":"Edm.Binary","D0":"W10="`, // []
			ids[3]: `"V":9,"D0@odata.type":"Edm.Binary","D0":"e30="`, // {}
		} {
			putRaw(t, table, fmt.Sprintf(`{"PartitionKey":%q,"RowKey":%q,"Due":"2026",%s}`, pk, id, entity))
		}
	}
	t.Cleanup(func() {
		for _, id := range []string{ids[1], ids[3]} {
			for _, err := range []error{
				remove(ctx, s.connections, connectionsPartition, id, ""), remove(ctx, s.claims, claimsPartition, id, ""),
			} {
				if err != nil {
					t.Error(err)
				}
			}
		}
	})
	for name, list := range map[string]func(after string) (found []string, next string, err error){
		"connections": func(after string) (found []string, _ string, _ error) {
			cs, next, err := s.Connections(ctx, after, 2)
			for _, c := range cs {
				found = append(found, c.ID)
			}
			return found, next, err
		},
		"due": func(after string) (found []string, _ string, _ error) {
			cs, next, err := s.Due(ctx, at, after, 2)
			for _, c := range cs {
				found = append(found, c.ID)
			}
			return found, next, err
		},
		"claims": func(after string) (found []string, _ string, _ error) {
			cs, next, err := s.Claims(ctx, after, 2)
			for _, c := range cs {
				found = append(found, c.Tenant)
			}
			return found, next, err
		},
		"audit log": func(after string) (found []string, _ string, _ error) {
			es, next, err := s.Entries(ctx, log, after, 2)
			for _, e := range es {
				found = append(found, e.ID)
			}
			return found, next, err
		},
	} {
		var got []string
		for after := ""; ; {
			found, next, err := list(after)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
			for _, id := range found {
				if slices.Contains(ids, id) {
					got = append(got, id)
				}
			}
			if after = next; next == "" {
				break
			}
		}
		if want := []string{ids[0], ids[2], ids[4]}; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	for _, id := range []string{ids[1], ids[3]} { // it is not as if it were not there
		if _, err := s.Connection(ctx, id); err == nil || fault.Is(err, fault.NotFound) {
			t.Errorf("an unreadable connection: %v", err)
		}
	}
}
