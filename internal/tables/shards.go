package tables

import (
	"context"
	"math"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// Shards returns the places of a sharded enumeration, by name. An overlay has
// its own only.
func (s *Store) Shards(ctx context.Context, part string) (shards []directory.Shard, err error) {
	defer fault.Wrap(&err, "tables: shards of %s", part)
	for r, err := range s.own(ctx, part, spanOf(shardPrefix, "", maxPage)) {
		if err != nil {
			return nil, err
		}
		sh, err := unpack[directory.Shard](r)
		if err != nil {
			return nil, err
		}
		if sh.Name != r.rk[len(shardPrefix):] {
			return nil, fault.New(fault.Invalid, "row %s/%s: the place of another shard", r.pk, r.rk)
		}
		shards = append(shards, sh)
	}
	return shards, nil
}

// ShardRows lists the names of at most limit rows of places, for
// [directory.Batch.DropSeen].
func (s *Store) ShardRows(ctx context.Context, part string, limit int) (_ []string, err error) {
	defer fault.Wrap(&err, "tables: rows of shards of %s", part)
	return names(s.own(ctx, part, spanOf(shardPrefix, "", min(limit, math.MaxInt32))), 0, limit)
}
