// Package api is the function that answers the vendor's machine API.
//
// It is reached with a function key only, and has no routes beside those of
// the OpenAPI document.
package api

import (
	"net/http"

	machine "rollcall/internal/api"
)

// Pattern is where the handler is mounted; function.json says the same to the
// host. Methods are listed there generously, so that a wrong one gets the
// API's own 405.
const Pattern = "/v1/"

// Handler answers the function's requests.
func Handler(a *machine.API) http.Handler { return a }
