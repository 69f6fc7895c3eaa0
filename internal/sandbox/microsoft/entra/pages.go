package entra

import (
	"bytes"
	"html/template"
	"net/http"
	"net/url"
	"slices"

	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/wire"
)

// pages are plain HTML: every choice is a submit button of one form, whose
// hidden fields hold the whole state, so a keyboard, a browser and a program
// that reads forms can all use them.
var pages = template.Must(template.New("").Parse(`
{{define "head"}}<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}button{font:inherit;padding:.4rem .8rem;margin:.2rem 0}
li{margin:.3rem 0}ul.accounts{list-style:none;padding:0}ul.accounts button{width:100%;text-align:left}.note{border-left:.3rem solid #888;padding-left:.7rem}</style></head>
<body><main><p class="note">Microsoft stand-in of the Rollcall sandbox. No password is asked for.</p><h1>{{.Title}}</h1>{{end}}

{{define "foot"}}</main></body></html>{{end}}

{{define "form"}}<form method="post" action="{{.Action}}">
{{range .Hidden}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">
{{end}}{{end}}

{{define "accounts"}}{{template "head" .}}{{with .Note}}<p>{{.}}</p>{{end}}
{{template "form" .}}{{range .Groups}}<h2>{{.Name}}</h2>
<ul class="accounts">{{range .Accounts}}
<li><button type="submit" name="account" value="{{.ID}}">{{.Name}}, {{.Title}} ({{.Username}})</button></li>{{end}}
</ul>{{end}}
<p><button type="submit" name="action" value="cancel">Cancel</button></p></form>{{template "foot" .}}{{end}}

{{define "consent"}}{{template "head" .}}
<p>Signed in as <strong>{{.Account.Name}}</strong> ({{.Account.Username}}), {{.Account.Title}}.</p>
{{if .May}}<p><strong>{{.App}}</strong> asks for these permissions for everyone in <strong>{{.Tenant}}</strong>:</p>
<ul>{{range .Permissions}}<li>{{.}}</li>{{else}}<li>no application permissions</li>{{end}}</ul>
{{else}}<p>Approval required: only a Global Administrator or a Privileged Role Administrator of {{.Tenant}} may accept what <strong>{{.App}}</strong> asks for.</p>{{end}}
{{template "form" .}}{{if .May}}<button type="submit" name="action" value="accept">Accept</button>
{{end}}<button type="submit" name="action" value="cancel">Cancel</button>
<button type="submit" name="action" value="switch">Use another account</button></form>{{template "foot" .}}{{end}}

{{define "error"}}{{template "head" .}}<p role="alert">{{.Note}}</p>{{template "foot" .}}{{end}}
`))

type field struct{ Name, Value string }

type group struct {
	Name     string
	Accounts []tenant.Account
}

type page struct {
	Title, Note, Action string
	Hidden              []field
	Groups              []group
	Account             tenant.Account
	May                 bool
	App, Tenant         string
	Permissions         []string
}

// hide keeps the named parameters for the next step.
func hide(form url.Values, names ...string) []field {
	var out []field
	for _, n := range names {
		if form.Has(n) {
			out = append(out, field{Name: n, Value: form.Get(n)})
		}
	}
	return out
}

// show sends a page, never to be stored: it holds state.
func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, name string, p page) {
	var b bytes.Buffer
	rep := wire.Reply{Status: status, Header: http.Header{
		"Content-Type": {"text/html; charset=utf-8"}, "Cache-Control": {"no-store"}, "Referrer-Policy": {"no-referrer"},
		"X-Frame-Options": {"DENY"},
	}}
	if err := pages.ExecuteTemplate(&b, name, p); err != nil {
		rep.Status = http.StatusInternalServerError
		b.Reset()
		b.WriteString("page: " + err.Error())
		rep.Header.Set("Content-Type", "text/plain; charset=utf-8")
	}
	rep.Body = b.Bytes()
	s.Gate.Send(w, r, "", "", rep)
}

// fail shows a refusal that must not be sent to an unproven redirect URI.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, e *refusal) {
	s.show(w, r, http.StatusBadRequest, "error", page{Title: "Sorry, but we're having trouble signing you in", Note: e.Error()})
}

// groups lists the accounts that may sign in at the path's tenant.
func (s *Server) groups(segment string, personal bool) []group {
	var out []group
	for _, t := range s.Tenants.All() {
		if anyTenant(segment) || t.ID == segment {
			out = append(out, group{Name: t.Name + " (" + t.Domain + ")", Accounts: slices.Clone(t.Accounts)})
		}
	}
	if personal && anyTenant(segment) {
		out = append(out, group{Name: "Personal Microsoft account", Accounts: []tenant.Account{tenant.Personal()}})
	}
	return out
}

// session is the cookie that remembers who signed in last. Secure keeps it
// from the plain HTTP servers on the same loopback address.
const session = "rollcall-sandbox-account"

func remember(w http.ResponseWriter, a tenant.Account) {
	http.SetCookie(w, &http.Cookie{Name: session, Value: a.ID, Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
}

// signedIn is the account of the form's step before, or of the cookie, if it
// may act in the tenant.
func (s *Server) signedIn(r *http.Request, segment string) (tenant.Account, bool) {
	id := r.Form.Get("account")
	if c, err := r.Cookie(session); id == "" && err == nil {
		id = c.Value
	}
	a, ok := s.Tenants.Account(id)
	if !ok || a.Tenant == tenant.PersonalTenant || (!anyTenant(segment) && a.Tenant != segment) {
		return tenant.Account{}, false
	}
	return a, true
}
