// Package syncnow is the function that starts a sync which an operator asked
// for.
//
// It is a function of its own so that its invocations are counted, watched
// and switched off by themselves; the route is the machine API's, so that one
// registration checks and describes it. Whichever of the two functions the
// host picks for the route, the answer is the same.
package syncnow

import (
	"net/http"

	machine "rollcall/internal/api"
)

// Pattern is where the handler is mounted; function.json says the same to the
// host.
const Pattern = "POST /v1/connections/{id}/sync"

// Handler answers the function's requests.
func Handler(a *machine.API) http.Handler { return a }
