package api

import (
	"strings"
	"testing"

	"rollcall/internal/connection"
)

// A company that has a connection gets no second one by mistake; the answer
// names the first. An ended one is none.
func TestInviteTwice(t *testing.T) {
	b := newBench()
	const path, body = "/v1/connections", `{"company":"c1","name":"n"}`
	p := refused(t, b.do(post, path, body), 409, codeInvited)
	if !strings.Contains(p.Detail, contoso) || !strings.Contains(p.Remedy, "/v1/connections/"+contoso+"/link") || !strings.Contains(p.Remedy, "again=true") || !p.names("body.company") || len(b.connections) != 2 {
		t.Errorf("%+v, %d stored", p, len(b.connections))
	}
	var v Connection
	read(t, b.do(post, path+"?again=true", body), 201, &v)
	if v.ID == contoso || len(b.connections) != 3 {
		t.Errorf("again: %+v", v)
	}
	read(t, b.do(post, "/v1/operations/import", `{"version":1,`+body[1:]), 201, &v) // who imports means it
	clear(b.connections)
	b.connections[contoso] = connection.Connection{ID: contoso, Company: "c1", Status: connection.Offboarded, Offboarding: &connection.Offboarding{At: now}}
	read(t, b.do(post, path, body), 201, &v)
	read(t, b.do(post, path, strings.Replace(body, "c1", "C1", 1)), 201, &v) // the vendor's keys are exact
	refused(t, b.do(post, path, body), 409, codeInvited)
}

// The tenant of all personal accounts is nobody's to connect.
func TestPersonalTenantRefused(t *testing.T) {
	b := newBench()
	const personalTenant = "9188040D-6C67-4C5B-B112-36A304B66DAD"
	for _, r := range []struct{ path, body string }{
		{"/v1/connections", `{"company":"c9","name":"n","tenant":"` + personalTenant + `"}`},
		{"/v1/operations/import", `{"version":1,"company":"c9","name":"n","tenant":"` + personalTenant + `"}`},
		{"/v1/connections/" + contoso + "/approval", `{"tenant":"` + personalTenant + `","object":"` + object + `"}`},
	} {
		p := refused(t, b.do(post, r.path, r.body), 422, codeValidation)
		if !p.names("body.tenant") || !strings.Contains(p.Detail, "personal Microsoft accounts") || !strings.Contains(p.Remedy, "Overview") {
			t.Errorf("%s: %+v", r.path, p)
		}
	}
	if len(b.connections) != 2 || b.connections[contoso].Approved != nil {
		t.Error("stored all the same")
	}
}

// A request without a body is told what its body must hold.
func TestBodyMissing(t *testing.T) {
	b, bodies, path := furnished()
	for operation, want := range map[string]string{
		"create-connection": "with company, name", "transfer-connection": "with to", "change-link": "with action", "approve-person": "with tenant, object",
		"change-connection": "expected a JSON object, announced as Content-Type: application/json", "erase-person": "with confirm", "import-connection": "with version, company, name",
	} {
		method, pattern := post, map[string]string{
			"create-connection": "/v1/connections", "transfer-connection": "/v1/connections/{id}/transfer", "change-link": "/v1/connections/{id}/link",
			"approve-person": "/v1/connections/{id}/approval", "change-connection": "/v1/connections/{id}", "erase-person": "/v1/connections/{id}/people/{person}/erase", "import-connection": "/v1/operations/import",
		}[operation]
		if operation == "change-connection" {
			method = patch
		}
		p := refused(t, b.do(method, path(pattern, operation), ""), 400, codeMalformed)
		if len(p.Errors) != 1 || p.Errors[0].Field != "body" || !strings.HasSuffix(p.Errors[0].Message, want) || bodies[operation] == "" {
			t.Errorf("%s: %+v", operation, p.Errors)
		}
	}
	// The transfer's one property has a name that is a word.
	p := refused(t, b.do(post, "/v1/connections/"+contoso+"/transfer", "{}"), 422, codeValidation)
	if len(p.Errors) != 1 || p.Errors[0].Message != `expected the property "to", which is required` {
		t.Errorf("%+v", p.Errors)
	}
}

// An unclean path is told what is wrong with it.
func TestUncleanPath(t *testing.T) {
	b := newBench()
	for _, path := range []string{"/v1//connections", "/v1/connections/", "/v1/./connections", "/v1/people/../connections"} {
		if p := refused(t, b.do(get, path, ""), 404, codeNotFound); !strings.Contains(p.Detail, "segments") || !strings.Contains(p.Remedy, "//") {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

// Who ends a connection says what becomes of the data.
func TestOffboardSaysWhatBecomesOfData(t *testing.T) {
	b := newBench()
	b.govern = func(string, string, string) (connection.Connection, error) {
		t.Error("offboarded")
		return connection.Connection{}, nil
	}
	p := refused(t, b.do(del, "/v1/connections/"+fabrica, ""), 422, codeValidation)
	if len(p.Errors) != 1 || p.Errors[0].Field != "query.data" || !strings.Contains(p.Errors[0].Message, "keep: what is stored stays") || !strings.Contains(p.Errors[0].Message, "purge: all of it is deleted for good") {
		t.Errorf("%+v", p.Errors)
	}
	if len(b.entries) != 0 {
		t.Errorf("noted %+v", b.entries)
	}
}
