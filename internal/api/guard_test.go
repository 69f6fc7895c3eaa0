package api

import (
	"reflect"
	"strings"
	"testing"

	"rollcall/internal/connection"
)

func TestChangeGuard(t *testing.T) {
	b := newBench()
	path := "/v1/connections/" + contoso
	b.conflicts = 2
	var v Connection
	read(t, b.do(patch, path, `{"guard":{"maxCount":1000000,"maxPercent":100,"maxTeams":3,"maxMemberships":10000000}}`), 200, &v)
	if c := b.connections[contoso]; c.Guard == nil || *c.Guard != (connection.Guard{MaxCount: 1000000, MaxPercent: 100, MaxTeams: 3, MaxMemberships: 10000000}) || c.LastRun != "other" {
		t.Errorf("stored %+v", c)
	}
	if v.ID != contoso || v.Guard == nil || *v.Guard != (Guard{1000000, 100, 3, 10000000}) || v.LastRun != "other" || v.Link != "" {
		t.Errorf("answered %+v", v)
	}
	v = Connection{}
	read(t, b.do(get, path, ""), 200, &v)
	if v.Guard == nil || *v.Guard != (Guard{1000000, 100, 3, 10000000}) {
		t.Errorf("read %+v", v.Guard)
	}

	before := b.connections[contoso]
	v = Connection{}
	read(t, b.do(patch, path, `{}`), 200, &v)
	if !reflect.DeepEqual(b.connections[contoso], before) || v.Guard == nil {
		t.Errorf("an empty patch changed %+v", b.connections[contoso])
	}

	read(t, b.do(patch, path, `{"guard":{"maxCount":0,"maxPercent":0,"maxTeams":0,"maxMemberships":0}}`), 200, &v)
	if g := b.connections[contoso].Guard; g == nil || *g != (connection.Guard{}) {
		t.Errorf("no limits at all: stored %+v", g)
	}
	for range 2 { // the second has nothing to clear
		v = Connection{}
		w := b.do(patch, path, `{"guard":null}`)
		read(t, w, 200, &v)
		if b.connections[contoso].Guard != nil || v.Guard != nil || strings.Contains(w.Body.String(), "guard") {
			t.Errorf("cleared: stored %+v, answered %s", b.connections[contoso].Guard, w.Body)
		}
	}

	b.conflicts = 1000
	refused(t, b.do(patch, path, `{"guard":null}`), 409, codeConflict)
}

func TestChangeRefused(t *testing.T) {
	b := newBench()
	c := b.connections[contoso]
	c.Guard = &connection.Guard{MaxCount: 7, MaxPercent: 8}
	b.connections[contoso] = c
	path := "/v1/connections/" + contoso
	for body, field := range map[string]string{
		`{"guard":{"maxCount":-1,"maxPercent":0}}`:                                       "body.guard.maxCount",
		`{"guard":{"maxCount":1000001,"maxPercent":0}}`:                                  "body.guard.maxCount",
		`{"guard":{"maxCount":1e300,"maxPercent":0}}`:                                    "body.guard.maxCount",
		`{"guard":{"maxCount":1.5,"maxPercent":0}}`:                                      "body.guard.maxCount",
		`{"guard":{"maxCount":"5","maxPercent":0}}`:                                      "body.guard.maxCount",
		`{"guard":{"maxCount":[5],"maxPercent":0}}`:                                      "body.guard.maxCount",
		`{"guard":{"maxCount":5,"maxPercent":101}}`:                                      "body.guard.maxPercent",
		`{"guard":{"maxCount":5,"maxPercent":-1}}`:                                       "body.guard.maxPercent",
		`{"guard":{"maxCount":5,"maxPercent":true}}`:                                     "body.guard.maxPercent",
		`{"guard":{"maxCount":5,"maxPercent":5,"maxTeams":-1,"maxMemberships":5}}`:       "body.guard.maxTeams",
		`{"guard":{"maxCount":5,"maxPercent":5,"maxTeams":5,"maxMemberships":10000001}}`: "body.guard.maxMemberships",
		`{"guard":{"maxCount":5,"maxPercent":5,"maxTeams":5}}`:                           "body.guard",
		`{"guard":{"maxCount":5,"maxPercent":5,"maxTeams":null,"maxMemberships":5}}`:     "body.guard",
		`{"guardOverride":null}`:                                                         "body.guardOverride",
		`{"guardOverride":"yes"}`:                                                        "body.guardOverride",
		`{"guard":{"maxCount":null,"maxPercent":5}}`:                                     "body.guard",
		`{"guard":{"maxCount":5,"maxPercent":null}}`:                                     "body.guard",
		`{"guard":{"maxCount":5}}`:                                                       "body.guard",
		`{"guard":{"maxPercent":5}}`:                                                     "body.guard",
		`{"guard":{}}`:                                                                   "body.guard",
		`{"guard":{"maxCount":5,"maxPercent":5,"maxShare":5}}`:                           "body.guard.maxShare",
		`{"guard":{"maxCount":5,"maxPercent":5,"MaxCount":0}}`:                           "body.guard.MaxCount",
		`{"guard":[]}`:    "body.guard",
		`{"guard":false}`: "body.guard",
		`{"guard":"off"}`: "body.guard",
		`{"name":null}`:   "body.name", `{"name":""}`: "body.name", `{"name":" x"}`: "body.name", `{"name":"a\u202eb"}`: "body.name", `{"name":7}`: "body.name",
		`{"name":"` + strings.Repeat("n", 257) + `"}`: "body.name", `{"guard":null,"company":"x"}`: "body.company",
		`{"status":"ok"}`:                   "body.status",
		`{"Guard":null}`:                    "body.Guard",
		`[{"op":"remove","path":"/guard"}]`: "body",
		`null`:                              "body",
		`{"guard":{"maxCount":1e1,"maxPercent":5,"maxTeams":5,"maxMemberships":5}}`: "body",
	} {
		if p := refused(t, b.do(patch, path, body), 422, codeValidation); !p.names(field) {
			t.Errorf("%s: errors %+v, want one at %q", body, p.Errors, field)
		}
	}
	p := refused(t, b.do(patch, path, `{"guard":{"maxCount":50.0,"maxPercent":5,"maxTeams":5,"maxMemberships":5}}`), 422, codeValidation)
	if len(p.Errors) != 1 || !strings.Contains(p.Errors[0].Message, "plain digits") {
		t.Errorf("errors %+v", p.Errors)
	}
	for _, body := range []string{` `, `{"guard":`, `{"guard":null,"guard":{"maxCount":0,"maxPercent":0}}`,
		`{"guard":{"maxCount":5,"maxCount":0,"maxPercent":5}}`, "{\"guard\":\"\xff\"}"} {
		refused(t, b.do(patch, path, body), 400, codeMalformed)
	}
	refused(t, b.do(patch, path, `{"guard":null}`, "Content-Type", "application/json-patch+json"), 415, codeMediaType)
	if g := b.connections[contoso].Guard; g == nil || *g != (connection.Guard{MaxCount: 7, MaxPercent: 8}) {
		t.Errorf("a refused patch stored %+v", g)
	}
	for _, id := range []string{"unknown", "UPPER", "a%27b"} {
		for _, body := range []string{`{}`, `{"guard":null}`} {
			refused(t, b.do(patch, "/v1/connections/"+id, body), 404, codeNotFound)
		}
	}
}

func TestHeldConnection(t *testing.T) {
	b := newBench()
	c := b.connections[fabrica]
	c.Status = connection.Held
	b.connections[fabrica] = c
	var v Connection
	read(t, b.do(get, "/v1/connections/"+fabrica, ""), 200, &v)
	if v.Status != "held" || v.Guard != nil {
		t.Errorf("%+v", v)
	}
}
