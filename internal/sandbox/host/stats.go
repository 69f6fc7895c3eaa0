package host

import (
	"context"
	"maps"
	"sync"
)

// FunctionStats counts one function's invocations.
type FunctionStats struct{ Invocations, Failures int }

// Stats is a snapshot of what the host has done.
type Stats struct {
	Functions map[string]FunctionStats
	Restarts  int // of the worker, for whatever reason
	Errors    int // those restarts that counted as errors
}

// ledger counts, and knows when nothing is running.
type ledger struct {
	mu      sync.Mutex
	stats   Stats
	active  int
	closing bool
	idle    chan struct{} // closed while nothing is active
}

// busy marks work in hand until the returned function is called.
func (h *Host) busy() (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active++; h.active == 1 {
		h.idle = make(chan struct{})
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.active--; h.active == 0 {
			close(h.idle)
		}
	}
}

// begin marks an invocation as running until the returned function is told how it ended.
func (h *Host) begin(f *function) (done func(error)) {
	release := h.busy()
	return func(err error) {
		h.mu.Lock()
		s := h.stats.Functions[f.name]
		s.Invocations++
		if err != nil {
			s.Failures++
		}
		h.stats.Functions[f.name] = s
		h.mu.Unlock()
		release()
	}
}

func (h *Host) restarted(counted bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stats.Restarts++
	if counted {
		h.stats.Errors++
	}
}

// Stats is a snapshot; invocations count when they end.
func (h *Host) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.stats
	s.Functions = maps.Clone(s.Functions)
	return s
}

// Idle waits until no invocation is running and no message is unsettled.
func (h *Host) Idle(ctx context.Context) error {
	h.mu.Lock()
	idle := h.idle
	h.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
