package pages

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rollcall/internal/consent"
)

const (
	// maxQuery bounds a query in bytes: an authorization code and an error
	// description together stay far below.
	maxQuery = 16 << 10
	// maxBody bounds a form in bytes; ours is one short field.
	maxBody = 64 << 10
	// bodyTime is how long a form may take to arrive.
	bodyTime = 30 * time.Second
	// browserCookie ties a sign-in to a browser. __Host- means that only this
	// very host can have set it.
	browserCookie = "__Host-rollcall-browser"
	// browserAge is how many seconds the browser keeps it: both trips to
	// Microsoft, of 15 minutes each, and a pause between them.
	browserAge = 3600
	// mayField is the form's one field: that the person may consent.
	mayField, mayValue = "may", "yes"
)

// Guard answers what no page of ours sends, and passes on the rest: queries of
// at most 16 KiB, bodies of at most 64 KiB that have arrived within 30 s.
func (p *Pages) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.URL.RawQuery) > maxQuery || r.ContentLength > maxBody {
			p.TooLarge(w, r)
			return
		}
		// What comes slower is no browser's. A writer that knows no deadlines,
		// as in a test, has no connection to hold. The deadline is lifted again,
		// or net/http would end the request's context by it.
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(bodyTime))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		switch {
		case errors.As(err, new(*http.MaxBytesError)):
			p.TooLarge(w, r)
			return
		case err != nil:
			p.Fail(w, r, &consent.Refusal{Cause: consent.BadRequest, Err: err})
			return
		}
		_ = control.SetReadDeadline(time.Time{})
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// Button reports whether the request is a press of the button on our own
// page, and answers it if not. Confirmed is true if the person has also
// confirmed that they may consent; if not, [Pages.Unconfirmed] is the answer.
//
// Browsers say where a form comes from: Sec-Fetch-Site, or Origin in older
// ones. Who sends neither is a program, which cannot be tricked into using
// somebody's cookies. Our own forms' Origin is null, because pages forbid
// referrers, so null is good only with Sec-Fetch-Site.
func (p *Pages) Button(w http.ResponseWriter, r *http.Request) (confirmed, ok bool) {
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
		p.explain(w, r, http.StatusForbidden, "cross-site", p.page(r, ""))
		return false, false
	}
	body, err := io.ReadAll(r.Body) // of Guard: it is there
	if err != nil {
		p.Fail(w, r, &consent.Refusal{Cause: consent.BadRequest, Err: err})
		return false, false
	}
	// What is no form of ours has no such field: nothing was confirmed.
	form, err := url.ParseQuery(string(body))
	return err == nil && form.Get(mayField) == mayValue, true
}

// Browser returns the secret of the browser that sent the request, or empty.
func Browser(r *http.Request) string {
	secret, _ := browserOf(r)
	return secret
}

// browserOf reads the cookie: the browser's secret, then a dot and the chosen
// language if there is one.
func browserOf(r *http.Request) (secret, language string) {
	c, err := r.Cookie(browserCookie)
	if err != nil {
		return "", ""
	}
	secret, language, _ = strings.Cut(c.Value, ".")
	if !consent.ValidSecret(secret) {
		return "", ""
	}
	return secret, language
}

// Bind returns the browser's secret, and gives it one for the time of a
// sign-in, together with the language that was chosen. A secret that it has is
// kept, so that two tabs do not disturb each other.
func Bind(w http.ResponseWriter, r *http.Request) string {
	secret := Browser(r)
	if secret == "" {
		secret = consent.NewSecret()
	}
	value := secret
	if i := chosen(r); i >= 0 {
		value += "." + speeches[i].Code
	}
	http.SetCookie(w, &http.Cookie{
		Name: browserCookie, Value: value, Path: "/", MaxAge: browserAge,
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
	p.explain(w, r, http.StatusNotFound, "not-found", p.page(r, ""))
}

// WrongMethod answers a method that the address does not know.
func (p *Pages) WrongMethod(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	p.explain(w, r, http.StatusMethodNotAllowed, "wrong-method", p.page(r, ""))
}

// TooLarge answers a request beyond the limits.
func (p *Pages) TooLarge(w http.ResponseWriter, r *http.Request) {
	p.explain(w, r, http.StatusRequestEntityTooLarge, "too-large", p.page(r, ""))
}
