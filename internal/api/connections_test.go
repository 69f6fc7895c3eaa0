package api

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
)

func TestCreate(t *testing.T) {
	b := newBench()
	w := b.do(post, "/v1/connections?again=true", `{"company":"c9","name":"Ärzte & Söhne <GmbH>","tenant":"3F1C9D52-7B0E-4C7E-9A53-2F6F1F7B8A10"}`,
		"X-Rollcall-Actor", "Ada <ada@vendor.example>")
	var v Connection
	read(t, w, 201, &v)
	if !regexp.MustCompile(`^[a-z2-7]{26}$`).MatchString(v.ID) || w.Header().Get("Location") != "/v1/connections/"+v.ID {
		t.Errorf("id %q, location %q", v.ID, w.Header().Get("Location"))
	}
	if v.Link == "" || v.Link != b.URL(b.connections[v.ID]) {
		t.Errorf("link %q", v.Link)
	}
	if strings.ContainsAny(w.Body.String(), "<>&") {
		t.Errorf("markup is not escaped: %s", w.Body)
	}
	c := b.connections[v.ID]
	if c.Company != "c9" || c.Name != "Ärzte & Söhne <GmbH>" || c.NamedTenant != tenant || c.Tenant != "" ||
		c.Status != connection.Invited || c.Link != 1 || !c.LinkExpires.Equal(now.Add(14*24*time.Hour)) ||
		!c.CreatedAt.Equal(now) || c.CreatedBy != "Ada <ada@vendor.example>" {
		t.Errorf("stored %+v", c)
	}

	var again Connection
	read(t, b.do(post, "/v1/connections?again=true", `{"company":"c9","name":"Ärzte"}`), 201, &again)
	if again.ID == v.ID {
		t.Error("inviting a company again reused its connection")
	}

	again = Connection{}
	read(t, b.do(get, "/v1/connections/"+v.ID, ""), 200, &again)
	if again.Link != "" {
		t.Error("reading a connection repeats its link")
	}
	v.Link = ""
	if again.CreatedAt != v.CreatedAt || again.Name != v.Name || again.NamedTenant != v.NamedTenant {
		t.Errorf("read %+v, created %+v", again, v)
	}
}

// An insert whose answer got lost is repeated by the store's client, and then
// meets itself.
func TestCreateLostReply(t *testing.T) {
	b := newBench()
	b.lostReply = true
	var v Connection
	read(t, b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n"}`), 201, &v)
	if _, ok := b.connections[v.ID]; !ok {
		t.Error("answered a connection that is not stored")
	}
}

func TestCreateRefused(t *testing.T) {
	b := newBench()
	long := func(n int) string { return strings.Repeat("ä", n) }
	for name, test := range map[string]struct {
		body   string
		status int
		code   string
		field  string
	}{
		"no company":       {`{"name":"n"}`, 422, codeValidation, "body"},
		"empty company":    {`{"company":"","name":"n"}`, 422, codeValidation, "body.company"},
		"long company":     {`{"company":"` + long(129) + `","name":"n"}`, 422, codeValidation, "body.company"},
		"long name":        {`{"company":"c","name":"` + long(257) + `"}`, 422, codeValidation, "body.name"},
		"blank name":       {`{"company":"c","name":"  "}`, 422, codeValidation, "body.name"},
		"control":          {`{"company":"c","name":"a\u0000b"}`, 422, codeValidation, "body.name"},
		"new line":         {`{"company":"c\nd","name":"a"}`, 422, codeValidation, "body.company"},
		"right to left":    {`{"company":"c","name":"Cont\u202eoso"}`, 422, codeValidation, "body.name"},
		"number":           {`{"company":1,"name":"n"}`, 422, codeValidation, "body.company"},
		"null":             {`{"company":null,"name":"n"}`, 422, codeValidation, "body.company"},
		"tenant":           {`{"company":"c","name":"n","tenant":"contoso.com"}`, 422, codeValidation, "body.tenant"},
		"tenant in braces": {`{"company":"c","name":"n","tenant":"{` + tenant + `}"}`, 422, codeValidation, "body.tenant"},
		"unknown":          {`{"company":"c","name":"n","tennant":"x"}`, 422, codeValidation, "body.tennant"},
		"other case":       {`{"company":"c","name":"n","Name":""}`, 422, codeValidation, "body.Name"},
		"twice":            {`{"company":"c","name":"n","name":"m"}`, 400, codeMalformed, "body"},
		"twice, escaped":   {`{"company":"c","name":"n","n\u0061me":"m"}`, 400, codeMalformed, "body"},
		"array":            {`[]`, 422, codeValidation, "body"},
		"broken":           {`{"company":`, 400, codeMalformed, "body"},
		"two values":       {`{"company":"c","name":"n"}{}`, 400, codeMalformed, "body"},
		"deep":             {strings.Repeat("[", 5000) + strings.Repeat("]", 5000), 400, codeMalformed, "body"},
		"not UTF-8":        {"{\"company\":\"\xff\",\"name\":\"n\"}", 400, codeMalformed, "body"},
		"empty":            {" ", 400, codeMalformed, "body"},
		"a megabyte":       {`{"company":"c","name":"` + strings.Repeat("x", 1<<20) + `"}`, 413, codeTooLarge, ""},
	} {
		t.Run(name, func(t *testing.T) {
			stored := len(b.connections)
			p := refused(t, b.do(post, "/v1/connections?again=true", test.body), test.status, test.code)
			if test.field != "" && !p.names(test.field) {
				t.Errorf("errors %+v, want one at %q", p.Errors, test.field)
			}
			if len(b.connections) != stored {
				t.Error("stored it all the same")
			}
		})
	}
}

func TestBodyLimits(t *testing.T) {
	b := newBench()
	body := `{"company":"` + strings.Repeat("ä", 128) + `","name":"` + strings.Repeat("語", 256) + `"}`
	full := body + strings.Repeat(" ", 64<<10-len(body))
	if w := b.do(post, "/v1/connections?again=true", full); w.Code != 201 {
		t.Errorf("64 KiB and the longest names: %d %s", w.Code, w.Body)
	}
	refused(t, b.do(post, "/v1/connections?again=true", full+" "), 413, codeTooLarge)

	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, `,"<%d>":1`, i)
	}
	p := refused(t, b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n"`+many.String()+`}`), 422, codeValidation)
	if len(p.Errors) != 20 {
		t.Errorf("%d errors listed, want 20", len(p.Errors))
	}
	p = refused(t, b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n","`+strings.Repeat("é", 20000)+`":1}`), 422, codeValidation)
	if n := len(p.Errors[0].Field); n > 120 {
		t.Errorf("echoes %d bytes", n)
	}
	// What was sent is never echoed but for names.
	if w := b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n","tenant":"hunter2"}`); strings.Contains(w.Body.String(), "hunter2") {
		t.Errorf("echoes a value: %s", w.Body)
	}
}

func TestContentType(t *testing.T) {
	b := newBench()
	const body = `{"company":"c","name":"n"}`
	for _, ct := range []string{"application/json", "Application/JSON; charset=UTF-8", "application/json;charset=utf-8"} {
		if w := b.do(post, "/v1/connections?again=true", body, "Content-Type", ct); w.Code != 201 {
			t.Errorf("%q: %d", ct, w.Code)
		}
	}
	for _, ct := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/ld+json", "application/json; charset=latin1", ";;"} {
		refused(t, b.do(post, "/v1/connections?again=true", body, "Content-Type", ct), 415, codeMediaType)
	}
	refused(t, b.do(post, "/v1/connections?again=true", body, "Content-Encoding", "gzip"), 415, codeMediaType)
	for _, accept := range []string{"json", "application/xml", "application/problem+json", "*/*"} {
		var v Connection
		read(t, b.do(post, "/v1/connections?again=true", body, "Accept", accept), 201, &v)
	}
}

func TestActor(t *testing.T) {
	b := newBench()
	for _, actor := range []string{strings.Repeat("é", 256), "Grace", ""} {
		if w := b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n"}`, "X-Rollcall-Actor", actor); w.Code != 201 {
			t.Errorf("%q: %d %s", actor, w.Code, w.Body)
		}
	}
	for _, actor := range []string{strings.Repeat("é", 257), "a\tb", "a\u202eb", "caf\xe9"} {
		p := refused(t, b.do(post, "/v1/connections?again=true", `{"company":"c","name":"n"}`, "X-Rollcall-Actor", actor), 422, codeValidation)
		if !p.names("header.X-Rollcall-Actor") {
			t.Errorf("%q: errors %+v", actor, p.Errors)
		}
	}
}

func TestReadConnection(t *testing.T) {
	b := newBench()
	c := b.connections[fabrica]
	c.Status = connection.Failed
	c.Problem = &connection.Problem{Code: "x", Message: "Refused.", Remedy: "Consent again.", At: now}
	c.LastRun, c.LastSuccess = "r1", now.Add(-time.Hour)
	c.CreatedAt = now.In(time.FixedZone("", 3600))
	b.connections[fabrica] = c
	var v Connection
	w := b.do(get, "/v1/connections/"+fabrica+"?code=functionkey", "")
	read(t, w, 200, &v)
	if v.Status != "failed" || v.Tenant != tenant || v.Problem.Message != "Refused." || v.Problem.Remedy != "Consent again." ||
		!v.NextDue.Equal(now.Add(time.Hour)) || v.LastRun != "r1" || !v.LastSuccess.Equal(now.Add(-time.Hour)) {
		t.Errorf("%+v", v)
	}
	if !strings.Contains(w.Body.String(), `"createdAt":"2026-11-21T09:30:00Z"`) {
		t.Errorf("times are not UTC: %s", w.Body)
	}
	for _, id := range []string{"unknown", "UPPER", strings.Repeat("a", 65), "a%27b", "%3Cscript%3E"} {
		refused(t, b.do(get, "/v1/connections/"+id, ""), 404, codeNotFound)
	}
}

func TestApproval(t *testing.T) {
	b := newBench()
	path := "/v1/connections/" + contoso + "/approval"
	body := `{"tenant":"` + strings.ToUpper(tenant) + `","object":"` + strings.ToUpper(object) + `"}`
	b.conflicts = 2
	var v Connection
	read(t, b.do(post, path, body, "X-Rollcall-Actor", "Ada"), 200, &v)
	want := connection.Approval{Tenant: tenant, Object: object, By: "Ada", At: now}
	if c := b.connections[contoso]; c.Approved == nil || *c.Approved != want || c.LastRun != "other" {
		t.Errorf("stored %+v", c)
	}
	if v.Approval == nil || v.Approval.Object != object || v.Approval.By != "Ada" {
		t.Errorf("answered %+v", v.Approval)
	}

	for range 2 { // the second has nothing to withdraw
		if w := b.do(del, path, ""); w.Code != 204 || w.Body.Len() != 0 {
			t.Errorf("withdraw: %d %s", w.Code, w.Body)
		}
		if b.connections[contoso].Approved != nil {
			t.Error("the approval stands")
		}
	}

	refused(t, b.do(post, "/v1/connections/"+fabrica+"/approval", body), 409, codeConnected)
	refused(t, b.do(post, "/v1/connections/unknown/approval", body), 404, codeNotFound)
	p := refused(t, b.do(post, path, `{"tenant":"`+tenant+`"}`), 422, codeValidation)
	if len(p.Errors) == 0 || !strings.Contains(p.Errors[0].Message, "object") {
		t.Errorf("errors %+v", p.Errors)
	}

	c := b.connections[contoso]
	c.NamedTenant = object // any other than the approval's
	b.connections[contoso] = c
	if p := refused(t, b.do(post, path, body), 422, codeValidation); !p.names("body.tenant") {
		t.Errorf("errors %+v", p.Errors)
	}

	c.NamedTenant = ""
	b.connections[contoso] = c
	b.conflicts = 1000
	refused(t, b.do(post, path, body), 409, codeConflict)
	if tried := 1000 - b.conflicts; tried != 5 {
		t.Errorf("tried %d times, want 5", tried)
	}
}

func TestLink(t *testing.T) {
	b := newBench()
	path := "/v1/connections/" + contoso + "/link"
	var v Connection
	read(t, b.do(post, path, `{"action":"resend"}`), 200, &v)
	c := b.connections[contoso]
	if c.Link != 2 || !c.LinkExpires.Equal(now.Add(14*24*time.Hour)) || v.Link != b.URL(c) {
		t.Errorf("resend: %+v, link %q", c, v.Link)
	}
	v = Connection{}
	read(t, b.do(post, path, `{"action":"revoke"}`), 200, &v)
	if c := b.connections[contoso]; c.Link != 3 || !c.LinkExpires.IsZero() || v.Link != "" || v.LinkExpires != nil {
		t.Errorf("revoke: %+v, answered %+v", c, v)
	}
	p := refused(t, b.do(post, path, `{"action":"burn"}`), 422, codeValidation)
	if !p.names("body.action") {
		t.Errorf("errors %+v", p.Errors)
	}
	refused(t, b.do(post, "/v1/connections/"+fabrica+"/link", `{"action":"resend"}`), 409, codeConnected)
	if b.connections[fabrica].Link != 1 {
		t.Error("a live connection's link was changed")
	}
}
