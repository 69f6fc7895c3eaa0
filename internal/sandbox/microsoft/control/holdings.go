package control

import (
	"net/http"
	"slices"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// tune changes how the tenant's Graph answers.
func (a api) tune(r *http.Request) (int, any, error) {
	var body struct {
		LagCount       *int  `json:"lagCount"`
		ConcealedNames *bool `json:"displayConcealedNames"`
	}
	if err := read(r, &body); err != nil {
		return 0, nil, err
	}
	return a.do(r, func(t *tenant.Tenant) error {
		if body.LagCount != nil {
			if err := t.LagCount(*body.LagCount); err != nil {
				return err
			}
		}
		if body.ConcealedNames != nil {
			t.Conceal(*body.ConcealedNames)
		}
		return nil
	})
}

func (a api) skus(r *http.Request) (int, any, error) {
	t, err := a.in(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, slices.Concat([]tenant.SKU{}, t.SKUs()), nil
}

func (a api) setSKUs(r *http.Request) (int, any, error) {
	var skus []tenant.SKU
	if err := read(r, &skus); err != nil {
		return 0, nil, err
	}
	return a.do(r, func(t *tenant.Tenant) error { return t.SetSKUs(skus) })
}

func (a api) setMailbox(r *http.Request) (int, any, error) {
	var m tenant.Mailbox
	if err := read(r, &m); err != nil {
		return 0, nil, err
	}
	return a.do(r, func(t *tenant.Tenant) error { return t.SetMailbox(r.PathValue("id"), m) })
}

func (a api) removeMailbox(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { return t.RemoveMailbox(r.PathValue("id")) })
}
