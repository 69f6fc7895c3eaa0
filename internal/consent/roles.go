package consent

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// maxAccessToken bounds an access token in bytes. One with every application
// permission of Graph has about 30 KiB (inferred).
const maxAccessToken = 128 << 10

// TokenRoles lists the application permissions that an app-only access token
// carries; none if it cannot be read. Its signature is not for us to verify,
// since the token is not made for us: Microsoft says not to depend on its form,
// so what is read here may hurry or delay a check but never decides one.
func TokenRoles(token string) []string {
	if len(token) > maxAccessToken {
		return nil
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var claims struct {
		Roles []string `json:"roles"`
	}
	if json.Unmarshal(b, &claims) != nil {
		return nil
	}
	return claims.Roles
}
