package microsoft_test

import (
	"encoding/csv"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/fault"
)

func TestAppAsksForAllThatRollcallMayUse(t *testing.T) {
	r := start(t, microsoft.Options{})
	a := r.AddTenant(microsoft.TenantSpec{People: 3})
	if err := r.Consent(a.ID); err != nil {
		t.Fatal(err)
	}
	_, roles := a.Access(r.AppID())
	for _, want := range []string{"User.Read.All", "Organization.Read.All", "GroupMember.Read.All", "Member.Read.Hidden",
		"LicenseAssignment.Read.All", "Reports.Read.All", "MailboxSettings.Read"} {
		if !slices.Contains(roles, want) {
			t.Errorf("not asked for: %s", want)
		}
	}
	bearer := func() string {
		t.Helper()
		tok, err := token(t, r.federated(t, a.ID))
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	skus := func() int { s, _ := r.graph(t, bearer(), "/subscribedSkus"); return s }
	if got := skus(); got != 200 {
		t.Errorf("with all roles: %d", got)
	}
	r.RemoveRole(a.ID, "Organization.Read.All")
	r.steer(t, "DELETE", "/tenants/"+a.ID+"/roles/LicenseAssignment.Read.All", "", 204, nil)
	if got := skus(); got != 403 {
		t.Errorf("without: %d", got)
	}
	r.steer(t, "PUT", "/tenants/"+a.ID+"/roles/LicenseAssignment.Read.All", "", 204, nil)
	if got := skus(); got != 200 {
		t.Errorf("given back: %d", got)
	}
	r.AddRole(a.ID, "Organization.Read.All")
	if s, _ := r.graph(t, bearer(), "/organization"); s != 200 {
		t.Errorf("organization: %d", s)
	}
}

// The report as the network carries it: a redirect that the client must
// follow without its token.
func TestReportOverTheWire(t *testing.T) {
	r := start(t, microsoft.Options{})
	a := r.AddTenant(microsoft.TenantSpec{People: 30})
	if err := r.Consent(a.ID); err != nil {
		t.Fatal(err)
	}
	r.steer(t, "PATCH", "/tenants/"+a.ID, `{"displayConcealedNames":true,"lagCount":30}`, 204, nil)
	id := a.People()[0].ID
	r.steer(t, "PUT", "/tenants/"+a.ID+"/mailboxes/"+id, `{"userPurpose":"shared","items":12345}`, 204, nil)
	tok, err := token(t, r.federated(t, a.ID))
	if err != nil {
		t.Fatal(err)
	}
	get := func(uri string, bearer bool) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, uri, nil)
		if err != nil {
			t.Fatal(err)
		}
		if bearer {
			req.Header.Set("Authorization", "Bearer "+tok)
		}
		req.Header.Set("ConsistencyLevel", "eventual")
		res, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(b)
	}
	res, _ := get(r.GraphURL()+"/v1.0/reports/getMailboxUsageDetail(period='D7')", true)
	link := res.Header.Get("Location")
	if res.StatusCode != 302 || !strings.HasPrefix(link, r.GraphURL()+"/") {
		t.Fatalf("%d %q", res.StatusCode, link)
	}
	if res, _ := get(link, true); res.StatusCode != 400 || a.Calls()[fault.LeakedToken] != 1 {
		t.Errorf("a leaked token: %d, counted %d", res.StatusCode, a.Calls()[fault.LeakedToken])
	}
	_, text := get(link, false)
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || strings.Contains(text, a.Domain) || !slices.ContainsFunc(rows, func(row []string) bool { return row[7] == "12345" }) {
		t.Errorf("report: %v\n%s", err, text)
	}
	if _, n := get(r.GraphURL()+"/v1.0/users/$count", true); n != "0" {
		t.Errorf("lagging count %s", n)
	}
	r.steer(t, "DELETE", "/tenants/"+a.ID+"/mailboxes/"+id, "", 204, nil)
	if s, body := r.graph(t, tok, "/users/"+id+"/mailboxSettings"); s != 404 {
		t.Errorf("a mailbox that was taken away: %d %s", s, body)
	}
	var skus []struct {
		SkuID string `json:"skuId"`
	}
	r.steer(t, "PUT", "/tenants/"+a.ID+"/skus", `[{"skuId":"05e9a617-0261-4cee-bb44-138d3ef5d965","skuPartNumber":"SPE_E3","enabled":5}]`, 204, nil)
	if r.steer(t, "GET", "/tenants/"+a.ID+"/skus", "", 200, &skus); len(skus) != 1 {
		t.Errorf("SKUs %v", skus)
	}
	for path, body := range map[string]string{
		"/skus": `[{"skuId":"x"}]`, "/mailboxes/" + id: `{"userPurpose":"x"}`,
	} {
		r.steer(t, "PUT", "/tenants/"+a.ID+path, body, 400, nil)
	}
	r.steer(t, "PATCH", "/tenants/"+a.ID, `{"lagCount":-1}`, 400, nil)
	r.steer(t, "PUT", "/tenants/"+a.ID+"/mailboxes/x", `{}`, 404, nil)
}

func TestLoadedTenant(t *testing.T) {
	r := start(t, microsoft.Options{})
	dir := t.TempDir()
	const id = "aaaaaaaa-0000-4000-8000-000000000001"
	if err := os.WriteFile(filepath.Join(dir, "users.json"), []byte(`{"value":[{"id":"`+id+`","userPrincipalName":"a@x"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	a, sum, err := r.LoadTenant(dir)
	if err != nil || sum.People != 1 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if err := r.Consent(a.ID); err != nil {
		t.Fatal(err)
	}
	tok, err := token(t, r.federated(t, a.ID))
	if err != nil {
		t.Fatal(err)
	}
	if s, body := r.graph(t, tok, "/users/delta?$select=id"); s != 200 || !strings.Contains(body, `{"id":"`+id+`"}`) {
		t.Errorf("%d %s", s, body)
	}
	if _, _, err := r.LoadTenant(dir); err == nil {
		t.Error("the same tenant twice")
	}
}
