package schedule

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The next slot is the first of its grid that lies after now.
func TestNextSlot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.Int64Range(int64(time.Minute), int64(7*24*time.Hour)).Draw(t, "interval"))
		slot := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "slot"), rapid.Int64Range(0, 999999999).Draw(t, "nanos"))
		now := slot.Add(time.Duration(rapid.Int64Range(0, int64(5*365*24*time.Hour)).Draw(t, "late")))
		next := nextSlot(slot, now, interval)
		if !next.After(now) || next.Sub(now) > interval {
			t.Errorf("next slot %s is %s after now", next, next.Sub(now))
		}
		if next.Sub(slot)%interval != 0 {
			t.Errorf("next slot %s is off the grid of %s by %s", next, interval, next.Sub(slot)%interval)
		}
	})
}

func TestSpreadOfOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.String().Draw(t, "id")
		window := time.Duration(rapid.Int64Range(-5, int64(24*time.Hour)).Draw(t, "window"))
		d := spread(id, window)
		if d != spread(id, window) || d < 0 || d > 0 && d >= window || d%time.Second != 0 {
			t.Errorf("%s in a window of %s", d, window)
		}
	})
}
