package entra

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// authorizeFields are the parameters that the sign-in page carries on.
var authorizeFields = []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method"}

// form reads query and body, of which both may hold parameters.
func (s *Server) form(w http.ResponseWriter, r *http.Request) *refusal {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return refuse(9002313, "The body is no form of at most %d bytes.", maxForm)
	}
	return nil
}

// visit reads a page's request: the tenant, the form and the app. Until the
// app and its redirect URI are proven nothing may be sent to that URI.
func (s *Server) visit(w http.ResponseWriter, r *http.Request) (segment string, client AppSpec, refused *refusal) {
	if segment, refused = s.segment(r); refused != nil {
		return segment, client, refused
	}
	if refused = s.form(w, r); refused != nil {
		return segment, client, refused
	}
	client, refused = s.at(r.Form.Get("client_id"), segment)
	if uri := r.Form.Get("redirect_uri"); refused == nil && !slices.Contains(client.RedirectURIs, uri) {
		refused = refuse(50011, "'%.256s'", uri)
	}
	return segment, client, refused
}

// back sends the browser to the app.
func (s *Server) back(w http.ResponseWriter, r *http.Request, q url.Values) {
	if state := r.Form.Get("state"); state != "" {
		q.Set("state", state)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", withQuery(r.Form.Get("redirect_uri"), q))
	w.WriteHeader(http.StatusFound)
}

// authorize is the sign-in page: GET shows the accounts, POST has chosen one.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	seg, client, refused := s.visit(w, r)
	if refused != nil {
		s.fail(w, r, refused)
		return
	}
	f := r.Form
	bad := func(err, text string) {
		s.back(w, r, url.Values{"error": {err}, "error_description": {text}})
	}
	scopes := strings.Fields(f.Get("scope"))
	switch {
	case f.Get("response_type") != "code":
		bad("unsupported_response_type", "AADSTS700054: response_type must be 'code'.")
	case f.Get("response_mode") != "" && f.Get("response_mode") != "query":
		bad("invalid_request", "AADSTS70007: response_mode must be 'query'.")
	case !slices.Contains(scopes, "openid"):
		bad("invalid_scope", "AADSTS70011: The scope must contain 'openid'.")
	case f.Get("code_challenge") != "" && f.Get("code_challenge_method") != "S256":
		bad("invalid_request", "AADSTS501491: code_challenge_method must be 'S256'.")
	case f.Get("prompt") == "none":
		bad("login_required", "AADSTS50058: A silent sign-in request was sent but no user is signed in.")
	case r.PostForm.Get("action") == "cancel":
		bad("access_denied", s.describe(refuse(65004, ""), uuid.NewString(), uuid.NewString()))
	case r.Method == http.MethodPost:
		a, ok := s.Tenants.Account(r.PostForm.Get("account"))
		if !ok || (!anyTenant(seg) && a.Tenant != seg) {
			s.fail(w, r, refuse(50020, ""))
			return
		}
		if a.Tenant != tenant.PersonalTenant {
			remember(w, a)
		}
		s.back(w, r, url.Values{"code": {s.issue(code{
			app: client.ID, account: a, redirect: f.Get("redirect_uri"), nonce: f.Get("nonce"), challenge: f.Get("code_challenge"),
		})}, "session_state": {uuid.NewString()}})
	default:
		s.show(w, r, http.StatusOK, "accounts", page{
			Title: "Pick an account", Note: "to continue to " + client.Name, Action: r.URL.Path,
			Hidden: hide(f, authorizeFields...), Groups: s.groups(seg, true),
		})
	}
}
