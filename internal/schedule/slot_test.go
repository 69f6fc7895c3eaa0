package schedule

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Many are spread evenly over the window.
func TestSpreadOfMany(t *testing.T) {
	const many = 20_000
	var quarters [4]int
	for n := range many {
		quarters[spread(fmt.Sprintf("spread%020d", n), 10*time.Minute)*4/(10*time.Minute)]++
	}
	for _, n := range quarters {
		if n < many/4*9/10 || n > many/4*11/10 {
			t.Errorf("in the quarters of the window: %v", quarters)
			break
		}
	}
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
