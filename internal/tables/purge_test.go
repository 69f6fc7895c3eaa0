package tables

import (
	"bytes"
	"context"
	"reflect"
	"testing"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

// crowded is a partition of 250 people, its fence and 3 rows of changes.
func crowded(t *testing.T, s *Store, part string) {
	t.Helper()
	for n := range 3 {
		var b directory.Batch
		for i := range 90 {
			if i+90*n < 250 {
				b.Add = append(b.Add, person(i+90*n))
			}
		}
		b.Changes = []directory.Change{{Number: int64(n) + 1}}
		mustCommit(t, s, part, b)
	}
}

func TestPurge(t *testing.T) {
	s, w := recordedStore(t)
	ctx, c := context.Background(), fresh()
	crowded(t, s, c)
	mustCommit(t, s, c+"0", directory.Batch{Add: []directory.Record{person(1)}})
	w.take()
	if done, err := s.Purge(ctx, c, 120); err != nil || done {
		t.Fatalf("done %v, %v", done, err)
	}
	var deletes []int
	for _, r := range w.take() {
		if r.method == "POST" {
			deletes = append(deletes, bytes.Count(r.body, []byte("DELETE ")))
		}
	}
	if !reflect.DeepEqual(deletes, []int{100, 20}) {
		t.Errorf("rows deleted by transactions: %v, want 100 and 20", deletes)
	}
	if ps, _, err := s.People(ctx, c, "", 1000); err != nil || len(ps) != 133 {
		t.Errorf("%d people left, %v", len(ps), err)
	}
	if f, err := s.Fence(ctx, c); err != nil || f.Version == "" {
		t.Errorf("the fence went before the last row: %v", err)
	}
	for calls := 1; ; calls++ {
		done, err := s.Purge(ctx, c, 120)
		if err != nil || calls > 3 {
			t.Fatal(calls, err)
		}
		if done {
			break
		}
	}
	if left := shown(t, s, c); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if f, err := s.Fence(ctx, c); err != nil || f.Version != "" {
		t.Errorf("fence %+v, %v", f, err)
	}
	if done, err := s.Purge(ctx, c, 1); err != nil || !done {
		t.Errorf("nothing to purge: %v, %v", done, err)
	}
	if got, err := s.Records(ctx, c+"0", []string{person(1).ID}); err != nil || len(got) != 1 {
		t.Errorf("a neighbor lost its people: %v, %v", got, err)
	}
}

// Rows of a newer build can be purged too.
func TestPurgeNewerRows(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	mustCommit(t, s, c, directory.Batch{})
	raw := server.Client().NewClient(directoryTable)
	for _, rk := range []string{"c!", "u!1", "zz!1"} {
		if _, err := raw.UpsertEntity(ctx, []byte(`{"PartitionKey":"`+c+`","RowKey":"`+rk+`","V":9}`), nil); err != nil {
			t.Fatal(err)
		}
	}
	if done, err := s.Purge(ctx, c, 10); err != nil || !done {
		t.Fatalf("done %v, %v", done, err)
	}
	if f, err := s.Fence(ctx, c); err != nil || f.Version != "" {
		t.Errorf("fence %+v, %v", f, err)
	}
}

// A commit while rows are listed and deleted leaves the fence where it is, so
// that the next call finds the new rows.
func TestPurgeMeetsWorker(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	mustCommit(t, s, c, directory.Batch{Add: []directory.Record{person(1)}})
	worker := newStore(t)
	calls := 0
	server.BeforeWrite(func(int64, string) error {
		if calls++; calls == 1 { // before the rows are deleted
			server.BeforeWrite(nil)
			f, err := worker.Fence(ctx, c)
			if err != nil {
				t.Error(err)
			}
			raw := row{pk: c, rk: fenceKey}
			if raw.data, err = pack(job.Fence{Epoch: f.Epoch + 1}); err != nil {
				t.Error(err)
			}
			b, err := raw.encode()
			if err == nil {
				_, err = server.Client().NewClient(directoryTable).UpsertEntity(ctx, b, nil)
			}
			if err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	defer server.BeforeWrite(nil)
	if done, err := s.Purge(ctx, c, 100); err != nil || done {
		t.Fatalf("done %v, %v", done, err)
	}
	if f, err := s.Fence(ctx, c); err != nil || f.Epoch != 1 {
		t.Errorf("fence %+v, %v", f, err)
	}
	if done, err := s.Purge(ctx, c, 100); err != nil || !done {
		t.Fatalf("done %v, %v", done, err)
	}
}
