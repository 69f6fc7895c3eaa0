package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

const (
	appBase      = "0a6b1c5e-9d27-4f38-8b41-c2d3e4f5a6b0"
	appMailboxes = "0a6b1c5e-9d27-4f38-8b41-c2d3e4f5a6b2"
	appOwn       = "0a6b1c5e-9d27-4f38-8b41-c2d3e4f5a6b9"
)

func (f *fake) Pause(_ context.Context, id, actor string) (connection.Connection, error) {
	return f.govern("pause", id, actor)
}

func (f *fake) Resume(_ context.Context, id, actor string) (connection.Connection, error) {
	return f.govern("resume", id, actor)
}

func (f *fake) Offboard(_ context.Context, id string, purge bool, actor string) (connection.Connection, error) {
	return f.govern(fmt.Sprintf("offboard, purge %t", purge), id, actor)
}

func (f *fake) Transfer(_ context.Context, from, to, actor string) (connection.Connection, error) {
	return f.govern("transfer to "+to, from, actor)
}

func (f *fake) Note(_ context.Context, e connection.Entry) error {
	if f.notes == 0 {
		return fault.New(fault.Unknown, "tables: 500 from secret.table.example")
	}
	f.notes--
	e.ID = fmt.Sprintf("%06d", 999999-len(f.entries))
	f.entries = append(f.entries, e)
	return nil
}

func (f *fake) Entries(_ context.Context, id, after string, limit int) ([]connection.Entry, string, error) {
	var of []connection.Entry
	for _, e := range slices.Backward(f.entries) {
		if e.Connection == id {
			of = append(of, e)
		}
	}
	return cut(of, func(e connection.Entry) string { return e.ID }, after, limit, f.read())
}

func (f *fake) OwnApp(_ context.Context, secret string) (string, error) { return f.ownApp(secret) }

func (f *fake) Expiring(_ context.Context, within time.Duration, owns map[string]string) ([]connection.Expiry, error) {
	return f.expiring(within, owns)
}

func (f *fake) Wave(context.Context) (connection.Wave, error) { return f.wave, f.err }

// set changes a stored connection.
func (b *bench) set(id string, change func(*connection.Connection)) {
	c := b.connections[id]
	change(&c)
	b.connections[id] = c
}
