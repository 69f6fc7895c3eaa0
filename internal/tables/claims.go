package tables

import (
	"context"
	"iter"

	"rollcall/internal/fault"
)

// TransferClaim makes the connection to the owner of the tenant, which from
// owns until then. It returns [fault.Conflict] if another one is the owner and
// [fault.NotFound] if nobody is; if it is to already, nothing is written.
func (s *Store) TransferClaim(ctx context.Context, tenant, from, to string) (err error) {
	defer fault.Wrap(&err, "tables: transfer tenant %s from %s to %s", tenant, from, to)
	data, err := pack(claim{Connection: to, At: s.Now().UTC()})
	if err != nil {
		return err
	}
	return s.owned(ctx, tenant, func(owner, etag string) error {
		switch owner {
		case to:
			return nil
		case from:
			_, err := replace(ctx, s.claims, row{pk: claimsPartition, rk: tenant, etag: etag, data: data})
			return err
		}
		return fault.New(fault.Conflict, "%s is the owner", owner).WithCode("tenant_owned")
	})
}

// Disown takes the tenant from the connection, if it is the owner.
func (s *Store) Disown(ctx context.Context, tenant, connection string) (err error) {
	defer fault.Wrap(&err, "tables: take tenant %s from %s", tenant, connection)
	err = s.owned(ctx, tenant, func(owner, etag string) error {
		if owner != connection {
			return nil
		}
		return remove(ctx, s.claims, claimsPartition, tenant, etag)
	})
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// owned lets act judge the tenant's owner and write under the claim's version,
// and once more if the claim was written in between: by somebody else, or by a
// try whose answer was lost.
func (s *Store) owned(ctx context.Context, tenant string, act func(owner, etag string) error) error {
	for again := false; ; again = true {
		c, etag, err := s.claim(ctx, tenant)
		if err != nil {
			return err
		}
		err = act(c.Connection, etag)
		if again || !fault.Is(err, fault.Conflict) {
			return err
		}
	}
}

// claimsOf yields the claims of a connection, and an error last. It reads all
// claims: a row for each tenant.
func (s *Store) claimsOf(ctx context.Context, connection string) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for r, err := range list(ctx, s.claims, span{pk: claimsPartition, from: " ", below: keyEnd}) {
			var c claim
			if err == nil {
				c, err = unpack[claim](r)
			}
			if err == nil && c.Connection != connection {
				continue
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}
