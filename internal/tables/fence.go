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
	next, send, err := s.Prepare(part, f, b)
	if err != nil {
		return next, err
	}
	return send(ctx, f.Version)
}

// Prepare is Commit without its last step, which is to be called once, with the
// version of the stored fence: it may have been written since f was read, as
// long as f tells of that. What Prepare returns beside is the fence as it will
// be, but for its version. Nothing of b is used any more.
func (s *Store) Prepare(part string, f job.Fence, b directory.Batch) (next job.Fence, send func(ctx context.Context, version string) (job.Fence, error), err error) {
	defer fault.Wrap(&err, "tables: commit of %s", part)
	f.Seq++
	f.Commit = rand.Text()
	f.Run.Transactions++
	write, free, err := s.writing(part, f, &b)
	if err != nil {
		free()
		return f, nil, err
	}
	return f, func(ctx context.Context, version string) (_ job.Fence, err error) {
		defer fault.Wrap(&err, "tables: commit of %s", part)
		defer free()
		f.Version = version
		return s.settle(ctx, part, f, write)
	}, nil
}

// writer writes what was prepared, over the fence of that version, and returns
// the new one.
type writer func(ctx context.Context, version string) (etag string, err error)

// settle writes, and finds out how that ended.
func (s *Store) settle(ctx context.Context, part string, f job.Fence, write writer) (job.Fence, error) {
	etag, err := write(ctx, f.Version)
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

// writing builds what writes the batch with the fence, and what is to be called
// when all is done. A fence alone needs no transaction around it.
func (s *Store) writing(part string, f job.Fence, b *directory.Batch) (write writer, free func(), err error) {
	if f.Version != "" && b.Empty() {
		data, err := pack(f)
		return func(ctx context.Context, version string) (string, error) {
			return replace(ctx, s.directory, row{pk: part, rk: fenceKey, data: data, etag: version})
		}, func() {}, err
	}
	t, err := s.directory.transaction(part, f, b)
	return func(ctx context.Context, version string) (etag string, err error) {
		err = ensuring(ctx, s.directory, func() (err error) {
			etag, err = s.directory.submit(ctx, t, version)
			return err
		})
		return etag, err
	}, t.free, err
}
