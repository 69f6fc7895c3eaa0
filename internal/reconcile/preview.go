package reconcile

import (
	"context"
	"slices"
	"strings"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// A preview is the same run as a sync, in a partition of its own that lies
// over the connection's: what it reads falls through, what it writes stays
// above. So its counts are the truth, and nothing but its record tells of it.

const (
	// previewSuffix makes the ID of a connection's preview partition.
	previewSuffix = "~preview"
	// purgeRows are deleted between two looks at the clock.
	purgeRows = 2000
	// previewSeq is added to the number of commits that a preview goes on from,
	// so that what it names by it is not named like anything of the connection's
	// own runs, which would show through.
	previewSeq = 1 << 40
)

// previewing reports whether the run is a preview.
func (w *worker) previewing() bool { return strings.HasSuffix(w.part, previewSuffix) }

// preview does the slice that j asks for of the newest preview. An older one
// has been given up for it.
func (w *worker) preview(ctx context.Context, j job.Job) error {
	if newest := lastPreview(&w.conn); newest != j.Run {
		w.log.InfoContext(ctx, "job of an earlier preview dropped", "newest", newest)
		return nil
	}
	w.part = w.conn.ID + previewSuffix
	var err error
	if w.fence, err = w.Store.Fence(ctx, w.part); err != nil {
		return err
	}
	f := &w.fence
	switch {
	case f.Closed:
		return w.drop(ctx)
	case f.Open() && f.Run.ID == j.Run && w.paused():
		return w.stop(ctx)
	}
	switch {
	case f.Run.ID != j.Run && j.Slice > 0:
		w.log.InfoContext(ctx, "job of a preview that is gone dropped")
		return nil
	case f.Run.ID != j.Run && !w.conn.Live():
		return w.refuseDead(ctx, j)
	case f.Run.ID != j.Run:
		return w.beginPreview(ctx, j)
	case !f.Open():
		w.log.InfoContext(ctx, "job of an ended preview: record brought up to date")
		return w.project(ctx)
	case j.Slice < f.Slice:
		w.log.InfoContext(ctx, "job of an earlier slice: message sent again", "slice", f.Slice)
		return w.resend(ctx)
	case j.Slice > f.Slice:
		return fault.New(fault.Invalid, "slice %d is ahead of the fence at %d", j.Slice, f.Slice)
	}
	r := f.Run
	r.State, r.NextTry = job.Running, time.Time{}
	if err := w.Connections.PutRun(ctx, w.conn.ID, r); err != nil {
		return err
	}
	return w.slice(ctx, j)
}

// lastPreview is the newest preview that was asked for.
func lastPreview(c *connection.Connection) string {
	i := slices.IndexFunc(c.Asks, func(a connection.Ask) bool { return a.Trigger == string(job.Preview) })
	if i < 0 {
		return ""
	}
	return c.Asks[i].Run
}

// beginPreview empties the partition and does the first slice.
func (w *worker) beginPreview(ctx context.Context, j job.Job) error {
	for try := 1; ; try++ {
		// Deleting takes its time, so the connection is looked at before and after.
		live, err := w.atRest(ctx)
		if err != nil || live.Closed {
			return err
		}
		if err := w.dropPreview(ctx, "A newer preview has taken its place.", "superseded"); err != nil {
			return err
		}
		if live, err = w.atRest(ctx); err != nil || live.Closed {
			return err
		}
		w.part, w.fence, w.last = w.conn.ID+previewSuffix, seeded(live), job.Fence{}
		err = w.Connections.PutRun(ctx, w.conn.ID, job.Run{
			ID: j.Run, Trigger: j.Trigger, By: w.conn.StartedBy(j.Run), State: job.Running, Began: w.Now().UTC(),
			FirstChange: live.LastChange, LastChange: live.LastChange,
		})
		if err != nil {
			return err
		}
		// Whoever loses the race for the opening may have deleted rows of the
		// winner's, taking them for those of an earlier preview. So it begins
		// anew, which also stops the winner.
		if err = w.slice(ctx, j); !lost(err) || try == maxRaces {
			return err
		}
		w.log.InfoContext(ctx, "two workers began the preview: it begins anew")
	}
}

// atRest is the connection's own fence, unless one of its runs is open.
func (w *worker) atRest(ctx context.Context) (job.Fence, error) {
	live, err := w.Store.Fence(ctx, w.conn.ID)
	if err == nil && live.Open() {
		err = waits(live.Run.ID)
	}
	return live, err
}

// seeded is the fence of a preview that begins where the connection stands.
// Enumerations that were left unfinished are begun anew, because the IDs that
// they have seen do not show through.
func seeded(live job.Fence) job.Fence {
	f := live
	f.Version, f.Commit, f.Seq = "", "", live.Seq+previewSeq
	f.Run, f.Recent, f.Slice, f.Attempt = job.Run{}, nil, 0, 0
	f.Erasing, f.Expiry = job.Fold{}, job.Expiry{}
	for _, c := range []*job.Cursor{&f.People, &f.Groups, &f.Managers} {
		if c.Enum != "" {
			c.Next, c.Swept = "", ""
		}
	}
	f.Mailboxes.Reading, f.Mailboxes.Row, f.Mailboxes.Swept = "", 0, ""
	return f
}

// dropPreview takes away what a preview has stored, and records that it comes
// to no end if it is open. What takes too long is put back.
func (w *worker) dropPreview(ctx context.Context, why, code string) error {
	part := w.conn.ID + previewSuffix
	f, err := w.Store.Fence(ctx, part)
	if err != nil {
		return err
	}
	if r := f.Run; f.Open() {
		r.State, r.Ended, r.NextTry = job.RunFailed, w.Now().UTC(), time.Time{}
		r.Error, r.Code, r.Remedy = why, code, "Ask for another preview."
		if err := w.Connections.PutRun(ctx, w.conn.ID, r); err != nil {
			return err
		}
	}
	for {
		done, err := w.Store.Purge(ctx, part, purgeRows)
		if err != nil || done {
			return err
		}
		if w.spent() {
			e := fault.New(fault.Throttled, "the preview before is not deleted yet")
			e.After = time.Second
			return e
		}
	}
}

// projectPreview writes the record of a preview that has ended, with how
// things would stand after the run. It writes nothing else.
func (w *worker) projectPreview(ctx context.Context) error {
	r := w.fence.Run
	if r.State == job.Succeeded || r.State == job.Held {
		var err error
		if r.Forecast, err = w.forecast(ctx); err != nil {
			return err
		}
		live, err := w.Store.Fence(ctx, w.conn.ID)
		if err != nil {
			return err
		}
		if live.Open() || live.LastChange != r.FirstChange {
			r.Skipped = append(slices.Clone(r.Skipped), job.Skipped{
				What: "preview", Code: "changed_meanwhile",
				Message: "A sync ran during the preview, which counts some of its changes and some not.",
				Remedy:  "Ask for another preview.",
			})
		}
	}
	return w.Connections.PutRun(ctx, w.conn.ID, r)
}

// forecast is how things stand in the preview's partition.
func (w *worker) forecast(ctx context.Context) (*job.Forecast, error) {
	f := &w.fence
	held := func(k directory.Kind) int { t := f.Counted(k); return t.Held + t.Pending }
	fc := &job.Forecast{
		Total: f.Active, HeldPeople: held(directory.People), HeldTeams: held(directory.Teams), HeldMemberships: held(directory.Memberships),
	}
	ls, err := w.Store.Licenses(ctx, w.part)
	if err != nil {
		return nil, err
	}
	for i := range ls {
		if ls[i].Active() {
			fc.LicensesTotal += ls[i].Total
			fc.LicensesAvailable += ls[i].Available()
		}
	}
	return fc, nil
}
