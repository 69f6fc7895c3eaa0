package graph_test

import (
	"maps"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
	ms "rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

func TestManagers(t *testing.T) {
	tn := wires.Tenant(t, 40)
	c := client(t, nil)
	people := tn.People()
	want := map[string]string{}
	var ids []string
	for i, p := range people[1:33] {
		var manager any
		if i%2 == 0 {
			manager = people[0].ID
		}
		if err := tn.Update(p.ID, tenant.Fields{"manager": manager}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, p.ID)
		want[p.ID], _ = manager.(string)
	}
	if err := tn.Remove(ids[4]); err != nil {
		t.Fatal(err)
	}
	delete(want, ids[4])
	ctx, count := metered(t)
	got, err := c.Managers(ctx, connection.Access{Tenant: tn.ID}, ids)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := count.Take(); n != 3 || calls(tn, ms.Users) != 3 { // 32 IDs, 15 a call
		t.Errorf("%d calls counted, %d made, want 3", n, calls(tn, ms.Users))
	}
	if !maps.Equal(got, want) {
		t.Errorf("managers %v, want %v", got, want)
	}
	if got, err := c.Managers(ctx, connection.Access{Tenant: tn.ID}, nil); err != nil || len(got) != 0 {
		t.Errorf("nobody's managers: %v, %v", got, err)
	}
	if _, err := c.Managers(ctx, connection.Access{Tenant: tn.ID}, []string{"x') or true or ('"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("no ID: %v", err)
	}
	if n, _ := count.Take(); n != 0 {
		t.Errorf("%d calls for nobody", n)
	}
	fired := wires.Fault(t, tn, ms.Fault{Kind: ms.Error, Status: 500, Path: ms.Users, Skip: 1, Count: 1})
	if got, err := c.Managers(ctx, connection.Access{Tenant: tn.ID}, ids); err == nil || got != nil {
		t.Errorf("half of the answers: %v, %v", got, err)
	}
	if n, _ := count.Take(); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
	fired()
}

// Everybody's managers come page by page, whoever has none as empty.
func TestManagerPage(t *testing.T) {
	tn := wires.Tenant(t, 1100)
	c := client(t, nil)
	want := map[string]string{}
	for _, p := range tn.People() {
		want[p.ID] = p.Manager
	}
	first, next, err := c.ManagerPage(t.Context(), connection.Access{Tenant: tn.ID}, "")
	if err != nil || len(first) != 999 || next == "" {
		t.Fatalf("%d people on the first page, %v", len(first), err)
	}
	rest, end, err := c.ManagerPage(t.Context(), connection.Access{Tenant: tn.ID}, next)
	if err != nil || end != "" {
		t.Fatalf("second page: %v", err)
	}
	maps.Copy(first, rest)
	if !maps.Equal(first, want) {
		t.Errorf("%d people's managers differ from the tenant's %d", len(first), len(want))
	}
	for link, kind := range map[string]fault.Kind{next + "x": fault.Expired, "https://evil.example/v1.0/users": fault.Expired} {
		if m, next, err := c.ManagerPage(t.Context(), connection.Access{Tenant: tn.ID}, link); !fault.Is(err, kind) || m != nil || next != "" {
			t.Errorf("a bad link: %d, %v", len(m), err)
		}
	}
}
