package host

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
)

// monitor is what the host remembers of a timer's schedule.
type monitor struct {
	mu     sync.Mutex
	status map[string]any // nil until the timer's listener has started
}

func (m *monitor) set(last, next, updated time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status = map[string]any{"Last": stamp(last), "Next": stamp(next), "LastUpdated": stamp(updated)}
}

func (m *monitor) get() any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.status == nil {
		return nil
	}
	return m.status
}

// stamp is a time in a timer's payload; one that never was has no zone
// (azure-functions-host issue 7391).
func stamp(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// fire invokes a timer's function now. A status is sent once the listener has
// stored one; a function that is only fired on demand sees null (source:
// TimerTriggerBinding.BindAsync).
func (h *Host) fire(ctx context.Context, f *function) error {
	now := h.now().UTC()
	var status any
	if f.trigger.useMonitor {
		status = h.monitors[f.name].get()
	}
	return h.run(ctx, f, invocation{
		Data: map[string]any{f.trigger.name: map[string]any{
			"Schedule":       map[string]any{"AdjustForDST": true},
			"ScheduleStatus": status,
			"IsPastDue":      false, // a schedule's memory begins with the host: nothing was missed
		}},
		Metadata: map[string]any{"sys": h.sys(f, now)},
	}, "")
}

// sys is the metadata that every invocation has (source).
func (h *Host) sys(f *function, now time.Time) map[string]any {
	return map[string]any{"MethodName": f.name, "UtcNow": now.UTC().Format("2006-01-02T15:04:05.9999999Z"), "RandGuid": uuid.NewString()}
}

// listenTimer fires a timer by its schedule, one run at a time: the next
// occurrence is looked for when a run has ended (source: TimerListener, a singleton).
func (h *Host) listenTimer(f *function) {
	m := h.monitors[f.name]
	var last time.Time
	if f.trigger.runOnStartup {
		_ = h.fire(h.ctx, f) // logged and counted
	}
	for {
		now := h.now()
		next := f.trigger.schedule.next(now)
		if next.IsZero() {
			return
		}
		m.set(last, next, now)
		wait := time.NewTimer(next.Sub(now))
		select {
		case <-wait.C:
		case <-h.ctx.Done():
			wait.Stop()
			return
		}
		last = next
		_ = h.fire(h.ctx, f) // logged and counted; the next occurrence is the retry
	}
}

// Fire runs a timer's function now, disabled or not, as POST
// /admin/functions/{name} does, and waits for its end.
func (h *Host) Fire(ctx context.Context, name string) error {
	f := h.find(name)
	if f == nil || f.trigger.kind != timerTrigger {
		return fmt.Errorf("host: fire %s: no such timer", name)
	}
	return h.fire(ctx, f)
}
