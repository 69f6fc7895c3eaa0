package tables

import (
	"context"
	"testing"
)

// The last place stored is the one that is read, by whoever reads it.
func TestPlace(t *testing.T) {
	s, ctx := newStore(t), context.Background()
	forget := func() {
		_, _ = server.Client().NewClient(serviceTable).DeleteEntity(ctx, servicePartition, placeKey, nil)
	}
	forget()
	t.Cleanup(forget)
	if after, err := s.Place(ctx); err != nil || after != "" {
		t.Fatalf("before the first: %q, %v", after, err)
	}
	for _, want := range []string{"b", "a", "a"} {
		if err := s.PutPlace(ctx, want); err != nil {
			t.Fatal(err)
		}
		if after, err := newStore(t).Place(ctx); err != nil || after != want {
			t.Errorf("read %q, want %q (%v)", after, want, err)
		}
	}
}
