package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"rollcall/internal/fault"
)

// classified turns the sign-in service's refusals into faults.
type classified struct{ azcore.TokenCredential }

func (c classified) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	t, err := c.TokenCredential.GetToken(ctx, o)
	if err != nil {
		err = classify(err)
	}
	return t, err
}

// The sign-in service's error codes by who can help. Source: Microsoft Entra
// documentation, "Microsoft Entra authentication and authorization error
// codes"; the service warns that numbers may change, so an unlisted one is
// taken as passing unless the status says otherwise.
var (
	withdrawn = []int{700016, 7000229, 7000112, 700011, 65001, 650056, 90002}
	ours      = []int{7000215, 7000222, 700027, 700030, 700211, 700212, 700213, 50012, 70002, 70021, 500011, 650057, 90038, 900382, 900432}
	policies  = []int{53000, 53001, 53002, 53003, 53004, 500021, 500022, 50105}
)

func classify(err error) error {
	af, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if !ok || af.RawResponse == nil {
		return fault.New(fault.Unknown, "token: %w", err)
	}
	status, code := af.RawResponse.StatusCode, stsCode(af.RawResponse)
	e := &fault.Error{Code: fmt.Sprintf("AADSTS%d", code), Err: fmt.Errorf("token refused: status %d, AADSTS%d", status, code)}
	if code == 0 {
		e.Code = ""
	}
	switch {
	case status == http.StatusTooManyRequests:
		e.Kind = fault.Throttled
		e.After = retryAfter(af.RawResponse.Header.Get("Retry-After"), time.Now())
	case slices.Contains(withdrawn, code):
		e.Kind = fault.Denied
		e.Remedy = "Microsoft does not know Rollcall's app in this customer's tenant any more. Send the customer's administrator a new link and ask them to consent again."
	case slices.Contains(ours, code):
		// The kind stays Unknown: customers' runs wait until it is mended.
		e.Remedy = "Microsoft refuses Rollcall's own credential; no customer can mend that. Check the app registration's federated credential and ENTRA_APP_ID."
	case slices.Contains(policies, code):
		e.Kind = fault.Denied
		e.Remedy = "A Conditional Access or tenant policy of the customer blocks Rollcall. Ask their administrator to exclude the app's service principal."
	}
	return e
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

// stsCode is the first AADSTS number of a refusal, 0 if it has none.
func stsCode(resp *http.Response) int {
	if resp.Body == nil {
		return 0
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return 0
	}
	return decodeSTS(b)
}

func decodeSTS(b []byte) int {
	var body struct {
		Codes []int `json:"error_codes"`
	}
	if json.Unmarshal(b, &body) != nil || len(body.Codes) == 0 {
		return 0
	}
	return body.Codes[0]
}
