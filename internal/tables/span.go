package tables

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"golang.org/x/sync/errgroup"

	"rollcall/internal/fault"
)

const (
	// maxPage is the most rows that one request can ask for. Source: Azure
	// Table Storage, "Query timeout and pagination".
	maxPage = 1000
	// maxReads bounds the point reads that are under way at once for a caller.
	maxReads = 16
)

// span is a range of keys of one partition: (after, below), or [from, below)
// if after is empty.
type span struct {
	pk          string
	from, after string
	below       string
	limit       int32 // rows a request; 0 means the service's 1,000
	filter      string
}

// literal is a text in a filter.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func (sp span) options() *aztables.ListEntitiesOptions {
	filter := fmt.Sprintf("PartitionKey eq %s and RowKey lt %s", literal(sp.pk), literal(sp.below))
	if sp.after != "" {
		filter += " and RowKey gt " + literal(sp.after)
	} else {
		filter += " and RowKey ge " + literal(sp.from)
	}
	if sp.filter != "" {
		filter += " and (" + sp.filter + ")"
	}
	opts := &aztables.ListEntitiesOptions{Filter: &filter}
	if sp.limit > 0 {
		opts.Top = &sp.limit
	}
	return opts
}

// entities yields the entities of a query as the service sends them, in key
// order, and an error last. A page is asked for when the one before is used up,
// and an entity is good until the next.
func entities(ctx context.Context, t *table, opts *aztables.ListEntitiesOptions) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		x := newExchange(noEntities)
		defer x.free()
		ctx := x.in(ctx)
		// Empty pages with a continuation are allowed, so only More ends it.
		pager := t.NewListEntitiesPager(opts)
		for first := true; pager.More(); first = false {
			err := ensuring(ctx, t, func() error {
				if first { // a pager that has failed asks for another page
					pager = t.NewListEntitiesPager(opts)
				}
				_, err := pager.NextPage(ctx)
				return err
			})
			if err == nil {
				x.rows, err = entitiesOf(x.rows[:0], x.answer)
			}
			if err != nil {
				yield(nil, classify(err))
				return
			}
			for _, b := range x.rows {
				if !yield(b, nil) {
					return
				}
			}
		}
	}
}

// list yields the rows of the span in key order, and an error last.
func list(ctx context.Context, t *table, sp span) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for b, err := range entities(ctx, t, sp.options()) {
			var r row
			if err == nil {
				r, err = decodeRow(b)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// readable lists at most limit values of the rows of the span, and the key to go
// on after, empty at the end. A row that cannot be read, such as one that a newer
// version wrote, is logged and left out: one customer's row keeps nobody else
// from theirs. So that a value is not in the list does not prove that it is not
// stored.
func readable[T any](ctx context.Context, t *table, log *slog.Logger, sp span, limit int, decode func(row) (T, error)) (vs []T, next string, err error) {
	sp.limit = int32(min(limit, maxPage))
	for b, err := range entities(ctx, t, sp.options()) {
		if err != nil {
			return nil, "", err
		}
		var v T
		r, err := decodeRow(b)
		if err == nil {
			v, err = decode(r)
		}
		if err != nil {
			log.ErrorContext(ctx, "row cannot be read", "partition", r.pk, "row", r.rk, "err", err)
			continue
		}
		if vs = append(vs, v); len(vs) >= limit {
			return vs, r.rk, nil
		}
	}
	return vs, "", nil
}

// records reads the records of the IDs named, of the kind that prefix stands
// for; what is not stored is not in the result.
func records[T any](ctx context.Context, s *Store, part, prefix string, ids []string) (map[string]T, error) {
	var (
		mu  sync.Mutex
		out = make(map[string]T, len(ids))
	)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxReads)
	for _, id := range ids {
		g.Go(func() error {
			r, err := s.read(ctx, part, prefix+id)
			if fault.Is(err, fault.NotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			rec, err := unpack[T](r)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			out[id] = rec
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// page lists at most limit records of a kind in ID order with an ID after the
// given one, and the ID to go on after, empty at the end.
func page[T any](ctx context.Context, s *Store, part, prefix, after string, limit int) (recs []T, next string, err error) {
	for r, err := range s.rows(ctx, part, spanOf(prefix, after, limit)) {
		if err != nil {
			return nil, "", err
		}
		rec, err := unpack[T](r)
		if err != nil {
			return nil, "", err
		}
		if recs = append(recs, rec); len(recs) >= limit {
			return recs, strings.TrimPrefix(r.rk, prefix), nil
		}
	}
	return recs, "", nil
}

// names lists at most limit keys, without their first cut bytes.
func names(rows iter.Seq2[row, error], cut, limit int) (out []string, err error) {
	for r, err := range rows {
		if err != nil {
			return nil, err
		}
		if out = append(out, r.rk[cut:]); len(out) >= limit {
			break
		}
	}
	return out, nil
}
