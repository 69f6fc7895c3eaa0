// Package pages shows the administrator of a company where they stand, in
// HTML that needs no script.
//
// Every text that comes from outside is escaped, and every answer forbids
// scripts, frames, referrers and caching: an address holds a secret.
package pages

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"

	"rollcall/internal/consent"
	"rollcall/internal/fault"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed style.css
var style string

// Pages renders. It is safe for concurrent use.
type Pages struct {
	product   string
	origin    string
	policy    string
	speeches  []speech
	matcher   language.Matcher
	templates *template.Template
	log       *slog.Logger
}

// New returns pages that speak for a product, served below the address public
// and sending people to the sign-in service authority. It returns
// [fault.Invalid] if one of the addresses is none.
func New(product, public, authority string, log *slog.Logger) (*Pages, error) {
	origin, err := originOf(public)
	if err != nil {
		return nil, err
	}
	signIn, err := originOf(authority)
	if err != nil {
		return nil, err
	}
	all, err := loadSpeeches()
	if err != nil {
		return nil, err
	}
	templates, err := template.ParseFS(templateFiles, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	sum := sha256.Sum256([]byte(style))
	return &Pages{
		product: product, origin: origin, speeches: all, matcher: newMatcher(), templates: templates, log: log,
		// form-action names the authority because Chromium holds the redirect
		// that answers a form to it as well.
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; " +
			"form-action 'self' " + signIn + "; base-uri 'none'; frame-ancestors 'none'",
	}, nil
}

// originOf returns an address's scheme and host as a browser writes them.
func originOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", fault.New(fault.Invalid, "pages: %q is no address of a website", address)
	}
	return strings.ToLower(u.Scheme + "://" + u.Host), nil
}

// Fail shows an error, and logs it: this is where it stops. A
// [*consent.Refusal] is explained; anything else is our trouble, and shows
// only a reference by which it can be found in the log.
func (p *Pages) Fail(w http.ResponseWriter, r *http.Request, err error) {
	var refusal *consent.Refusal
	if errors.As(err, &refusal) {
		p.log.InfoContext(r.Context(), "refused", "cause", string(refusal.Cause), "connection", refusal.Connection,
			"tenant", refusal.Tenant, "code", refusal.Code, "err", err)
		p.refused(w, r, refusal)
		return
	}
	reference := strings.ToLower(rand.Text()[:10])
	p.log.ErrorContext(r.Context(), "page failed", "ref", reference, "err", err)
	status, key := http.StatusServiceUnavailable, "busy"
	f := fault.Of(err)
	switch f.Kind {
	case fault.Denied, fault.Invalid, fault.NotFound:
		status, key = http.StatusInternalServerError, "error"
	default:
		after := max(f.After, time.Minute)
		w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	}
	pg := p.page(r, "")
	pg.Facts = []fact{{pg.T("fact.reference"), reference}}
	p.explain(w, r, status, key, pg)
}

// statuses are those of causes that are not plainly forbidden.
var statuses = map[consent.Cause]int{
	consent.LinkUnknown:    http.StatusNotFound,
	consent.LinkExpired:    http.StatusGone,
	consent.LinkRevoked:    http.StatusGone,
	consent.LinkEnded:      http.StatusGone,
	consent.BadRequest:     http.StatusBadRequest,
	consent.StateUnknown:   http.StatusBadRequest,
	consent.BoundElsewhere: http.StatusConflict,
	consent.TenantOwned:    http.StatusConflict,
}

// notAttempts are the causes that end nothing that was under way: what an
// earlier visit brought about stands.
var notAttempts = map[consent.Cause]bool{
	consent.LinkUnknown: true, consent.LinkExpired: true, consent.LinkRevoked: true, consent.LinkEnded: true,
	consent.BadRequest: true, consent.StateUnknown: true,
}

func (p *Pages) refused(w http.ResponseWriter, r *http.Request, refusal *consent.Refusal) {
	pg := p.page(r, refusal.Company)
	if !notAttempts[refusal.Cause] {
		pg.Kept = []string{pg.T("refused.nothing"), pg.T("refused.noted.nobody")}
		if refusal.Renewal {
			pg.Kept[0] = pg.T("refused.nothing.again")
		}
		if refusal.Proven() {
			pg.Kept[1] = pg.T("refused.noted")
		}
	}
	pg.Again = pg.Keep(refusal.Link)
	pg.Approval = refusal.Cause == consent.NotAdministrator
	if pg.Approval || refusal.Cause == consent.ConsentFailed {
		pg.letter(refusal.Link)
	}
	for _, f := range []fact{
		{"fact.tenant", refusal.Tenant}, {"fact.object", refusal.Object},
		{"fact.expected", refusal.Expected}, {"fact.code", refusal.Code},
	} {
		if f.Value != "" {
			pg.Facts = append(pg.Facts, fact{pg.T(f.Name), f.Value})
		}
	}
	status, ok := statuses[refusal.Cause]
	if !ok {
		status = http.StatusForbidden
	}
	if refusal.Renewal && refusal.Cause == consent.ConsentDeclined {
		pg.Todo = pg.T("consent-declined.todo.again")
	}
	p.explain(w, r, status, string(refusal.Cause), pg)
}

// explain writes a page that says what happened and what to do, as the key's
// texts have it unless the page has one of its own.
func (p *Pages) explain(w http.ResponseWriter, r *http.Request, status int, key string, pg page) {
	pg.Title, pg.Happened = pg.T(key+".title"), pg.T(key+".happened")
	if pg.Todo == "" {
		pg.Todo = pg.T(key + ".todo")
	}
	pg.Tone = "halt"
	if status >= http.StatusInternalServerError || status == http.StatusForbidden {
		pg.Tone = "bad"
	}
	p.write(w, r, status, "refused", pg)
}

// write renders first and answers then, so that no half page is ever sent.
func (p *Pages) write(w http.ResponseWriter, r *http.Request, status int, name string, pg page) {
	var body, whole bytes.Buffer
	err := p.templates.ExecuteTemplate(&body, name, pg)
	if err == nil {
		pg.Body = template.HTML(body.String()) // the output of html/template
		err = p.templates.ExecuteTemplate(&whole, "layout", pg)
	}
	p.headers(w.Header())
	if err != nil {
		p.log.ErrorContext(r.Context(), "page not rendered", "page", name, "err", err)
		http.Error(w, "Something is wrong on our side.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", pg.Lang)
	w.Header().Set("Vary", "Accept-Language, Cookie")
	w.Header().Set("Content-Length", strconv.Itoa(whole.Len()))
	w.WriteHeader(status)
	w.Write(whole.Bytes()) // an error means that nobody is there to be told
}

// headers are those of every answer, redirects included.
func (p *Pages) headers(h http.Header) {
	h.Set("Content-Security-Policy", p.policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
