package reconcile

import (
	"context"
	"maps"
	"slices"
	"time"

	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// managerSweep is how often all reporting lines are compared: Graph's delta is
// known to forget changes of managers. Source: issue 15842 of
// microsoftgraph/microsoft-graph-docs.
const managerSweep = 7 * 24 * time.Hour

// managersDue reports whether reporting lines are to be compared. The run that
// stores everybody for the first time has just read them all.
func (w *worker) managersDue() bool {
	f := &w.fence
	if !w.syncs() || !w.chosen.ReportingLines || f.People.Enum != "" {
		return false
	}
	if f.Run.Why == firstRun {
		f.Managers = job.Cursor{FullAt: w.Now().UTC()}
		return false
	}
	return w.Now().Sub(f.Managers.FullAt) > managerSweep
}

// repairManagers follows the list of everybody's managers to its end, and puts
// right what is stored of those who are there. Who is not on the list, or not
// stored, is no business of this phase. A manager need not be stored, and may
// report to their own people: lines are stored as they are.
func (w *worker) repairManagers(ctx context.Context) error {
	b := newBatcher(w)
	restarted := false
	for pages := 1; ; pages++ {
		link := w.fence.Managers.Next
		page, next, err := w.Graph.ManagerPage(ctx, w.conn.Access(), link)
		if err != nil {
			// What came before is kept, down to the place.
			if err := b.commitPages(ctx, pages-1); err != nil {
				return err
			}
			if !fault.Is(err, fault.Expired) {
				return err
			}
			if err := w.anew(ctx, "reporting lines", link, err, restarted, func() { w.fence.Managers.Next = "" }); err != nil {
				return err
			}
			restarted = true
			continue
		}
		if err := b.reporting(ctx, page); err != nil {
			return err
		}
		w.fence.Attempt = 0
		w.fence.Run.Pages++
		if next == "" {
			return b.commit(ctx, func(f *job.Fence) {
				f.Managers = job.Cursor{FullAt: w.Now().UTC()}
				w.advance()
			})
		}
		w.fence.Managers.Next = next
		spent := w.spent()
		if spent || pages%maxUncommitted == 0 {
			if err := b.commit(ctx, nil); err != nil {
				return err
			}
		}
		if spent {
			return errBudget
		}
	}
}

// reporting takes in one page of managers.
func (b *batcher) reporting(ctx context.Context, page map[string]string) error {
	ids := slices.Sorted(maps.Keys(page))
	stored, err := b.w.Store.Records(ctx, b.w.part, slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return b.entries[id] != nil }))
	if err != nil {
		return err
	}
	for _, id := range ids {
		f := b.start(id, stored)
		if f.in == nil {
			if f.prior == nil {
				continue
			}
			f.next = *f.prior
		}
		if !f.next.Removable() || f.next.Manager == page[id] {
			continue
		}
		f.next.Manager, f.hasManager = page[id], true
		if err := b.add(ctx, f); err != nil {
			return err
		}
	}
	return nil
}
