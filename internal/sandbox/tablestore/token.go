package tablestore

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// tokenLife is long enough for any sandbox session.
const tokenLife = 7 * 24 * time.Hour

// ownToken is an unsigned bearer token that Azurite's --oauth basic accepts: it checks
// nbf, iat, exp, the issuer's prefix and the audience, not the signature
// (Azurite, TableTokenAuthenticator (source)).
func ownToken(now time.Time) string {
	part := func(v map[string]any) string {
		b, _ := json.Marshal(v) // strings and integers only
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(map[string]any{"alg": "none", "typ": "JWT"}) + "." + part(map[string]any{
		"iss": "https://sts.windows.net/00000000-0000-0000-0000-000000000000/",
		"aud": "https://storage.azure.com",
		"iat": now.Add(-time.Minute).Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(tokenLife).Unix(),
	}) + ".c2FuZGJveA"
}

// staticToken is a credential that always gives the same token.
type staticToken string

func (t staticToken) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(t), ExpiresOn: time.Now().Add(tokenLife)}, nil
}

// judged are the claims of a token that a store looks at.
type judged struct {
	Audience  string `json:"aud"`
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
}

// claims reads a token without looking at its signature.
func claims(token string) (c judged, err error) {
	_, rest, _ := strings.Cut(token, ".")
	middle, _, _ := strings.Cut(rest, ".")
	b, err := base64.RawURLEncoding.DecodeString(middle)
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(b, &c)
}
