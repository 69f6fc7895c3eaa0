package tables

import (
	"context"

	"rollcall/internal/fault"
	"rollcall/internal/job"
)

// PutRun writes the record of a run, over an older one of the same run.
func (s *Store) PutRun(ctx context.Context, connection string, r job.Run) (err error) {
	defer fault.Wrap(&err, "tables: run %s of %s", r.ID, connection)
	data, err := pack(r)
	if err != nil {
		return err
	}
	_, err = replace(ctx, s.runs, row{pk: connection, rk: r.ID, data: data})
	return err
}

// Run reads the record of one run, or returns [fault.NotFound]. The fence
// knows the open run and the one that ended last better than the table runs,
// which is written after it.
func (s *Store) Run(ctx context.Context, connection, run string) (r job.Run, err error) {
	defer fault.Wrap(&err, "tables: run %s of %s", run, connection)
	f, err := s.Fence(ctx, connection)
	if err != nil {
		return r, err
	}
	if f.Run.ID == run {
		return f.Run, nil
	}
	stored, err := get(ctx, s.runs, connection, run)
	if err != nil {
		return r, err
	}
	return unpack[job.Run](stored)
}

// Runs lists at most limit runs, newest first, with an ID after the given
// one, and the ID to go on after, empty at the end.
func (s *Store) Runs(ctx context.Context, connection, after string, limit int) (rs []job.Run, next string, err error) {
	defer fault.Wrap(&err, "tables: runs of %s", connection)
	f, err := s.Fence(ctx, connection)
	if err != nil {
		return nil, "", err
	}
	latest := f.Run
	if latest.ID > after && latest.ID != "" {
		defer func() {
			if err == nil {
				rs, next = mergeLatest(rs, next, latest, limit)
			}
		}()
	}
	sp := span{pk: connection, from: "0", after: after, below: keyEnd, limit: int32(min(limit, maxPage))}
	for r, err := range list(ctx, s.runs, sp) {
		if err != nil {
			return nil, "", err
		}
		run, err := unpack[job.Run](r)
		if err != nil {
			return nil, "", err
		}
		if rs = append(rs, run); len(rs) >= limit {
			return rs, run.ID, nil
		}
	}
	return rs, "", nil
}

// mergeLatest puts the fence's run where it belongs in a page of stored runs.
func mergeLatest(rs []job.Run, next string, latest job.Run, limit int) ([]job.Run, string) {
	at := len(rs)
	for i := range rs {
		if rs[i].ID == latest.ID {
			rs[i] = latest
			return rs, next
		}
		if rs[i].ID > latest.ID {
			at = i
			break
		}
	}
	if at == len(rs) && next != "" {
		return rs, next // it is on a later page
	}
	rs = append(rs, job.Run{})
	copy(rs[at+1:], rs[at:])
	rs[at] = latest
	if len(rs) > limit {
		rs = rs[:limit]
		next = rs[limit-1].ID
	}
	return rs, next
}
