// Package janitor is the timer that repairs what crashes left behind. A tick
// that comes twice repairs nothing twice.
package janitor

import (
	"context"

	"rollcall/internal/funchost"
)

// Sweeper does one round of repairs.
type Sweeper interface {
	Sweep(ctx context.Context) error
}

// Do returns the work of one tick.
func Do(s Sweeper) func(context.Context, funchost.Invocation) error {
	return func(ctx context.Context, _ funchost.Invocation) error { return s.Sweep(ctx) }
}
