// Package connect is the page behind the secure link, and its one button.
//
// A GET or HEAD changes nothing and needs no cookie, because mail scanners
// open links before people do.
package connect

import (
	"net/http"

	"rollcall/internal/consent"
	"rollcall/internal/pages"
)

// Handler serves GET and HEAD /connect/{link} and POST /connect/{link}/authorize.
func Handler(flow *consent.Flow, pg *pages.Pages) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /connect/{link}", func(w http.ResponseWriter, r *http.Request) {
		v, err := flow.Look(r.Context(), r.PathValue("link"))
		if err != nil {
			pg.Fail(w, r, err)
			return
		}
		pg.View(w, r, v)
	})
	mux.HandleFunc("POST /connect/{link}/authorize", func(w http.ResponseWriter, r *http.Request) {
		if !pg.Button(w, r) {
			return
		}
		browser := pages.Bind(w, r)
		to, err := flow.Begin(r.Context(), r.PathValue("link"), browser)
		if err != nil {
			pg.Fail(w, r, err)
			return
		}
		pg.See(w, to)
	})
	mux.HandleFunc("/connect/{link}", func(w http.ResponseWriter, r *http.Request) {
		pg.WrongMethod(w, r, "GET, HEAD")
	})
	mux.HandleFunc("/connect/{link}/authorize", func(w http.ResponseWriter, r *http.Request) {
		pg.WrongMethod(w, r, "POST")
	})
	mux.HandleFunc("/", pg.NotFound)
	return pg.Guard(mux)
}
