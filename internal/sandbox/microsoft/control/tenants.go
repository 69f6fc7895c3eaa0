package control

import (
	"net/http"
	"slices"
	"strconv"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// summary is a tenant without its people.
type summary struct {
	ID       string           `json:"id"`
	Name     string           `json:"name"`
	Domain   string           `json:"domain"`
	People   int              `json:"people"`
	Deleted  int              `json:"deleted"`
	Groups   int              `json:"groups"`
	Access   string           `json:"access"` // of the app
	Roles    []string         `json:"roles"`  // of its tokens
	Accounts []tenant.Account `json:"accounts"`
	Calls    map[string]int   `json:"calls"`
}

func (a api) summarize(t *tenant.Tenant) summary {
	access, roles := t.Access(a.AppID)
	return summary{
		ID: t.ID, Name: t.Name, Domain: t.Domain, People: t.Len(), Deleted: len(t.Deleted()), Groups: t.GroupCount(),
		Access: access.String(), Roles: roles, Accounts: t.Accounts, Calls: t.Calls(),
	}
}

func (a api) tenants(*http.Request) (int, any, error) {
	out := []summary{}
	for _, t := range a.Tenants.All() {
		out = append(out, a.summarize(t))
	}
	return http.StatusOK, out, nil
}

func (a api) addTenant(r *http.Request) (int, any, error) {
	var spec tenant.Spec
	if err := read(r, &spec); err != nil {
		return 0, nil, err
	}
	t, err := a.AddTenant(spec)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, a.summarize(t), nil
}

func (a api) tenant(r *http.Request) (int, any, error) {
	t, err := a.in(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, a.summarize(t), nil
}

// maxPage is the most people of one answer.
const maxPage = 1000

// people lists the active people by position: skip and limit.
func (a api) people(r *http.Request) (int, any, error) {
	t, err := a.in(r)
	if err != nil {
		return 0, nil, err
	}
	all := t.People()
	skip, limit, err := window(r, len(all))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"total": len(all), "people": all[skip:min(skip+limit, len(all))]}, nil
}

// window reads skip and limit of a list with so many elements.
func window(r *http.Request, total int) (skip, limit int, err error) {
	limit = 100
	for name, to := range map[string]*int{"skip": &skip, "limit": &limit} {
		if v := r.URL.Query().Get(name); v != "" {
			if *to, err = strconv.Atoi(v); err != nil || *to < 0 {
				return 0, 0, invalid("%s: want a number from 0", name)
			}
		}
	}
	if limit < 1 || limit > maxPage {
		return 0, 0, invalid("limit: want 1 to %d", maxPage)
	}
	return min(skip, total), limit, nil
}

func (a api) create(r *http.Request) (int, any, error) {
	var f tenant.Fields
	t, err := a.in(r)
	if err == nil {
		err = read(r, &f)
	}
	if err != nil {
		return 0, nil, err
	}
	id, err := t.Create(f)
	if err != nil {
		return 0, nil, err
	}
	p, _ := t.Person(id)
	return http.StatusCreated, p, nil
}

func (a api) person(r *http.Request) (int, any, error) {
	t, err := a.in(r)
	if err != nil {
		return 0, nil, err
	}
	p, ok := t.Person(r.PathValue("id"))
	if !ok {
		return 0, nil, tenant.ErrNotFound
	}
	return http.StatusOK, p, nil
}

func (a api) update(r *http.Request) (int, any, error) {
	var f tenant.Fields
	t, err := a.in(r)
	if err == nil {
		err = read(r, &f)
	}
	if err == nil {
		err = t.Update(r.PathValue("id"), f)
	}
	if err != nil {
		return 0, nil, err
	}
	return a.person(r)
}

// do runs one act on the tenant of the path.
func (a api) do(r *http.Request, act func(*tenant.Tenant) error) (int, any, error) {
	t, err := a.in(r)
	if err == nil {
		err = act(t)
	}
	return http.StatusNoContent, nil, err
}

func (a api) remove(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { return t.Remove(r.PathValue("id")) })
}

func (a api) restore(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { return t.Restore(r.PathValue("id")) })
}

func (a api) purge(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { return t.Purge(r.PathValue("id")) })
}

func (a api) deleted(r *http.Request) (int, any, error) {
	t, err := a.in(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"people": slices.Concat([]tenant.Person{}, t.Deleted())}, nil
}

func (a api) bulk(r *http.Request) (int, any, error) {
	var b tenant.Bulk
	t, err := a.in(r)
	if err == nil {
		err = read(r, &b)
	}
	if err != nil {
		return 0, nil, err
	}
	done, err := t.Apply(b)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, done, nil
}

func (a api) forget(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { t.Forget(); return nil })
}

func (a api) consent(r *http.Request) (int, any, error) {
	var body struct {
		Permissions []string `json:"permissions"`
	}
	if err := read(r, &body); err != nil {
		return 0, nil, err
	}
	return a.do(r, func(t *tenant.Tenant) error { return a.Consent(t.ID, body.Permissions...) })
}

func (a api) revoke(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { t.Revoke(a.AppID); return nil })
}

func (a api) removeRole(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { t.RemoveRole(a.AppID, r.PathValue("role")); return nil })
}

func (a api) disable(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { t.Disable(a.AppID, true); return nil })
}

func (a api) enable(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { t.Disable(a.AppID, false); return nil })
}
