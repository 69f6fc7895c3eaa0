package reconcile

import (
	"slices"
	"strings"
	"testing"
)

// However many lanes there are, every letter is in one share, and no share has
// more than Graph joins by or.
func TestShares(t *testing.T) {
	for lanes := 1; lanes <= 64; lanes++ {
		for _, letters := range []string{alphabet, alphabet + "@"} {
			all := shares(letters, lanes)
			for _, s := range all {
				if len(s) < 1 || len(s) > 10 {
					t.Errorf("%d lanes: a share of %d letters", lanes, len(s))
				}
			}
			got, want := []byte(strings.Join(all, "")), []byte(letters)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) || len(all) < min(lanes, len(letters)) {
				t.Errorf("%d lanes: %d shares with %q", lanes, len(all), got)
			}
		}
	}
}
