package microsoft_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/fault"
)

// steer sends one request to the control API and decodes the answer into out.
func (r *rig) steer(t *testing.T, method, path, body string, want int, out any) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.ControlURL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != want {
		t.Errorf("%s %s %.80s: status %d, want %d: %s", method, path, body, res.StatusCode, want, b)
		return string(b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			t.Errorf("%s %s: %v in %s", method, path, err, b)
		}
	}
	return string(b)
}

func TestControlAPI(t *testing.T) {
	r := start(t, microsoft.Options{})
	var made struct {
		ID, Access      string
		People, Deleted int
		Roles           []string
	}
	r.steer(t, "POST", "/tenants", `{"name":"Contoso","domain":"contoso.example","people":20,"seed":3}`, 201, &made)
	tn := r.Tenant(made.ID)
	if tn == nil || made.People != 20 || tn.Len() != 20 || made.Access != "absent" {
		t.Fatalf("tenant %+v", made)
	}
	at := "/tenants/" + made.ID
	r.steer(t, "POST", "/tenants", `{"id":"`+made.ID+`"}`, 409, nil)

	var p struct{ ID, JobTitle string }
	r.steer(t, "POST", at+"/people", `{"userPrincipalName":"zoe@contoso.example","displayName":"Zoë","jobTitle":"Clerk"}`, 201, &p)
	one := at + "/people/" + p.ID
	r.steer(t, "PATCH", one, `{"jobTitle":null,"mobilePhone":"1","manager":"`+tn.People()[0].ID+`"}`, 200, &p)
	if got, _ := tn.Person(p.ID); got.JobTitle != "" || got.MobilePhone != "1" || got.Manager != tn.People()[0].ID {
		t.Errorf("edited %+v", got)
	}
	r.steer(t, "DELETE", one, "", 204, nil)
	r.steer(t, "GET", one, "", 404, nil)
	var list struct {
		Total  int
		People []struct{ ID string }
	}
	r.steer(t, "GET", at+"/deleted", "", 200, &list)
	if len(list.People) != 1 || list.People[0].ID != p.ID {
		t.Errorf("deleted %+v", list)
	}
	r.steer(t, "POST", at+"/restore/"+p.ID, "", 204, nil)
	r.steer(t, "GET", at+"/people?skip=19&limit=5", "", 200, &list)
	if list.Total != 21 || len(list.People) != 2 || list.People[1].ID != p.ID {
		t.Errorf("people %+v", list)
	}
	r.steer(t, "POST", at+"/purge/"+p.ID, "", 204, nil)
	r.steer(t, "POST", at+"/restore/"+p.ID, "", 404, nil)
	var done struct{ Edited, Removed, Restored, Created []string }
	r.steer(t, "POST", at+"/bulk", `{"seed":1,"edit":5,"remove":3,"restore":1,"create":2}`, 200, &done)
	if len(done.Edited) != 5 || len(done.Removed) != 3 || len(done.Restored) != 1 || len(done.Created) != 2 || tn.Len() != 20-3+1+2 {
		t.Errorf("bulk %+v, %d people", done, tn.Len())
	}

	r.steer(t, "POST", at+"/consent", "", 204, nil)
	r.steer(t, "GET", at, "", 200, &made)
	if made.Access != "present" || len(made.Roles) != 7 || made.People != 20 || made.Deleted != 2 {
		t.Errorf("after consent: %+v", made)
	}
	tok, err := token(t, r.federated(t, made.ID))
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ ID, Fired int }
	r.steer(t, "POST", "/faults", `{"kind":"throttle","path":"users","count":1,"retryAfter":"2.128"}`, 201, &f)
	if status, _ := r.graph(t, tok, "/users"); status != 429 {
		t.Errorf("throttle: %d", status)
	}
	r.steer(t, "GET", "/faults/"+string(rune('0'+f.ID)), "", 200, &f)
	if f.Fired != 1 {
		t.Errorf("fired %d times", f.Fired)
	}
	r.steer(t, "POST", "/faults", `{"kind":"slow","delay":"1.5s"}`, 201, &f)
	if got := r.Faults(); len(got) != 1 || got[0].Fault.Delay.Seconds() != 1.5 || got[0].Fault.Kind != fault.Slow {
		t.Errorf("armed %+v", got)
	}
	if s := r.steer(t, "GET", "/faults", "", 200, nil); !strings.Contains(s, `"delay": "1.5s"`) || !strings.Contains(s, `"1": 1`) {
		t.Errorf("faults: %s", s)
	}
	r.steer(t, "DELETE", "/faults/2", "", 204, nil)
	r.steer(t, "DELETE", "/faults/2", "", 404, nil)
	r.steer(t, "DELETE", "/faults", "", 204, nil)
	var counters map[string]map[string]int
	r.steer(t, "GET", "/counters", "", 200, &counters)
	if c := counters[made.ID]; c["users"] != 1 || c["token"] != 1 {
		t.Errorf("counters %v", counters)
	}

	r.steer(t, "DELETE", at+"/roles/User.Read.All", "", 204, nil)
	r.steer(t, "POST", at+"/disable", "", 204, nil)
	r.steer(t, "GET", at, "", 200, &made)
	if made.Access != "disabled" {
		t.Errorf("disabled: %+v", made)
	}
	r.steer(t, "POST", at+"/enable", "", 204, nil)
	r.steer(t, "GET", at, "", 200, &made)
	if len(made.Roles) != 6 {
		t.Errorf("after a role was removed: %+v", made)
	}
	r.steer(t, "DELETE", at+"/consent", "", 204, nil)
	r.steer(t, "POST", at+"/forget", "", 204, nil)
	r.steer(t, "POST", "/keys/rotate", "", 204, nil)
	r.steer(t, "PATCH", "/settings", `{"consentDelay":"90s","redirectUris":["https://other.example/cb"]}`, 204, nil)
	if f := r.open(t, r.oauth().AuthCodeURL("s")); f.status != 400 {
		t.Errorf("the old redirect URI still works: %d", f.status)
	}
	r.steer(t, "GET", "/tenants", "", 200, nil)
	if tn.Epoch() != 1 {
		t.Error("forget was forgotten")
	}
}

func TestControlAPIRefusesNonsense(t *testing.T) {
	r := start(t, microsoft.Options{})
	a := r.AddTenant(microsoft.TenantSpec{People: 2})
	at, one := "/tenants/"+a.ID, "/tenants/"+a.ID+"/people/"+a.People()[0].ID
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/nothing", "", 404},
		{"GET", "/tenants/x", "", 404},
		{"POST", "/tenants", `{"people":-1}`, 400},
		{"POST", "/tenants", `{"id":"x"}`, 400},
		{"POST", "/tenants", `{"domain":"A B"}`, 400},
		{"POST", "/tenants", `{"unknown":1}`, 400},
		{"POST", "/tenants", `{} {}`, 400},
		{"POST", "/tenants", `{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413},
		{"POST", at + "/people", `{}`, 400},
		{"POST", at + "/people", `[]`, 400},
		{"PATCH", one, `{"jobTitle":{}}`, 400},
		{"PATCH", one, `{"birthday":"x"}`, 400},
		{"PATCH", one, `{"userPrincipalName":"` + a.People()[1].UserPrincipalName + `"}`, 409},
		{"DELETE", at + "/people/x", "", 404},
		{"GET", at + "/people?limit=0", "", 400},
		{"GET", at + "/people?skip=-1", "", 400},
		{"POST", at + "/bulk", `{"edit":-1}`, 400},
		{"POST", "/faults", `{"kind":"nonsense"}`, 400},
		{"POST", "/faults", `{"kind":"slow","delay":"soon"}`, 400},
		{"POST", "/faults", `{"kind":"cut","tennant":"x"}`, 400},
		{"GET", "/faults/x", "", 400},
		{"PATCH", "/settings", `{"consentDelay":"-1s"}`, 400},
	} {
		if s := r.steer(t, c.method, c.path, c.body, c.status, nil); c.path != "/nothing" && !strings.Contains(s, `"error"`) {
			t.Errorf("%s %s: no error in %s", c.method, c.path, s)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), "DELETE", r.ControlURL()+one, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://evil.example")
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 403 || a.Len() != 2 {
		t.Errorf("a web page's request: %d", res.StatusCode)
	}
}

func TestStartRefusesBadOptions(t *testing.T) {
	if _, err := microsoft.Start(microsoft.Options{}); err == nil {
		t.Error("started without a CA")
	}
	r := start(t, microsoft.Options{})
	if r.AddTenant(microsoft.TenantSpec{ID: "x"}) != nil {
		t.Error("added a tenant with a bad ID")
	}
	if err := r.Consent("x"); err == nil {
		t.Error("consent in no tenant")
	}
}
