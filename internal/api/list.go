package api

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// chunk is how many records a list holds in memory at once: few enough to
// stay below a megabyte or two, enough that a full page takes five queries.
const chunk = 200

// maxLimit is the most records of a page.
const maxLimit = 1000

// PageQuery is what every list takes.
type PageQuery struct {
	Limit        int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The most records to answer. A page may hold fewer and still continue."`
	Continuation string `query:"continuation" doc:"Where to go on, as the page before said."`
}

// Page ends every list.
type Page struct {
	Continuation string `json:"continuation,omitempty" doc:"Send it as the parameter continuation to get the next page. Absent at the end of the list." example:"AXBlb3BsZQBr"`
}

// feed reads on from where it stands: at most n records, and whether more
// follow. A call that fails leaves it standing.
type feed[T any] func(ctx context.Context, n int) (records []T, more bool, err error)

// list is an object whose first field is an array.
type list[T any] struct {
	operation string
	field     string
	limit     int
	feed      feed[T]
	// tail returns a struct of the fields that follow the array.
	tail func(more bool) any
}

// stream answers the list, written while it is read. The first records are
// read beforehand, so that a failure is still a [Problem]. A later one ends
// the page early: what was written is right, and the continuation leads to
// the failure's own answer.
func stream[T any](ctx context.Context, a *API, l list[T]) (*huma.StreamResponse, error) {
	records, more, err := l.feed(ctx, min(chunk, l.limit))
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humago.Unwrap(hc)
		w.Header().Set("Content-Type", "application/json")
		out := bufio.NewWriter(w)
		flush := http.NewResponseController(w)
		_, _ = out.WriteString(`{"` + l.field + `":[`)
		written := 0
		for {
			for i := range records {
				if written > 0 {
					_ = out.WriteByte(',')
				}
				_, _ = out.Write(a.marshal(r, l.operation, &records[i]))
				written++
			}
			if !more || written >= l.limit {
				break
			}
			if out.Flush() != nil {
				return // nobody listens any more
			}
			_ = flush.Flush() // best effort: a wrapper may not offer it
			next, still, err := l.feed(r.Context(), min(chunk, l.limit-written))
			if err != nil {
				if r.Context().Err() == nil {
					a.Log.WarnContext(r.Context(), "page ended early", "operation", l.operation, "written", written, "err", err)
				}
				break
			}
			records, more = next, still
		}
		_ = out.WriteByte(']')
		tail := a.marshal(r, l.operation, l.tail(more))
		if len(tail) > len("{}") {
			_ = out.WriteByte(',')
		}
		_, _ = out.Write(tail[1:])
		_ = out.Flush()
	}}, nil
}

// marshal encodes one record. One that cannot be encoded is a damaged row:
// the answer is cut, since a list that leaves it out would look whole.
func (a *API) marshal(r *http.Request, operation string, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		a.Log.ErrorContext(r.Context(), "record not encodable", "operation", operation, "err", err)
		panic(http.ErrAbortHandler)
	}
	return b
}

// follow makes a feed of a store's listing, with shape turning what is
// stored into what is answered. The cursor stands at *at.
func follow[S, T any](at *string, read func(ctx context.Context, after string, n int) ([]S, string, error), shape func(*S) T) feed[T] {
	return func(ctx context.Context, n int) ([]T, bool, error) {
		stored, next, err := read(ctx, *at, n)
		if err != nil {
			return nil, false, err
		}
		records := make([]T, len(stored))
		for i := range stored {
			records[i] = shape(&stored[i])
		}
		*at = next
		return records, next != "", nil
	}
}

// pageRequest asks for a page of one of a connection's lists.
type pageRequest struct {
	Target
	PageQuery
}

// paged answers one of the lists that differ in what they hold only; name is
// the list's, and the field's.
func paged[S, T any](ctx context.Context, a *API, in *pageRequest, name string,
	read func(ctx context.Context, part, after string, limit int) ([]S, string, error), shape func(*S) T) (*huma.StreamResponse, error) {
	after, err := resume(name, in.ID, in.Continuation)
	if err != nil {
		return nil, err
	}
	if _, err := a.connection(ctx, in.ID); err != nil {
		return nil, err
	}
	return stream(ctx, a, list[T]{
		operation: "list-" + name, field: name, limit: in.Limit,
		feed: follow(&after, func(ctx context.Context, after string, n int) ([]S, string, error) {
			return read(ctx, in.ID, after, n)
		}, shape),
		tail: func(bool) any { return Page{continuation(name, in.ID, after)} },
	})
}

// maxSifted is how many records are read for one answer of a filtered list:
// 25 queries, well within the time that a request may take.
const maxSifted = 5000

// filtersInWords is in the description of every list with filters.
const filtersInWords = " With a filter, at most 5,000 records are looked at for one answer: it may hold fewer than limit, even none, and still continue."

// sift is [follow] for those records only that keep lets pass, until
// maxSifted have been read. The store must take any record's ID as a cursor.
func sift[S, T any](at *string, read func(ctx context.Context, after string, n int) ([]S, string, error),
	id func(*S) string, keep func(*S) bool, shape func(*S) T) feed[T] {
	left := maxSifted
	return func(ctx context.Context, n int) (records []T, more bool, err error) {
		for len(records) == 0 && left > 0 {
			stored, next, err := read(ctx, *at, min(chunk, left))
			if err != nil {
				return nil, false, err
			}
			left -= min(chunk, left)
			for i := range stored {
				if !keep(&stored[i]) {
					continue
				}
				if len(records) == n { // the page is full, and the next begins with this one
					next = id(&stored[i-1])
					break
				}
				records = append(records, shape(&stored[i]))
			}
			if *at = next; next == "" {
				return records, false, nil
			}
		}
		return records, left > 0, nil
	}
}
