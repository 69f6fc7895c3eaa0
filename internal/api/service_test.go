package api

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

func TestService(t *testing.T) {
	b := newBench()
	for i := range 2500 { // more than a page
		id := fmt.Sprintf("c%025d", i)
		b.connections[id] = connection.Connection{ID: id, Status: connection.OK}
	}
	b.set(contoso, func(c *connection.Connection) { c.OwnApp = "rollcall-app-" + contoso })
	b.connections["gone"] = connection.Connection{ID: "gone", Status: connection.Offboarded, OwnApp: "rollcall-app-gone"}
	soon := now.Add(5 * 24 * time.Hour)
	b.expiring = func(within time.Duration, owns map[string]string) ([]connection.Expiry, error) {
		if within != 90*24*time.Hour || !maps.Equal(owns, map[string]string{contoso: "rollcall-app-" + contoso}) {
			t.Errorf("within %s of %v", within, owns)
		}
		return []connection.Expiry{
			{What: "certificate", Name: "rollcall", Expires: soon.In(time.FixedZone("", 3600))},
			{What: "secret", Name: "rollcall-app-" + contoso, Connection: contoso, Expires: now},
		}, nil
	}
	var v ServiceState
	w := b.do(get, "/v1/service", "")
	read(t, w, 200, &v)
	want := ServiceState{
		Cloud: "public", Credential: "certificate",
		Profiles: []AppProfile{{"base", appBase, connection.Profiles[0].Permissions}, {"mailboxes", appMailboxes, connection.Profiles[2].Permissions}},
		Expiring: []Expiry{
			{What: "secret", Name: "rollcall-app-" + contoso, Connection: contoso, Expires: now},
			{What: "certificate", Name: "rollcall", Expires: soon},
		},
		Connections: map[string]int{"ok": 2501, "invited": 1, "offboarded": 1},
	}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("%+v\nwant %+v", v, want)
	}

	b.wave = connection.Wave{Since: now.Add(-3 * time.Hour), Last: now.Add(-time.Minute), Tenants: 41}
	read(t, b.do(get, "/v1/service", ""), 200, &v)
	if v.Wave == nil || !v.Wave.Since.Equal(b.wave.Since) || !v.Wave.Last.Equal(b.wave.Last) || v.Wave.Tenants != 41 || !v.Wave.Open {
		t.Errorf("%+v", v.Wave)
	}
	b.wave.Last = now.Add(-2 * time.Hour)
	read(t, b.do(get, "/v1/service", ""), 200, &v)
	if v.Wave == nil || v.Wave.Open {
		t.Errorf("%+v", v.Wave)
	}

	// A Key Vault that is out of reach is told with all the rest.
	for _, err := range []error{fault.New(fault.Denied, "hunter2").WithRemedy("Grant the role Key Vault Secrets User."), errors.New("hunter2")} {
		b.expiring = func(time.Duration, map[string]string) ([]connection.Expiry, error) {
			return []connection.Expiry{{What: "certificate", Name: "rollcall", Expires: soon}}, err
		}
		v = ServiceState{}
		w := b.do(get, "/v1/service", "")
		read(t, w, 200, &v)
		if v.Problem == nil || v.Problem.Remedy == "" || strings.Contains(w.Body.String(), "hunter2") || len(v.Expiring) != 1 || v.Cloud != "public" {
			t.Errorf("%s", w.Body)
		}
		if !strings.Contains(b.log.String(), "hunter2") {
			t.Error("the cause is not in the log")
		}
		b.log.Reset()
	}
	b.err = errors.New("down")
	refused(t, b.do(get, "/v1/service", ""), 503, codeUnavailable)
	refused(t, b.do(get, "/v1/service?limit=1", ""), 422, codeValidation)
}
