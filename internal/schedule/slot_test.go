package schedule

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

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
