// Package consentcallback is where Microsoft sends the administrator back to,
// after signing in and again after consenting.
//
// What it receives is a rumor that anybody can spread; the use case proves it.
package consentcallback

import (
	"net/http"
	"net/url"

	"rollcall/internal/consent"
	"rollcall/internal/pages"
)

// Handler serves GET /consent/callback.
func Handler(flow *consent.Flow, pg *pages.Pages) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/consent/callback", func(w http.ResponseWriter, r *http.Request) {
		// HEAD too is refused: a return can be used only once.
		if r.Method != http.MethodGet {
			pg.WrongMethod(w, r, "GET")
			return
		}
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			pg.Fail(w, r, &consent.Refusal{Cause: consent.BadRequest, Err: err})
			return
		}
		to, err := flow.Return(r.Context(), query, pages.Browser(r))
		if err != nil {
			pg.Fail(w, r, err)
			return
		}
		pg.See(w, to)
	})
	mux.HandleFunc("/", pg.NotFound)
	return pg.Guard(mux)
}
