package tables

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
	"rollcall/internal/sandbox/tablestore"
)

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
	if err != nil || len(cs) != 1 || !bytes.Contains(cs[0].Set.All()["otherMails"], []byte("249.")) {
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
