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
	return part(r, "groups", t.Groups())
}

func (a api) createGroup(r *http.Request) (int, any, error) {
	return made(a, r, (*tenant.Tenant).CreateGroup, (*tenant.Tenant).Group)
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
	return a.edit(r, (*tenant.Tenant).UpdateGroup, a.group)
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
