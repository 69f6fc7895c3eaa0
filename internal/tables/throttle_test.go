package tables

import (
	"context"
	"testing"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Each app has a row of its own, and of two who have read the same one can
// write it.
func TestThrottle(t *testing.T) {
	s, ctx := newStore(t), context.Background()
	for _, app := range []string{"app~", "own~app-of-a-customer"} { // of a run of this test before
		_, _ = server.Client().NewClient(serviceTable).DeleteEntity(ctx, servicePartition, throttlePrefix+app, nil)
	}
	if none, err := s.Throttle(ctx, "app~"); err != nil || none != (job.Throttle{}) {
		t.Fatalf("before the first: %+v, %v", none, err)
	}
	first := job.Throttle{Until: time.Date(2026, 11, 22, 6, 0, 0, 5e6, time.UTC), Scope: "Application/ReadWrite"}
	if err := s.PutThrottle(ctx, "app~", first); err != nil {
		t.Fatal(err)
	}
	if err := s.PutThrottle(ctx, "app~", first); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second first one: %v", err)
	}
	got, err := s.Throttle(ctx, "app~")
	if first.Version = got.Version; err != nil || got != first || got.Version == "" {
		t.Fatalf("read %+v, want %+v (%v)", got, first, err)
	}
	if other, err := s.Throttle(ctx, "own~app-of-a-customer"); err != nil || other != (job.Throttle{}) {
		t.Errorf("another app: %+v, %v", other, err)
	}
	got.Until = got.Until.Add(time.Hour)
	if err := s.PutThrottle(ctx, "app~", got); err != nil {
		t.Fatal(err)
	}
	if err := s.PutThrottle(ctx, "app~", first); !fault.Is(err, fault.Conflict) {
		t.Errorf("written under an old version: %v", err)
	}
	if again, err := s.Throttle(ctx, "app~"); err != nil || !again.Until.Equal(got.Until) {
		t.Errorf("read %+v, %v", again, err)
	}
}
