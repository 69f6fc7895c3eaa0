package schedule

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"rollcall/internal/connection"
)

// placeTime bounds the storing of a place, also after the sweep's time is up.
const placeTime = 5 * time.Second

// round goes through all connections once, beginning after the one with which
// the last sweep ended. The place is stored as it moves on, so that a killed
// round is gone on with as well: before the first connection is begun, the
// second, the fourth and so on, then once a page, so that even one that kills
// the process each time is passed within some sweeps. Those that were worked on
// when it was killed wait for their turn in the next round. So few that all are
// begun at once have no places: then a sweep that repairs nothing writes nothing.
func (j *Janitor) round(ctx context.Context, of int, now time.Time) error {
	start, err := j.Places.Place(ctx)
	first := j.failed(ctx, "place", "", err) // then it begins at the first one
	keep := func(after string) {
		if of <= abreast {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), placeTime)
		defer cancel()
		first = cmp.Or(first, j.failed(ctx, "place", "", j.Places.PutPlace(ctx, after)))
	}
	last := start // that was begun
	placed := func(yield func(connection.Connection, error) bool) {
		n := 0
		for c, err := range ring(ctx, start, j.Store.Connections) {
			if err != nil {
				yield(c, err)
				return
			}
			if n++; n&(n-1) == 0 || n%page == 0 {
				keep(c.ID)
			}
			if !yield(c, nil) {
				return
			}
			last = c.ID
		}
	}
	var purges atomic.Int64
	purges.Store(maxPurges)
	begun, short, failed := each(ctx, placed, func(ctx context.Context, c connection.Connection) error {
		return j.tend(ctx, c, now, &purges)
	})
	if short != nil {
		keep(last)
		j.Log.WarnContext(ctx, "sweep ended early; the next one goes on", "objects", begun, "of", of, "after", last, "err", short)
	} else { // an alert waits for one of the two
		j.Log.InfoContext(ctx, "sweep ended", "objects", begun, "took", j.Now().Sub(now))
	}
	return cmp.Or(first, failed, short)
}

// tend repairs one connection and deletes what is past its time. What fails
// keeps nothing else from it; the first failure is returned.
func (j *Janitor) tend(ctx context.Context, c connection.Connection, now time.Time, purges *atomic.Int64) (first error) {
	for _, r := range j.Repairers {
		first = cmp.Or(first, j.failed(ctx, "connection", c.ID, r.Repair(ctx, c, now)))
	}
	first = cmp.Or(first, j.failed(ctx, "preview", c.ID, j.drop(ctx, c, now, purges)))
	if j.Retention > 0 && (c.Live() || c.Status == connection.Paused) {
		_, err := j.Store.TrimChanges(ctx, c.ID, now.Add(-j.Retention))
		first = cmp.Or(first, j.failed(ctx, "changes", c.ID, err))
	}
	return first
}
