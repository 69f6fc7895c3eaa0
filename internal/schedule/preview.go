package schedule

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/job"
)

const (
	// previewSuffix makes the ID of the partition that a connection's previews
	// are written to.
	previewSuffix = "~preview"
	// previewAge is how long a preview can be read.
	previewAge = 24 * time.Hour
	// purgeRows are deleted at a time, in ten transactions or so. At most
	// maxPurges such calls are made in a sweep, by all that are worked on, and
	// connectionPurges for one connection; the next sweep goes on.
	purgeRows        = 1000
	maxPurges        = 200
	connectionPurges = 50
)

// drop deletes what the connection's previews have written once the newest of
// them is a day old, and then forgets that they were asked for. Killed in
// between, it is done again.
func (j *Janitor) drop(ctx context.Context, c connection.Connection, now time.Time, purges *atomic.Int64) (err error) {
	done := false
	for n := 0; !done; n++ {
		// A new preview may have been asked for since.
		if !stale(&c, now) || n == connectionPurges || purges.Add(-1) < 0 {
			return nil
		}
		if done, err = j.Previews.Purge(ctx, c.ID+previewSuffix, purgeRows); err != nil {
			return err
		}
		if c, err = j.Previews.Connection(ctx, c.ID); err != nil {
			return err
		}
	}
	return update(ctx, j.Previews, c, func(c *connection.Connection) bool {
		if !stale(c, now) {
			return false
		}
		c.Asks = slices.DeleteFunc(c.Asks, isPreview)
		return true
	})
}

// stale reports whether the connection's newest preview is past its time.
func stale(c *connection.Connection, now time.Time) bool {
	i := slices.IndexFunc(c.Asks, isPreview)
	return i >= 0 && now.Sub(c.Asks[i].At) > previewAge
}

func isPreview(a connection.Ask) bool { return a.Trigger == string(job.Preview) }
