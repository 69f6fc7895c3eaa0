package credential

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/sync/singleflight"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

const (
	// early is how long before its end a token is replaced, so that a passing
	// trouble at the sign-in service stops nobody. Tokens live 60 to 90 minutes.
	// Source: Microsoft Entra documentation, "Access tokens", token lifetime.
	early = 10 * time.Minute
	// earlyPart bounds early for shorter tokens: a quarter of their life.
	earlyPart = 4
	// usable is the least life of a token that is given out: a request has to
	// arrive with it.
	usable = time.Minute
	// refreshRest is the least time between two tries to replace a token that
	// is still usable. Meanwhile everybody uses the old one.
	refreshRest = time.Minute
	// tokenTime bounds one request for a token with all that it needs.
	tokenTime = 45 * time.Second
)

// kept is the credential of one tenant with its tokens.
type kept struct {
	fetch func(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error)
	now   func() time.Time

	flight singleflight.Group
	mu     sync.Mutex
	tokens map[string]held
}

// held is a token with its times by our clock.
type held struct {
	token azcore.AccessToken
	// renew is when the next try to replace it is due, end when it ends.
	renew, end time.Time
}

func (c *Credentials) keep(a connection.Access) *kept {
	return &kept{
		fetch: func(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
			return c.token(ctx, a, o)
		},
		now: c.now, tokens: make(map[string]held),
	}
}

// GetToken implements azcore.TokenCredential. Whoever comes while a token is
// on its way waits for that one, and nobody waits while the old one will do.
func (k *kept) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if err := ctx.Err(); err != nil {
		return azcore.AccessToken{}, passing(err)
	}
	key := fmt.Sprintf("%s %s %t %s", o.TenantID, strings.Join(o.Scopes, " "), o.EnableCAE, o.Claims)
	now := k.now()
	k.mu.Lock()
	h, ok := k.tokens[key]
	good := ok && h.end.Sub(now) > usable
	if good && now.Before(h.renew) {
		k.mu.Unlock()
		return h.token, nil
	}
	if good {
		h.renew = now.Add(refreshRest) // the others go on with the old one
		k.tokens[key] = h
	}
	k.mu.Unlock()
	t, err := k.join(ctx, key, o)
	if err != nil && good {
		return h.token, nil
	}
	return t, err
}

// join asks for a token, or waits for the one that is being asked for. Who
// stops waiting does not stop the others.
func (k *kept) join(ctx context.Context, key string, o policy.TokenRequestOptions) (t azcore.AccessToken, err error) {
	done := k.flight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tokenTime)
		defer cancel()
		t, err := k.fetch(ctx, o)
		if err == nil && o.Claims == "" { // claims are what a service wants of a new token
			k.hold(key, t)
		}
		return t, err
	})
	select {
	case <-ctx.Done():
		return t, passing(ctx.Err())
	case r := <-done:
		if r.Err != nil {
			return t, r.Err
		}
		return r.Val.(azcore.AccessToken), nil
	}
}

func (k *kept) hold(key string, t azcore.AccessToken) {
	life := time.Until(t.ExpiresOn) // the SDK counts by the system's clock
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tokens[key] = held{token: t, renew: now.Add(life - min(early, life/earlyPart)), end: now.Add(life)}
}

// passing is a trouble of the way to the sign-in service.
func passing(err error) *fault.Error {
	return &fault.Error{
		Kind: fault.Unknown, Class: fault.Transient, Err: fmt.Errorf("token: %w", err),
		Remedy: transientRemedy,
	}
}
