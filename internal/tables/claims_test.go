package tables

import (
	"context"
	"testing"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/sandbox/tablestore"
)

func (s *Store) mustOwn(t *testing.T, tenant, want string) {
	t.Helper()
	got, err := s.Owner(context.Background(), tenant)
	if got != want || want != "" && err != nil || want == "" && !fault.Is(err, fault.NotFound) {
		t.Errorf("owner %q, want %q (%v)", got, want, err)
	}
}

// A tenant goes over only from its owner, and as often as one likes; the claim
// counts from then on.
func TestTransferClaim(t *testing.T) {
	s, ctx, tenant, a, b, c := newStore(t), context.Background(), fresh(), fresh(), fresh(), fresh()
	if err := s.TransferClaim(ctx, tenant, a, b); !fault.Is(err, fault.NotFound) {
		t.Errorf("nobody's: %v", err)
	}
	if err := s.Claim(ctx, tenant, a); err != nil {
		t.Fatal(err)
	}
	if err := s.TransferClaim(ctx, tenant, c, b); !fault.Is(err, fault.Conflict) || fault.Of(err).Code != "tenant_owned" {
		t.Errorf("from one who does not own it: %v", err)
	}
	s.mustOwn(t, tenant, a)
	at := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	s.Now = func() time.Time { return at }
	for range 2 {
		if err := s.TransferClaim(ctx, tenant, a, b); err != nil {
			t.Fatal(err)
		}
		s.mustOwn(t, tenant, b)
		s.Now = time.Now
	}
	if cl, _, err := s.claim(ctx, tenant); err != nil || !cl.At.Equal(at) {
		t.Errorf("claimed at %s, %v", cl.At, err)
	}
	if err := s.Claim(ctx, tenant, a); !fault.Is(err, fault.Conflict) {
		t.Errorf("the one before claims it again: %v", err)
	}
}

// A write in between is seen, and so is one's own whose answer was lost.
func TestTransferClaimRaces(t *testing.T) {
	s, ctx := newStore(t), context.Background()
	a, b, c := fresh(), fresh(), fresh()
	for name, tt := range map[string]struct {
		meanwhile, owner string
		refused          bool
	}{
		"renewed by its owner": {meanwhile: a, owner: b},
		"another was faster":   {meanwhile: c, owner: c, refused: true},
		"answer lost":          {owner: b},
	} {
		tenant := fresh()
		if err := s.Claim(ctx, tenant, a); err != nil {
			t.Fatal(err)
		}
		writes := 0
		server.BeforeWrite(func(int64, string) error {
			if writes++; writes > 1 || tt.meanwhile == "" {
				return nil
			}
			data, err := pack(claim{Connection: tt.meanwhile})
			if err != nil {
				return err
			}
			entity, err := row{pk: claimsPartition, rk: tenant, data: data}.encode()
			if err != nil {
				return err
			}
			_, err = server.Client().NewClient(claimsTable).UpsertEntity(ctx, entity, nil)
			return err
		})
		server.OnWrite(func(int64, string) tablestore.Verdict {
			if tt.meanwhile == "" && writes == 1 {
				return tablestore.Cut
			}
			return tablestore.Pass
		})
		err := s.TransferClaim(ctx, tenant, a, b)
		server.BeforeWrite(nil)
		server.OnWrite(nil)
		if writes == 0 || (err != nil) != tt.refused || tt.refused && !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %d writes, %v", name, writes, err)
		}
		s.mustOwn(t, tenant, tt.owner)
	}
}

// A tenant is taken only from the one named.
func TestDisown(t *testing.T) {
	s, ctx, tenant, a, b := newStore(t), context.Background(), fresh(), fresh(), fresh()
	if err := s.Disown(ctx, tenant, a); err != nil {
		t.Errorf("nobody's: %v", err)
	}
	if err := s.Claim(ctx, tenant, a); err != nil {
		t.Fatal(err)
	}
	if err := s.Disown(ctx, tenant, b); err != nil {
		t.Error(err)
	}
	s.mustOwn(t, tenant, a)
	if err := s.Disown(ctx, tenant, a); err != nil {
		t.Error(err)
	}
	s.mustOwn(t, tenant, "")
}
