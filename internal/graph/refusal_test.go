package graph_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"rollcall/internal/connection"
	"rollcall/internal/directory"
	"rollcall/internal/fault"
)

// Graph that does not find our app in the tenant, asked twice, says that the
// customer withdrew it. No other 401 and no missing permission does.
func TestWithdrawn(t *testing.T) {
	for _, r := range []struct {
		status int
		code   string
		kind   fault.Kind
		class  fault.Class
		remedy string
	}{
		{401, "Authorization_IdentityNotFound", fault.Denied, fault.Disconnected, "consent again"},
		{401, "InvalidAuthenticationToken", fault.Unknown, "", ""},
		{401, "", fault.Unknown, "", ""},
		{403, "Authorization_RequestDenied", fault.Denied, "", "User.Read.All"},
		{403, "Authorization_IdentityNotFound", fault.Denied, "", "User.Read.All"},
		{404, "Authorization_IdentityNotFound", fault.NotFound, "", ""},
	} {
		calls := 0
		c, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			calls++
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(r.status)
			_, _ = io.WriteString(w, fmt.Sprintf(`{"error":{"code":%q,"message":"Jane"}}`, r.code))
		})
		_, err := c.People(t.Context(), connection.Access{Tenant: "t"}, "", directory.Properties())
		e := fault.Of(err)
		if err == nil || e.Kind != r.kind || e.Class != r.class || e.Code != r.code || !strings.Contains(e.Remedy, r.remedy) || strings.Contains(err.Error(), "Jane") {
			t.Errorf("%d %s: %+v", r.status, r.code, e)
		}
		if want := map[bool]int{true: 1, false: 2}[r.status == 404]; calls != want {
			t.Errorf("%d %s: %d requests", r.status, r.code, calls)
		}
		if r.status == 401 {
			if err := c.Probe(t.Context(), connection.Access{Tenant: "t"}); fault.Of(err).Class != r.class {
				t.Errorf("probe, %s: %v", r.code, err)
			}
		}
	}
}
