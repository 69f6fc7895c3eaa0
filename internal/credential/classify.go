package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"rollcall/internal/fault"
)

// The sign-in service's error codes by who can help. Source: Microsoft Entra
// documentation, "Microsoft Entra authentication and authorization error
// codes", which warns that numbers may change: status and "error" go first,
// and an unlisted number is judged by them.
var (
	withdrawn = []int{700016, 7000229, 7000112, 700011, 65001, 650056, tenantNotFound}
	ours      = []int{7000215, 7000222, 700027, 700030, 50012, 70002, 700211, 700212, 700213, 70021, 500011, 650057}
	clouds    = []int{90038, 900382, 900432} // ours: the tenant is in another cloud
	policies  = []int{53000, 53001, 53002, 53003, 53004, 500021, 500022, 50105}
	transient = []int{50033, 90006, 90012, 90024, 90033, 90090, requestLoop}
)

const (
	tenantNotFound = 90002
	requestLoop    = 50196
	// loopRest is how long to leave a tenant alone whose sign-in service says
	// that we ask in a loop.
	loopRest = time.Hour
)

// The remedies, one for each class and for what differs within it.
const (
	withdrawnRemedy = "Microsoft does not know Rollcall's app in this customer's tenant any more. Send the customer's administrator a new link and ask them to consent again."
	goneRemedy      = "Microsoft does not find this customer's tenant: it was deleted, or it is in another of Microsoft's clouds than AZURE_CLOUD says. If it still exists, check AZURE_CLOUD and send the administrator a new link."
	oursRemedy      = "Microsoft refuses Rollcall's own credential; no customer can mend that. Check the app registration's credential (the federated one, the certificate or the secret), its end and ENTRA_APP_ID."
	cloudRemedy     = "This customer's tenant is in another of Microsoft's clouds; no customer can mend that. Check AZURE_CLOUD, and use an app registration of that cloud."
	// ownRefusedRemedy names the secret.
	ownRefusedRemedy = "Microsoft refuses the connection's own app registration. Put its current secret or certificate into the Key Vault as a new version of the secret %s, and check that the registration is of the cloud that AZURE_CLOUD says."
	policyRemedy     = "A Conditional Access or tenant policy of the customer blocks Rollcall. Ask their administrator to exclude the app's service principal."
	transientRemedy  = "Microsoft's sign-in service has a passing trouble. Rollcall tries again by itself."
	loopRemedy       = "Microsoft's sign-in service says that Rollcall asks too often. Rollcall leaves it alone for an hour and tries again by itself."
)

// classify turns a failed request for a token into a fault. way is the
// transport's error, if the request failed on its way. The SDK's own text is
// left out: it may quote the answer, a token included.
func classify(err, way error, now time.Time) *fault.Error {
	af, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if !ok || af.RawResponse == nil {
		if way == nil {
			way = quiet("answer of the sign-in service", err)
		}
		return passing(way)
	}
	name, code := stsError(af.RawResponse)
	return judge(af.RawResponse.StatusCode, name, code, af.RawResponse.Header.Get("Retry-After"), now)
}

// judge says whose trouble a refusal is and what to do about it.
func judge(status int, name string, code int, after string, now time.Time) *fault.Error {
	e := &fault.Error{Err: fmt.Errorf("token refused: status %d, AADSTS%d", status, code)}
	if code != 0 {
		e.Code = fmt.Sprintf("AADSTS%d", code)
	}
	listed := func(codes []int) bool { return slices.Contains(codes, code) }
	// invalid_client and unauthorized_client: RFC 6749, section 5.2. Microsoft
	// documents the second as an app that is not registered, or not added to
	// the tenant ("OAuth 2.0 authorization code flow", error codes).
	known := listed(withdrawn) || listed(ours) || listed(clouds) || listed(policies) || listed(transient)
	switch {
	case status == http.StatusTooManyRequests, status >= 500, name == "temporarily_unavailable", listed(transient):
		e.Class, e.Remedy = fault.Transient, transientRemedy
		if e.After = retryAfter(after, now); code == requestLoop {
			e.After, e.Remedy = max(e.After, loopRest), loopRemedy
		}
		if status == http.StatusTooManyRequests || e.After > 0 {
			e.Kind = fault.Throttled
		}
	case listed(withdrawn), !known && name == "unauthorized_client":
		e.Kind, e.Class, e.Remedy = fault.Denied, fault.Disconnected, withdrawnRemedy
		if code == tenantNotFound {
			e.Remedy = goneRemedy
		}
	case listed(policies):
		e.Kind, e.Class, e.Remedy = fault.Denied, fault.Policy, policyRemedy
	case listed(clouds):
		e.Class, e.Remedy = fault.Ours, cloudRemedy
	case listed(ours), name == "invalid_client":
		// The kind stays Unknown: customers' runs wait until it is mended.
		e.Class, e.Remedy = fault.Ours, oursRemedy
	default:
		e.Class, e.Remedy = fault.Transient, transientRemedy
	}
	return e
}

// quiet is an error without what a server sent or we sent, which the SDKs
// quote in their texts: only what the status and the way tell.
func quiet(what string, err error) error {
	var re *azcore.ResponseError
	var af *azidentity.AuthenticationFailedError
	var ue *url.Error
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", what, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", what, context.DeadlineExceeded)
	case errors.As(err, &re):
		return fmt.Errorf("%s: status %d %s", what, re.StatusCode, re.ErrorCode)
	case errors.As(err, &af) && af.RawResponse != nil:
		return fmt.Errorf("%s: status %d", what, af.RawResponse.StatusCode)
	case errors.As(err, &ue):
		return fmt.Errorf("%s: %w", what, ue.Err)
	}
	return fmt.Errorf("%s: unusable (%T)", what, err)
}

// maxAfter bounds what a server can make us wait; real waits are minutes.
const maxAfter = 6 * time.Hour

// retryAfter reads the header in each of its forms: seconds, perhaps with a
// fraction, or a date; 0 if there is none. A fraction is rounded up.
func retryAfter(v string, now time.Time) time.Duration {
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		if !(s > 0) { // negative and NaN too
			return 0
		}
		return time.Duration(math.Ceil(min(s, maxAfter.Seconds()))) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return min(max(at.Sub(now), 0), maxAfter)
	}
	return 0
}

// maxErrorBody bounds what is read of a refusal; the real ones have about 1 KB.
const maxErrorBody = 64 << 10

// stsError is a refusal's OAuth error and its first AADSTS number.
func stsError(resp *http.Response) (name string, code int) {
	if resp.Body == nil {
		return "", 0
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return "", 0
	}
	return decodeSTS(b)
}

func decodeSTS(b []byte) (name string, code int) {
	var body struct {
		Error string `json:"error"`
		Codes []int  `json:"error_codes"`
	}
	if json.Unmarshal(b, &body) != nil {
		return "", 0
	}
	if len(body.Codes) > 0 {
		code = body.Codes[0]
	}
	return body.Error, code
}
