package job

import (
	"context"
	"sync/atomic"
)

// Meter counts what requests to Graph cost. It is safe for concurrent use.
type Meter struct{ calls, units atomic.Int64 }

type meterKey struct{}

// Metered returns a context under which calls to Graph count on m.
func Metered(ctx context.Context, m *Meter) context.Context {
	return context.WithValue(ctx, meterKey{}, m)
}

// Count counts one request and what it cost; without a meter, nothing.
func Count(ctx context.Context, units int) {
	if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
		m.calls.Add(1)
		m.units.Add(int64(units))
	}
}

// Take returns what was counted since the last Take.
func (m *Meter) Take() (calls, units int) {
	return int(m.calls.Swap(0)), int(m.units.Swap(0))
}
