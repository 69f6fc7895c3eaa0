package tables

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"rollcall/internal/directory"
	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// Fence reads the partition's fence. One that has none yet has a zero Fence
// with an empty Version, and so has an overlay in which nothing was committed.
func (s *Store) Fence(ctx context.Context, part string) (f job.Fence, err error) {
	defer fault.Wrap(&err, "tables: fence of %s", part)
	r, err := get(ctx, s.directory, part, fenceKey)
	if fault.Is(err, fault.NotFound) {
		return job.Fence{}, nil
	}
	if err != nil {
		return f, err
	}
	if f, err = unpack[job.Fence](r); err != nil {
		return f, err
	}
	f.Version = r.etag
	return f, nil
}

// Commit writes the batch and the fence in one entity group transaction,
// under the fence's Version, and returns the fence with its new one. It
// returns [fault.Conflict] with code [job.FenceMoved] if another worker has
// written the fence meanwhile, [fault.Conflict] with code "EntityAlreadyExists"
// if a person of b.Add is stored already (in an overlay: in the overlay itself),
// and [fault.Invalid] if the batch writes one row twice, or more than one
// transaction takes. What b takes off a list or deletes must be stored, but in
// an overlay, where a tombstone takes its place. An
// answer that was lost on the way is found out by reading the fence again, so
// that any other error means that nothing was written, or that nobody can say.
func (s *Store) Commit(ctx context.Context, part string, f job.Fence, b directory.Batch) (_ job.Fence, err error) {
	defer fault.Wrap(&err, "tables: commit of %s", part)
	f.Seq++
	f.Commit = rand.Text()
	f.Run.Transactions++
	send, free, err := s.writing(part, f, &b)
	defer free()
	if err != nil {
		return f, err
	}
	etag, err := send(ctx)
	if err == nil && etag != "" {
		f.Version = etag
		return f, nil
	}
	if err == nil {
		err = fault.New(fault.Unknown, "the answer names no version of the fence")
	}
	// The answer says no, or there is none. Only the fence itself knows.
	if ctx.Err() != nil { // out of time: a moment is needed to find out
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
	}
	now, readErr := s.Fence(ctx, part)
	switch {
	case readErr != nil:
		return f, errors.Join(err, readErr)
	case now.Commit == f.Commit:
		return now, nil
	case now.Version != f.Version:
		return f, fault.New(fault.Conflict, "fence is at epoch %d, commit %d: another worker has written it since epoch %d, commit %d", now.Epoch, now.Seq, f.Epoch, f.Seq-1).
			WithCode(job.FenceMoved)
	}
	return f, classify(err)
}

// writing builds what writes the batch with the fence and returns the fence's
// new version, and what is to be called when all is done. A fence alone needs no
// transaction around it.
func (s *Store) writing(part string, f job.Fence, b *directory.Batch) (send func(context.Context) (etag string, err error), free func(), err error) {
	if f.Version != "" && b.Empty() {
		data, err := pack(f)
		r := row{pk: part, rk: fenceKey, data: data, etag: f.Version}
		return func(ctx context.Context) (string, error) { return replace(ctx, s.directory, r) }, func() {}, err
	}
	t, err := s.directory.transaction(part, f, b)
	return func(ctx context.Context) (etag string, err error) {
		err = ensuring(ctx, s.directory, func() (err error) {
			etag, err = s.directory.submit(ctx, t)
			return err
		})
		return etag, err
	}, t.free, err
}
