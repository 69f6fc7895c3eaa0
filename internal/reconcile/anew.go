package reconcile

import (
	"context"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// anew deals with a link that Microsoft has forgotten: what it was of begins
// anew, once at once. If again is true it has begun anew before, and may be
// forgotten time and again: then it waits like any other failure. So does what
// has no link, whose first page there is nothing to forget of.
func (w *worker) anew(ctx context.Context, what, link string, cause error, again bool, begin func()) error {
	passing := &fault.Error{Kind: fault.Unknown, Code: fault.Of(cause).Code, Err: cause}
	if link == "" {
		return passing
	}
	w.log.InfoContext(ctx, "begins anew: Microsoft no longer knew the link", "what", what)
	begin()
	if err := w.commit(ctx, directory.Batch{}); err != nil {
		return err
	}
	if again {
		return passing
	}
	return nil
}
