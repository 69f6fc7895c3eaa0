package control

import (
	"net/http"

	"rollcall/internal/sandbox/microsoft/tenant"
)

// groups lists the active groups by position: skip and limit.
func (a api) groups(r *http.Request) (int, any, error) {
	t, err := a.in(r)
	if err != nil {
		return 0, nil, err
	}
	all := t.Groups()
	skip, limit, err := window(r, len(all))
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]any{"total": len(all), "groups": append([]tenant.Group{}, all[skip:min(skip+limit, len(all))]...)}, nil
}

func (a api) createGroup(r *http.Request) (int, any, error) {
	var f tenant.Fields
	t, err := a.in(r)
	if err == nil {
		err = read(r, &f)
	}
	if err != nil {
		return 0, nil, err
	}
	id, err := t.CreateGroup(f)
	if err != nil {
		return 0, nil, err
	}
	g, _ := t.Group(id)
	return http.StatusCreated, g, nil
}

// group is one group with the IDs of its direct members.
func (a api) group(r *http.Request) (int, any, error) {
	t, err := a.in(r)
	if err != nil {
		return 0, nil, err
	}
	g, ok := t.Group(r.PathValue("id"))
	if !ok {
		return 0, nil, tenant.ErrNotFound
	}
	return http.StatusOK, struct {
		tenant.Group
		Members []string `json:"members"`
	}{g, append([]string{}, t.Members(g.ID)...)}, nil
}

func (a api) updateGroup(r *http.Request) (int, any, error) {
	var f tenant.Fields
	t, err := a.in(r)
	if err == nil {
		err = read(r, &f)
	}
	if err == nil {
		err = t.UpdateGroup(r.PathValue("id"), f)
	}
	if err != nil {
		return 0, nil, err
	}
	return a.group(r)
}

func (a api) removeGroup(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { return t.RemoveGroup(r.PathValue("id")) })
}

func (a api) restoreGroup(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { return t.RestoreGroup(r.PathValue("id")) })
}

func (a api) purgeGroup(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { return t.PurgeGroup(r.PathValue("id")) })
}

func (a api) addMember(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { return t.AddMember(r.PathValue("id"), r.PathValue("member")) })
}

func (a api) removeMember(r *http.Request) (int, any, error) {
	return a.do(r, func(t *tenant.Tenant) error { return t.RemoveMember(r.PathValue("id"), r.PathValue("member")) })
}
