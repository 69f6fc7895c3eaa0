package pages

import (
	"errors"
	"io"
	"net/http"

	"rollcall/internal/consent"
)

const (
	// maxQuery bounds a query in bytes: an authorization code and an error
	// description together stay far below.
	maxQuery = 16 << 10
	// maxBody bounds a form in bytes; ours is empty.
	maxBody = 64 << 10
	// browserCookie ties a sign-in to a browser. __Host- means that only this
	// very host can have set it.
	browserCookie = "__Host-rollcall-browser"
	// browserAge is how many seconds the browser keeps it: both trips to
	// Microsoft, of 15 minutes each, and a pause between them.
	browserAge = 3600
)

// Guard answers what no page of ours sends, and passes on the rest: queries of
// at most 16 KiB, bodies of at most 64 KiB.
func (p *Pages) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.URL.RawQuery) > maxQuery || r.ContentLength > maxBody {
			p.TooLarge(w, r)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// Button reports whether the request is a press of the button on our own
// page, and answers it if not. Nothing in the form is used, so it is only
// drained.
//
// Browsers say where a form comes from: Sec-Fetch-Site, or Origin in older
// ones. Who sends neither is a program, which cannot be tricked into using
// somebody's cookies. Our own forms' Origin is null, because pages forbid
// referrers, so null is good only with Sec-Fetch-Site.
func (p *Pages) Button(w http.ResponseWriter, r *http.Request) bool {
	ours := false
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		ours = true
	case "":
		origin := r.Header.Get("Origin")
		ours = origin == "" || origin == p.origin
	}
	if !ours {
		p.log.InfoContext(r.Context(), "refused", "cause", "cross-site")
		p.explain(w, r, http.StatusForbidden, "cross-site", p.page(""))
		return false
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		if errors.As(err, new(*http.MaxBytesError)) {
			p.TooLarge(w, r)
			return false
		}
		p.Fail(w, r, &consent.Refusal{Cause: consent.BadRequest, Err: err})
		return false
	}
	return true
}

// Browser returns the secret of the browser that sent the request, or empty.
func Browser(r *http.Request) string {
	c, err := r.Cookie(browserCookie)
	if err != nil || !consent.ValidSecret(c.Value) {
		return ""
	}
	return c.Value
}

// Bind returns the browser's secret, and gives it one for the time of a
// sign-in. A secret that it has is kept, so that two tabs do not disturb each
// other.
func Bind(w http.ResponseWriter, r *http.Request) string {
	secret := Browser(r)
	if secret == "" {
		secret = consent.NewSecret()
	}
	http.SetCookie(w, &http.Cookie{
		Name: browserCookie, Value: secret, Path: "/", MaxAge: browserAge,
		Secure: true, HttpOnly: true,
		// Lax: it must come along when Microsoft sends the browser back.
		SameSite: http.SameSiteLaxMode,
	})
	return secret
}

// See sends the browser to another page by GET.
func (p *Pages) See(w http.ResponseWriter, to string) {
	p.headers(w.Header())
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// NotFound answers an address that is no page.
func (p *Pages) NotFound(w http.ResponseWriter, r *http.Request) {
	p.explain(w, r, http.StatusNotFound, "not-found", p.page(""))
}

// WrongMethod answers a method that the address does not know.
func (p *Pages) WrongMethod(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	p.explain(w, r, http.StatusMethodNotAllowed, "wrong-method", p.page(""))
}

// TooLarge answers a request beyond the limits.
func (p *Pages) TooLarge(w http.ResponseWriter, r *http.Request) {
	p.explain(w, r, http.StatusRequestEntityTooLarge, "too-large", p.page(""))
}
