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
	Access   string           `json:"access"` // of the default app
	Roles    []string         `json:"roles"`  // of its tokens
	Apps     []access         `json:"apps"`   // all that are or were known to the tenant
	Accounts []tenant.Account `json:"accounts"`
	Calls    map[string]int   `json:"calls"`
}

func (a api) summarize(t *tenant.Tenant) summary {
	all := a.Entra.Apps()
	def, roles := t.Access(all[0].ID)
	return summary{
		ID: t.ID, Name: t.Name, Domain: t.Domain, People: t.Len(), Deleted: len(t.Deleted()), Groups: t.GroupCount(),
		Access: def.String(), Roles: roles, Apps: accesses(t, all), Accounts: t.Accounts, Calls: t.Calls(),
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
	return part(r, "people", t.People())
}

// part is the part of a list that skip and limit ask for.
func part[T any](r *http.Request, name string, all []T) (int, any, error) {
	skip, limit, err := window(r, len(all))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"total": len(all), name: append([]T{}, all[skip:min(skip+limit, len(all))]...)}, nil
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
	return made(a, r, (*tenant.Tenant).Create, (*tenant.Tenant).Person)
}

// made makes a person or a group of the body's fields and shows it.
func made[T any](a api, r *http.Request, create func(*tenant.Tenant, tenant.Fields) (string, error),
	show func(*tenant.Tenant, string) (T, bool),
) (int, any, error) {
	var f tenant.Fields
	t, err := a.in(r)
	if err == nil {
		err = read(r, &f)
	}
	if err != nil {
		return 0, nil, err
	}
	id, err := create(t, f)
	if err != nil {
		return 0, nil, err
	}
	v, _ := show(t, id)
	return http.StatusCreated, v, nil
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
	return a.edit(r, (*tenant.Tenant).Update, a.person)
}

// edit writes the body's fields into a person or a group and shows it.
func (a api) edit(r *http.Request, update func(*tenant.Tenant, string, tenant.Fields) error,
	show func(*http.Request) (int, any, error),
) (int, any, error) {
	var f tenant.Fields
	t, err := a.in(r)
	if err == nil {
		err = read(r, &f)
	}
	if err == nil {
		err = update(t, r.PathValue("id"), f)
	}
	if err != nil {
		return 0, nil, err
	}
	return show(r)
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
