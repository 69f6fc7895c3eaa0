// Package synctimer is the timer that starts the runs that are due. A tick
// that comes twice, or late, starts nothing twice.
package synctimer

import (
	"context"

	"rollcall/internal/funchost"
)

// Scheduler starts the runs that are due.
type Scheduler interface {
	Tick(ctx context.Context) error
}

// Do returns the work of one tick. What the host says of the schedule is
// ignored: the stored slots decide.
func Do(s Scheduler) func(context.Context, funchost.Invocation) error {
	return func(ctx context.Context, _ funchost.Invocation) error { return s.Tick(ctx) }
}
