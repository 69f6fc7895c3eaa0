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
	look := func(w http.ResponseWriter, r *http.Request, show func(http.ResponseWriter, *http.Request, consent.View)) {
		v, err := flow.Look(r.Context(), r.PathValue("link"))
		if err != nil {
			pg.Fail(w, r, err)
			return
		}
		show(w, r, v)
	}
	mux.HandleFunc("GET /connect/{link}", func(w http.ResponseWriter, r *http.Request) {
		look(w, r, pg.View)
	})
	mux.HandleFunc("POST /connect/{link}/authorize", func(w http.ResponseWriter, r *http.Request) {
		confirmed, ok := pg.Button(w, r)
		switch {
		case !ok:
			return
		case !confirmed:
			look(w, r, pg.Unconfirmed)
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
