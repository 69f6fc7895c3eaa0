package connection

import "time"

// Wave is many connections at once of which Microsoft says that the app was
// withdrawn: so many customers do not leave within an hour, so the trouble is
// the vendor's. The zero Wave means that there never was one.
type Wave struct {
	// ID is random, of whoever found the wave.
	ID string `json:"id,omitempty"`
	// Since and Last are its first and its last sighting.
	Since time.Time `json:"since,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Tenants is how many connections were part of it, each as often as it was
	// seen again.
	Tenants int `json:"tenants,omitempty"`
	// Version is the store's opaque version of what was read; empty if nothing
	// is stored. A write with an old one is refused with [fault.Conflict].
	Version string `json:"-"`
}

// WaveLull is how long after its last sighting a wave is over, and the time
// within which sightings make one.
const WaveLull = time.Hour

// WaveMost is how long a wave lasts at most, and how long nobody is marked who
// was acquitted in one: a day, in which everybody is synced once and the vendor
// can mend what is wrong.
const WaveMost = 24 * time.Hour

// Open reports whether the wave is still going on.
func (w Wave) Open(now time.Time) bool { return !w.Last.IsZero() && !now.After(w.end()) }

// Has reports whether a sighting at that time is part of the wave, or carries
// it on.
func (w Wave) Has(at time.Time) bool {
	return !w.Last.IsZero() && !at.Before(w.Since.Add(-WaveLull)) && !at.After(w.end())
}

// end is the last moment of the wave.
func (w Wave) end() time.Time {
	lull, most := w.Last.Add(WaveLull), w.Since.Add(WaveMost)
	if lull.After(most) {
		return most
	}
	return lull
}
