// Package control is the HTTP interface by which tests and people steer the
// Microsoft stand-in. It changes nothing unless the whole request is valid.
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"rollcall/internal/sandbox/microsoft/entra"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
	"rollcall/internal/sandbox/microsoft/vault"
)

// Config is what the control API steers.
type Config struct {
	Tenants         *tenant.Registry
	Faults          *fault.Set
	Entra           *entra.Server
	Vault           *vault.Server
	AddTenant       func(tenant.Spec) (*tenant.Tenant, error)
	RotateKeys      func() error
	SetConsentDelay func(time.Duration)
}

type api struct{ Config }

// maxBody bounds a request body in bytes.
const maxBody = 1 << 20

// failure is an error with the status to answer it with.
type failure struct {
	status int
	error
}

func invalid(format string, args ...any) error {
	return failure{http.StatusBadRequest, fmt.Errorf(format, args...)}
}

// New makes the control API.
func New(c Config) http.Handler {
	a := api{c}
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(*http.Request) (int, any, error){
		"GET /tenants":                                          a.tenants,
		"POST /tenants":                                         a.addTenant,
		"GET /tenants/{tenant}":                                 a.tenant,
		"GET /tenants/{tenant}/people":                          a.people,
		"POST /tenants/{tenant}/people":                         a.create,
		"GET /tenants/{tenant}/people/{id}":                     a.person,
		"PATCH /tenants/{tenant}/people/{id}":                   a.update,
		"DELETE /tenants/{tenant}/people/{id}":                  a.remove,
		"POST /tenants/{tenant}/restore/{id}":                   a.restore,
		"POST /tenants/{tenant}/purge/{id}":                     a.purge,
		"GET /tenants/{tenant}/deleted":                         a.deleted,
		"POST /tenants/{tenant}/bulk":                           a.bulk,
		"POST /tenants/{tenant}/forget":                         a.forget,
		"POST /tenants/{tenant}/consent":                        a.consent,
		"DELETE /tenants/{tenant}/consent":                      a.revoke,
		"DELETE /tenants/{tenant}/roles/{role}":                 a.removeRole,
		"PUT /tenants/{tenant}/roles/{role}":                    a.addRole,
		"PATCH /tenants/{tenant}":                               a.tune,
		"GET /tenants/{tenant}/skus":                            a.skus,
		"PUT /tenants/{tenant}/skus":                            a.setSKUs,
		"PUT /tenants/{tenant}/mailboxes/{id}":                  a.setMailbox,
		"DELETE /tenants/{tenant}/mailboxes/{id}":               a.removeMailbox,
		"POST /tenants/{tenant}/reinstate":                      a.reinstate,
		"PUT /tenants/{tenant}/block/{code}":                    a.block,
		"DELETE /tenants/{tenant}/block":                        a.unblock,
		"POST /tenants/{tenant}/disable":                        a.disable,
		"POST /tenants/{tenant}/enable":                         a.enable,
		"GET /tenants/{tenant}/groups":                          a.groups,
		"POST /tenants/{tenant}/groups":                         a.createGroup,
		"GET /tenants/{tenant}/groups/{id}":                     a.group,
		"PATCH /tenants/{tenant}/groups/{id}":                   a.updateGroup,
		"DELETE /tenants/{tenant}/groups/{id}":                  a.removeGroup,
		"POST /tenants/{tenant}/groups/{id}/restore":            a.restoreGroup,
		"POST /tenants/{tenant}/groups/{id}/purge":              a.purgeGroup,
		"PUT /tenants/{tenant}/groups/{id}/members/{member}":    a.addMember,
		"DELETE /tenants/{tenant}/groups/{id}/members/{member}": a.removeMember,
		"GET /apps":                    a.apps,
		"POST /apps":                   a.addApp,
		"PATCH /apps/{app}":            a.editApp,
		"GET /vault/secrets":           a.vaultSecrets,
		"PUT /vault/secrets/{name}":    a.setVaultSecret,
		"DELETE /vault/secrets/{name}": a.purgeVaultSecret,
		"PUT /vault/role/{role}":       a.setVaultRole,
		"GET /faults":                  a.faults,
		"POST /faults":                 a.addFault,
		"DELETE /faults":               a.clearFaults,
		"GET /faults/{id}":             a.fired,
		"DELETE /faults/{id}":          a.clearFault,
		"GET /counters":                a.counters,
		"POST /keys/rotate":            a.rotate,
		"PATCH /settings":              a.settings,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { answer(w, r, h) })
	}
	return mux
}

// answer runs a handler and writes what it returns, or its error. A browser's
// page of another origin has no business here.
func answer(w http.ResponseWriter, r *http.Request, h func(*http.Request) (int, any, error)) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	status, v, err := http.StatusForbidden, any(nil), error(failure{http.StatusForbidden, errors.New("requests from web pages are refused")})
	if r.Header.Get("Origin") == "" {
		status, v, err = h(r)
	}
	if err != nil {
		status, v = statusOf(err), map[string]string{"error": err.Error()}
	}
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return
	}
	b, merr := json.MarshalIndent(v, "", "  ")
	if merr != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client has gone: nobody to tell
}

func statusOf(err error) int {
	var f failure
	switch {
	case errors.As(err, &f):
		return f.status
	case errors.Is(err, tenant.ErrNotFound), errors.Is(err, vault.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, tenant.ErrConflict), errors.Is(err, tenant.ErrExists), errors.Is(err, fault.ErrFull):
		return http.StatusConflict
	case errors.Is(err, tenant.ErrInvalid), errors.Is(err, fault.ErrInvalid), errors.As(err, new(tenant.NotTracked)),
		errors.Is(err, entra.ErrApp), errors.Is(err, vault.ErrInvalid):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

// read decodes one JSON body into v; an absent body leaves v as it is.
func read(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var tooBig *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &tooBig):
		return failure{http.StatusRequestEntityTooLarge, fmt.Errorf("the body is longer than %d bytes", maxBody)}
	case err != nil:
		return invalid("body: %w", err)
	}
	if d.More() {
		return invalid("body: more than one JSON value")
	}
	return nil
}

// in finds the tenant of the path.
func (a api) in(r *http.Request) (*tenant.Tenant, error) {
	t := a.Tenants.Get(r.PathValue("tenant"))
	if t == nil {
		return nil, failure{http.StatusNotFound, fmt.Errorf("no tenant %.64q", r.PathValue("tenant"))}
	}
	return t, nil
}

func (a api) faults(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{"armed": a.Faults.List(), "spent": a.Faults.Spent()}, nil
}

func (a api) addFault(r *http.Request) (int, any, error) {
	var f fault.Fault
	if err := read(r, &f); err != nil {
		return 0, nil, err
	}
	id, err := a.Faults.Add(f)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, map[string]int{"id": id}, nil
}

func (a api) clearFaults(*http.Request) (int, any, error) {
	a.Faults.ClearAll()
	return http.StatusNoContent, nil, nil
}

func number(r *http.Request) (int, error) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return 0, invalid("id: want a number")
	}
	return id, nil
}

func (a api) fired(r *http.Request) (int, any, error) {
	id, err := number(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]int{"id": id, "fired": a.Faults.Fired(id)}, nil
}

func (a api) clearFault(r *http.Request) (int, any, error) {
	id, err := number(r)
	if err != nil {
		return 0, nil, err
	}
	if !a.Faults.Clear(id) {
		return 0, nil, failure{http.StatusNotFound, fmt.Errorf("no fault %d is armed", id)}
	}
	return http.StatusNoContent, nil, nil
}

func (a api) counters(*http.Request) (int, any, error) {
	out := map[string]map[string]int{}
	for _, t := range a.Tenants.All() {
		out[t.ID] = t.Calls()
	}
	return http.StatusOK, out, nil
}

func (a api) rotate(*http.Request) (int, any, error) {
	return http.StatusNoContent, nil, a.RotateKeys()
}

func (a api) settings(r *http.Request) (int, any, error) {
	var body struct {
		ConsentDelay *string  `json:"consentDelay"`
		RedirectURIs []string `json:"redirectUris"`
	}
	if err := read(r, &body); err != nil {
		return 0, nil, err
	}
	if body.ConsentDelay != nil {
		d, err := time.ParseDuration(*body.ConsentDelay)
		if err != nil || d < 0 {
			return 0, nil, invalid("consentDelay: want a duration such as \"90s\"")
		}
		a.SetConsentDelay(d)
	}
	if body.RedirectURIs != nil {
		return http.StatusNoContent, nil, a.Entra.SetRedirectURIs(body.RedirectURIs)
	}
	return http.StatusNoContent, nil, nil
}
