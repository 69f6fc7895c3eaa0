package entra

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"rollcall/internal/sandbox/microsoft/tenant"
)

var consentFields = []string{"client_id", "redirect_uri", "scope", "state"}

// adminConsent is the admin consent page: who is signed in, what is asked
// for, and the decision. As at Microsoft, admin_consent=True is in the
// redirect whatever happened (documented, "Admin consent").
func (s *Server) adminConsent(w http.ResponseWriter, r *http.Request) {
	seg, client, refused := s.visit(w, r)
	if refused == nil && (seg == "common" || seg == tenant.PersonalTenant) {
		refused = refuse(50020, "Use an organization's tenant.")
	}
	if refused == nil && r.Form.Get("scope") == "" {
		refused = refuse(900144, "scope")
	}
	if refused != nil {
		s.fail(w, r, refused)
		return
	}
	if r.PostForm.Get("action") == "cancel" {
		s.decline(w, r)
		return
	}
	a, ok := s.signedIn(r, seg)
	if !ok || r.PostForm.Get("action") == "switch" {
		s.show(w, r, http.StatusOK, "accounts", page{
			Title: "Sign in to review permissions", Note: "The permissions of " + client.Name + " can be reviewed with an account of this organization.",
			Action: r.URL.Path, Hidden: hide(r.Form, consentFields...), Groups: s.groups(seg, false),
		})
		return
	}
	remember(w, a)
	t := s.Tenants.Get(a.Tenant)
	asked := s.asked(client, r.Form.Get("scope"))
	if r.PostForm.Get("action") == "accept" && a.MayConsent() {
		t.Consent(client.ID, asked, s.ConsentDelay())
		scopes := make([]string, len(asked))
		for i, p := range asked {
			scopes[i] = GraphResource + "/" + p
		}
		s.back(w, r, url.Values{"admin_consent": {"True"}, "tenant": {t.ID}, "scope": {strings.Join(scopes, " ")}})
		return
	}
	status := http.StatusOK
	if r.PostForm.Get("action") == "accept" {
		status = http.StatusForbidden
	}
	s.show(w, r, status, "consent", page{
		Title: "Permissions requested", Action: r.URL.Path,
		Hidden:  append(hide(r.Form, consentFields...), field{Name: "account", Value: a.ID}),
		Account: a, May: a.MayConsent(), App: client.Name, Tenant: t.Name, Permissions: asked,
	})
}

// asked are the application permissions that a consent to the scope grants:
// all of the app's for /.default, none otherwise, since single scopes are
// delegated ones.
func (s *Server) asked(client AppSpec, scope string) []string {
	for _, sc := range strings.Fields(scope) {
		if res, ok := strings.CutSuffix(sc, "/.default"); ok && (sameResource(res, GraphResource) || sameResource(res, s.Graph)) {
			return client.Permissions
		}
	}
	return nil
}

func (s *Server) decline(w http.ResponseWriter, r *http.Request) {
	text := s.describe(refuse(65004, "The resource owner or authorization server denied the request."), uuid.NewString(), uuid.NewString())
	s.back(w, r, url.Values{"admin_consent": {"True"}, "error": {"access_denied"}, "error_description": {text}})
}
