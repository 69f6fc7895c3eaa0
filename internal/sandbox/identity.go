package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"rollcall/internal/sandbox/microsoft"
)

// identity is the managed identity for the sandbox's own clients. azidentity
// finds its endpoint by environment variables, which belong to the handler.
type identity struct{ server *microsoft.Server }

func (i identity) GetToken(ctx context.Context, o policy.TokenRequestOptions) (t azcore.AccessToken, err error) {
	resource := strings.TrimSuffix(strings.TrimSuffix(o.Scopes[0], ".default"), "/")
	q := url.Values{
		"api-version": {"2019-08-01"},
		"resource":    {resource},
		"client_id":   {i.server.IdentityClientID()},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.server.IdentityURL()+"?"+q.Encode(), nil)
	if err != nil {
		return t, err
	}
	req.Header.Set("X-IDENTITY-HEADER", i.server.IdentityHeader())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return t, fmt.Errorf("sandbox: identity: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var body struct {
		AccessToken string `json:"access_token"`
		ExpiresOn   string `json:"expires_on"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != http.StatusOK {
		return t, fmt.Errorf("sandbox: identity: status %d, %w", resp.StatusCode, err)
	}
	until, err := strconv.ParseInt(body.ExpiresOn, 10, 64)
	if err != nil {
		return t, fmt.Errorf("sandbox: identity: expires_on: %w", err)
	}
	return azcore.AccessToken{Token: body.AccessToken, ExpiresOn: time.Unix(until, 0)}, nil
}
