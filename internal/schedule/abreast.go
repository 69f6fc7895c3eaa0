package schedule

import (
	"context"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"rollcall/internal/connection"
)

const (
	// page is how many connections are read at a time.
	page = 500
	// abreast is how many connections are worked on at a time. Each waits for the
	// store and the queue nearly all of its time: at 10 ms a call 16 of them pass
	// 10,000 connections of two calls each in 13 seconds. More would take from
	// others what they gain: all connections are rows of one partition, which takes
	// 2,000 requests a second (Azure Storage, "Scalability and performance targets
	// for Table storage"), of which 16 make at most 1,600.
	abreast = 16
	// patience is how long one connection is worked on: many times what its few
	// calls take with their repeats. Who needs longer, such as one of whom much is
	// to be deleted, is gone on with in the next round.
	patience = time.Minute
)

// each does something for everyone, [abreast] at a time and within [patience]
// each, and returns when those begun have ended. Who fails or hangs keeps no
// other from theirs; first is the first failure. Nobody is begun so late that
// the end of ctx would cut them off, and none after an error of the sequence:
// short is then why not all of them were.
func each[T any](ctx context.Context, all iter.Seq2[T, error], do func(context.Context, T) error) (begun int, short, first error) {
	until, cancel := early(ctx)
	defer cancel()
	var group errgroup.Group // without a context, which the first failure would end
	places := make(chan struct{}, abreast)
	for one, err := range all {
		if err != nil {
			short = err
			break
		}
		select {
		case places <- struct{}{}:
		case <-until.Done():
		}
		if short = until.Err(); short != nil {
			break
		}
		begun++
		group.Go(func() error {
			defer func() { <-places }()
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return do(ctx, one)
		})
	}
	return begun, short, group.Wait()
}

// early ends before ctx does, by as much as one connection may take, or halfway
// where little time is left.
func early(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, end.Add(-min(patience, time.Until(end)/2)))
}

// every yields what is there already.
func every[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, one := range all {
			if !yield(one, nil) {
				return
			}
		}
	}
}

// ring yields all connections that can be read, a page at a time: those after
// start, and then the others, start itself last. An error ends it.
func ring(ctx context.Context, start string, list func(ctx context.Context, after string, limit int) ([]connection.Connection, string, error)) iter.Seq2[connection.Connection, error] {
	return func(yield func(connection.Connection, error) bool) {
		after, again := start, start != ""
		for {
			cs, next, err := list(ctx, after, page)
			if err != nil {
				yield(connection.Connection{}, err)
				return
			}
			for _, c := range cs {
				if !again && start != "" && c.ID > start {
					return
				}
				if !yield(c, nil) {
					return
				}
			}
			if after = next; next == "" {
				if !again {
					return
				}
				again = false
			}
		}
	}
}
