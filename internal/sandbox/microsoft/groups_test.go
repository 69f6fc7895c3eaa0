package microsoft_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/fault"
)

func TestGroupsAreSteeredAndRead(t *testing.T) {
	r := start(t, microsoft.Options{MembersPage: 2})
	var made struct {
		ID     string
		Groups int
	}
	r.steer(t, "POST", "/tenants", `{"people":6,"teams":5,"memberships":12,"seed":3}`, 201, &made)
	tn := r.Tenant(made.ID)
	if tn == nil || made.Groups != 6 || tn.GroupCount() != 6 {
		t.Fatalf("tenant %+v", made)
	}
	at := "/tenants/" + made.ID + "/groups"
	r.steer(t, "POST", "/tenants", `{"people":1,"teams":1,"memberships":2}`, 400, nil)

	var g struct {
		ID, DisplayName, Mail string
		Members               []string
	}
	r.steer(t, "POST", at, `{"displayName":"Board","groupTypes":["Unified"]}`, 201, &g)
	one, p := at+"/"+g.ID, tn.People()
	r.steer(t, "PATCH", one, `{"mail":"board@x.example"}`, 200, &g)
	for _, m := range p[:3] {
		r.steer(t, "PUT", one+"/members/"+m.ID, "", 204, nil)
	}
	r.steer(t, "PUT", one+"/members/"+p[0].ID, "", 409, nil)
	r.steer(t, "DELETE", one+"/members/"+p[1].ID, "", 204, nil)
	r.steer(t, "DELETE", one+"/members/"+p[1].ID, "", 404, nil)
	r.steer(t, "GET", one, "", 200, &g)
	if g.Mail != "board@x.example" || !slices.Equal(g.Members, []string{p[0].ID, p[2].ID}) {
		t.Errorf("group %+v", g)
	}
	r.steer(t, "POST", at, `{"displayName":""}`, 400, nil)
	r.steer(t, "DELETE", one, "", 204, nil)
	r.steer(t, "GET", one, "", 404, nil)
	r.steer(t, "POST", one+"/restore", "", 204, nil)
	var list struct {
		Total  int
		Groups []struct{ ID string }
	}
	r.steer(t, "GET", at+"?skip=6&limit=5", "", 200, &list)
	if list.Total != 7 || len(list.Groups) != 1 || list.Groups[0].ID != g.ID {
		t.Errorf("groups %+v", list)
	}
	r.steer(t, "GET", at+"?limit=0", "", 400, nil)

	if err := r.Consent(made.ID); err != nil {
		t.Fatal(err)
	}
	tok, err := token(t, r.federated(t, made.ID))
	if err != nil {
		t.Fatal(err)
	}
	omit, err := r.AddFault(fault.Fault{Kind: fault.Omit, Path: fault.GroupMembers, Object: p[0].ID, Count: 1})
	if err != nil {
		t.Fatal(err)
	}
	read := func(path string) string {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, r.GraphURL()+"/v1.0"+path, nil)
		req.Header.Set("Authorization", "Bearer "+tok)
		res, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: status %d, %v: %s", path, res.StatusCode, err, b)
		}
		return string(b)
	}
	without, with := read("/groups/"+g.ID+"/members"), read("/groups/"+g.ID+"/members")
	if strings.Contains(without, p[0].ID) || !strings.Contains(with, p[0].ID) || r.Fired(omit) != 1 {
		t.Errorf("omitted %d times: %s\n%s", r.Fired(omit), without, with)
	}
	if n := strings.Count(read("/groups/delta"), "#microsoft.graph.user"); n != 2 {
		t.Errorf("%d members on the first delta page, want 2", n)
	}

	r.steer(t, "POST", one+"/purge", "", 204, nil)
	r.steer(t, "POST", one+"/restore", "", 404, nil)
	if got := tn.Calls(); got[fault.GroupMembers] != 2 || got[fault.GroupsDelta] != 1 {
		t.Errorf("calls %v", got)
	}
}
