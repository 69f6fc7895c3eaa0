package credential

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"rollcall/internal/fault"
)

// Whose trouble a refusal is: status and OAuth error go before the code, and
// stand in for a code that is not listed.
func TestJudge(t *testing.T) {
	for _, r := range []struct {
		status int
		name   string
		code   int
		after  string
		kind   fault.Kind
		class  fault.Class
		wait   time.Duration
		remedy string
	}{
		{400, "unauthorized_client", 700016, "", fault.Denied, fault.Disconnected, 0, "consent again"},
		{401, "invalid_client", 7000229, "", fault.Denied, fault.Disconnected, 0, "consent again"},
		{400, "invalid_grant", 65001, "", fault.Denied, fault.Disconnected, 0, "consent again"},
		{400, "invalid_request", 90002, "", fault.Denied, fault.Disconnected, 0, "AZURE_CLOUD"},
		{400, "unauthorized_client", 1234567, "", fault.Denied, fault.Disconnected, 0, "consent again"},
		{400, "unauthorized_client", 0, "", fault.Denied, fault.Disconnected, 0, "consent again"},
		{401, "invalid_client", 7000222, "", fault.Unknown, fault.Ours, 0, "no customer"},
		{400, "invalid_request", 500011, "", fault.Unknown, fault.Ours, 0, "no customer"},
		{401, "invalid_client", 1234567, "", fault.Unknown, fault.Ours, 0, "no customer"},
		{401, "invalid_client", 0, "", fault.Unknown, fault.Ours, 0, "no customer"},
		{400, "invalid_request", 900382, "", fault.Unknown, fault.Ours, 0, "AZURE_CLOUD"},
		{400, "unauthorized_client", 90038, "", fault.Unknown, fault.Ours, 0, "AZURE_CLOUD"},
		{400, "invalid_grant", 53003, "", fault.Denied, fault.Policy, 0, "Conditional Access"},
		{403, "access_denied", 500021, "", fault.Denied, fault.Policy, 0, "Conditional Access"},
		{400, "unauthorized_client", 50105, "", fault.Denied, fault.Policy, 0, "Conditional Access"},
		{400, "invalid_grant", 90033, "", fault.Unknown, fault.Transient, 0, "by itself"},
		{400, "invalid_client", 90006, "", fault.Unknown, fault.Transient, 0, "by itself"},
		{400, "temporarily_unavailable", 0, "", fault.Unknown, fault.Transient, 0, "by itself"},
		{400, "temporarily_unavailable", 700016, "", fault.Unknown, fault.Transient, 0, "by itself"},
		{503, "", 0, "", fault.Unknown, fault.Transient, 0, "by itself"},
		{503, "", 0, "12", fault.Throttled, fault.Transient, 12 * time.Second, "by itself"},
		{503, "unauthorized_client", 700016, "", fault.Unknown, fault.Transient, 0, "by itself"},
		{500, "invalid_client", 7000222, "", fault.Unknown, fault.Transient, 0, "by itself"},
		{429, "invalid_client", 7000222, "", fault.Throttled, fault.Transient, 0, "by itself"},
		{429, "", 0, "5", fault.Throttled, fault.Transient, 5 * time.Second, "by itself"},
		{400, "invalid_grant", 50196, "", fault.Throttled, fault.Transient, time.Hour, "too often"},
		{400, "invalid_grant", 50196, "7200", fault.Throttled, fault.Transient, 2 * time.Hour, "too often"},
		{400, "invalid_request", 1234567, "", fault.Unknown, fault.Transient, 0, "by itself"},
		{400, "", 0, "", fault.Unknown, fault.Transient, 0, "by itself"},
		{401, "", 0, "", fault.Unknown, fault.Transient, 0, "by itself"},
	} {
		e := judge(r.status, r.name, r.code, r.after, time.Now())
		if e.Kind != r.kind || e.Class != r.class || e.After != r.wait || !strings.Contains(e.Remedy, r.remedy) {
			t.Errorf("%d %s %d: %s %q after %s, %q", r.status, r.name, r.code, e.Kind, e.Class, e.After, e.Remedy)
		}
		if want := map[bool]string{true: fmt.Sprintf("AADSTS%d", r.code)}[r.code != 0]; e.Code != want {
			t.Errorf("%d %s %d: code %q", r.status, r.name, r.code, e.Code)
		}
	}
}
