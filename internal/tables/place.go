package tables

import (
	"context"

	"rollcall/internal/fault"
)

const placeKey = "sweep"

// place is where the janitor's last sweep ended.
type place struct {
	After string `json:"after"` // a connection's ID
}

// Place reads the connection with which the last sweep ended. Before the first
// it is empty.
func (s *Store) Place(ctx context.Context) (after string, err error) {
	defer fault.Wrap(&err, "tables: place of the sweep")
	r, err := get(ctx, s.service, servicePartition, placeKey)
	if fault.Is(err, fault.NotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	p, err := unpack[place](r)
	return p.After, err
}

// PutPlace stores it, whoever stored another one: of two sweeps at once each
// goes on from where it is.
func (s *Store) PutPlace(ctx context.Context, after string) (err error) {
	defer fault.Wrap(&err, "tables: put place of the sweep")
	data, err := pack(place{After: after})
	if err != nil {
		return err
	}
	_, err = replace(ctx, s.service, row{pk: servicePartition, rk: placeKey, data: data})
	return err
}
