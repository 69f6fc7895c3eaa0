package tables

import (
	"context"
	"testing"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/job"
)

func TestTrimChanges(t *testing.T) {
	s, ctx, c := newStore(t), context.Background(), fresh()
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f := job.Fence{Positions: job.Fold{Through: 4}} // the last is not counted yet
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
	if n, err := s.TrimChanges(ctx, c, day.AddDate(1, 0, 0)); err != nil || n != 2 {
		t.Errorf("trimmed %d, %v; want all but the one that the positions do not count yet", n, err)
	}
}
