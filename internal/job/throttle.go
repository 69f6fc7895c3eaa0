package job

import "time"

// Throttle is Microsoft's demand that all tenants of an app slow down. It is
// stored, since instances share no memory.
type Throttle struct {
	// Until is when they may ask again.
	Until time.Time `json:"until"`
	// Scope is what Microsoft calls it.
	Scope string `json:"scope"`
	// Version is the row's; empty before the first.
	Version string `json:"-"`
}

// Standing is the code of a run's wait for a throttle that it has not met
// itself: it has asked for nothing, and so nothing has failed.
const Standing = "throttle_standing"
