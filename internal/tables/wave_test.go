package tables

import (
	"context"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Of two who have read the same wave, one can write it.
func TestWave(t *testing.T) {
	s, ctx := newStore(t), context.Background()
	_, _ = server.Client().NewClient(serviceTable).DeleteEntity(ctx, servicePartition, waveKey, nil) // of a run of this test before
	none, err := s.Wave(ctx)
	if err != nil || none != (connection.Wave{}) {
		t.Fatalf("before the first: %+v, %v", none, err)
	}
	at := time.Date(2026, 11, 20, 6, 0, 0, 0, time.UTC)
	first := connection.Wave{Since: at, Last: at.Add(time.Minute), Tenants: 3}
	if err := s.PutWave(ctx, first); err != nil {
		t.Fatal(err)
	}
	if err := s.PutWave(ctx, connection.Wave{Since: at, Tenants: 9}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second first one: %v", err)
	}
	got, err := s.Wave(ctx)
	if first.Version = got.Version; err != nil || got != first || got.Version == "" {
		t.Fatalf("read %+v, want %+v (%v)", got, first, err)
	}
	got.Tenants++
	if err := s.PutWave(ctx, got); err != nil {
		t.Fatal(err)
	}
	if err := s.PutWave(ctx, first); !fault.Is(err, fault.Conflict) {
		t.Errorf("written under an old version: %v", err)
	}
	if again, err := s.Wave(ctx); err != nil || again.Tenants != 4 {
		t.Errorf("read %+v, %v", again, err)
	}
}
