package reconcile

import (
	"context"
	"net/http/httptrace"
	"sync"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// flight is a commit under way. There is one at most: the next one is made
// meanwhile, and waits for the version that this one brings.
type flight struct {
	send    func(ctx context.Context, version string) (job.Fence, error)
	version string    // that it replaces
	fence   job.Fence // as it is stored afterwards
	err     error
	done    chan struct{}
}

func (f *flight) fly(ctx context.Context) {
	defer close(f.done)
	f.fence, f.err = f.send(ctx, f.version)
}

// commit writes the batch with the fence, stamped with the time.
func (w *worker) commit(ctx context.Context, b directory.Batch) error {
	if err := w.prepare(ctx, b); err != nil {
		return err
	}
	w.flight.fly(ctx)
	return w.land(ctx)
}

// launch is commit without waiting for the end, which the next commit does, or
// land. Until then nothing that is read tells of the batch, and whatever is
// planned is void if the commit fails: the slice is over then.
//
// It waits until the batch has gone out: a goroutine that could send it might
// not get a processor before the next batch is made.
func (w *worker) launch(ctx context.Context, b directory.Batch) error {
	if err := w.prepare(ctx, b); err != nil {
		return err
	}
	f, out := w.flight, make(chan struct{})
	gone := sync.OnceFunc(func() { close(out) })
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { gone() }})
	go func() {
		defer gone()
		f.fly(ctx)
	}()
	<-out
	return nil
}

// prepare makes the commit that takes off next, once the one before has landed.
func (w *worker) prepare(ctx context.Context, b directory.Batch) error {
	if w.fence.Version == "" { // the first commit of all makes the fence, and others replace it
		if err := w.land(ctx); err != nil {
			return err
		}
	}
	w.takeMeter()
	if x := &w.fence.Index; x.From > 0 && b.WritesPeople() {
		x.Rows++
	}
	w.fence.Touched = w.Now().UTC()
	next, send, err := w.Store.Prepare(w.part, w.fence, b)
	if err != nil {
		return err
	}
	w.moves.add(b.Changes)
	if err := w.land(ctx); err != nil {
		return err
	}
	version := w.fence.Version
	w.fence = next
	w.fence.Version = version
	w.flight = &flight{send: send, version: version, done: make(chan struct{})}
	return nil
}

// land waits for the commit under way, if there is one.
func (w *worker) land(ctx context.Context) error {
	f := w.flight
	if f == nil {
		return nil
	}
	<-f.done // its time is bounded: a moment longer than ctx
	w.flight = nil
	if f.err != nil {
		return f.err
	}
	w.fence.Version = f.fence.Version
	w.last, w.opens = f.fence, false
	if w.ends && !f.fence.Open() {
		w.ends = false
		if w.Watch != nil {
			w.Watch.Ended(ctx, f.fence.Run)
		}
	}
	return nil
}

// stored reports whether a commit was refused because somebody is stored who
// was taken for new.
func stored(err error) bool {
	return fault.Is(err, fault.Conflict) && fault.Of(err).Code == "EntityAlreadyExists"
}

// relearn goes back to what is stored, to go on from there without taking
// anybody for new.
func (w *worker) relearn(ctx context.Context) {
	w.log.WarnContext(ctx, "somebody is stored who was taken for new: everybody is looked up", "stored", w.last.Stored)
	w.takeMeter()
	run := w.fence.Run
	w.fence = w.last
	w.fence.Run.GraphCalls, w.fence.Run.Units = run.GraphCalls, run.Units
	w.moves = moves{from: w.fence.LastChange}
	w.index, w.written, w.doubts = nil, keys{}, true
}
