package tables

import (
	"context"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

const (
	servicePartition = "service"
	waveKey          = "wave"
)

// Wave reads the last wave of disconnections. Before the first it is zero, with
// an empty Version.
func (s *Store) Wave(ctx context.Context) (w connection.Wave, err error) {
	defer fault.Wrap(&err, "tables: wave")
	r, err := get(ctx, s.service, servicePartition, waveKey)
	if fault.Is(err, fault.NotFound) {
		return connection.Wave{}, nil
	}
	if err != nil {
		return w, err
	}
	w, err = unpack[connection.Wave](r)
	w.Version = r.etag
	return w, err
}

// PutWave stores w if nobody has since w.Version was read; else
// [fault.Conflict].
func (s *Store) PutWave(ctx context.Context, w connection.Wave) (err error) {
	defer fault.Wrap(&err, "tables: put wave")
	data, err := pack(w)
	if err != nil {
		return err
	}
	r := row{pk: servicePartition, rk: waveKey, etag: w.Version, data: data}
	if w.Version == "" {
		return insert(ctx, s.service, r)
	}
	_, err = replace(ctx, s.service, r)
	return err
}
