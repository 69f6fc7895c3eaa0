package tables

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

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
