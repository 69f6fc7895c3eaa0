package microsoft_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"rollcall/internal/sandbox/microsoft"
	"rollcall/internal/sandbox/microsoft/fault"
	"rollcall/internal/sandbox/microsoft/tenant"
)

// idToken signs the tenant's employee in and returns the token.
func (r *rig) idToken(t *testing.T, a *tenant.Tenant) string {
	t.Helper()
	ctx := context.WithValue(t.Context(), oauth2.HTTPClient, r.client)
	_, to := r.submit(t, r.open(t, r.oauth().AuthCodeURL("s", oidc.Nonce("n-1"))), "account", a.Accounts[3].ID)
	tok, err := r.oauth().Exchange(ctx, to.Query().Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := tok.Extra("id_token").(string)
	return raw
}

func header(t *testing.T, compact string) (alg, kid string) {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(compact, ".")[0])
	var h struct{ Alg, Kid string }
	if err == nil {
		err = json.Unmarshal(raw, &h)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h.Alg, h.Kid
}

// keys are the published keys of a tenant, or of all: ID → issuer.
func (r *rig) keys(t *testing.T, segment string) map[string]string {
	t.Helper()
	res, err := r.client.Get(r.AuthorityURL() + "/" + segment + "/discovery/v2.0/keys")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var set struct {
		Keys []struct{ Kid, Issuer string }
	}
	if err := json.NewDecoder(res.Body).Decode(&set); err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res.StatusCode, err)
	}
	out := map[string]string{}
	for _, k := range set.Keys {
		out[k.Kid] = k.Issuer
	}
	return out
}

// Each forgery differs from a good token in the way that it is named after,
// and in no other; an honest verifier refuses it.
func TestForgedIDTokens(t *testing.T) {
	r := start(t, microsoft.Options{})
	a := r.AddTenant(microsoft.TenantSpec{})
	if err := r.SetSecret("s3cret", r.clock.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	ctx := oidc.ClientContext(t.Context(), r.client)
	provider, err := oidc.NewProvider(ctx, r.AuthorityURL()+"/"+a.ID+"/v2.0")
	if err != nil {
		t.Fatal(err)
	}
	verify := func(raw string) error {
		id, err := provider.Verifier(&oidc.Config{ClientID: r.AppID(), Now: r.clock.Now}).Verify(ctx, raw)
		if err == nil && id.Nonce != "n-1" {
			return errors.New("the nonce is of another sign-in")
		}
		return err
	}
	good := r.idToken(t, a)
	if err := verify(good); err != nil {
		t.Fatal(err)
	}
	_, kid := header(t, good)
	all := r.keys(t, "organizations")
	if all[kid] != r.AuthorityURL()+"/{tenantid}/v2.0" || len(all) != 2 {
		t.Errorf("published keys %v", all)
	}
	var consumer string
	for k, issuer := range all {
		if issuer == r.AuthorityURL()+"/"+tenant.PersonalTenant+"/v2.0" {
			consumer = k
		}
	}
	for how, want := range map[string]struct {
		alg, kid string // empty: as in a good one; "?": none that is published
		claims   []string
	}{
		fault.UnsignedToken:  {alg: "none"},
		fault.SymmetricToken: {alg: "HS256"},
		fault.StrangerToken:  {kid: "?"},
		fault.BorrowedKeyID:  {},
		fault.ConsumerToken:  {kid: consumer},
		fault.OtherAudience:  {claims: []string{"aud"}},
		fault.OtherIssuer:    {claims: []string{"iss"}},
		fault.OtherTenant:    {claims: []string{"tid"}},
		fault.PersonalIssuer: {kid: consumer, claims: []string{"iss", "tid"}},
		fault.ExpiredToken:   {claims: []string{"exp", "iat", "nbf"}},
		fault.EarlyToken:     {claims: []string{"exp", "nbf"}},
		fault.OtherNonce:     {claims: []string{"nonce"}},
		fault.TamperedToken:  {claims: []string{"wids"}},
		fault.WithoutWids:    {claims: []string{"wids"}},
	} {
		id, err := r.AddFault(fault.Fault{Tenant: a.ID, Kind: fault.Forge, Forgery: how, Count: 1})
		if err != nil {
			t.Fatal(err)
		}
		forged := r.idToken(t, a)
		if r.Fired(id) != 1 {
			t.Errorf("%s: the fault did not fire", how)
		}
		// A token for a wrong tenant is right in itself; its reader must compare.
		if err := verify(forged); (err == nil) != (how == fault.WithoutWids || how == fault.OtherTenant) {
			t.Errorf("%s: an honest verifier says %v", how, err)
		}
		alg, k := header(t, forged)
		if want.alg == "" {
			want.alg = "RS256"
		}
		if want.kid == "" {
			want.kid = kid
		}
		if _, published := all[k]; alg != want.alg || want.kid != "?" && k != want.kid || want.kid == "?" && published {
			t.Errorf("%s: %s under %s", how, alg, k)
		}
		was, is := claims(t, good), claims(t, forged)
		var differ []string
		for _, name := range []string{"iss", "aud", "tid", "oid", "sub", "nonce", "exp", "iat", "nbf", "wids", "name", "ver"} {
			if b, c := text(was[name]), text(is[name]); b != c {
				differ = append(differ, name)
			}
		}
		slices.Sort(differ)
		if !slices.Equal(differ, want.claims) {
			t.Errorf("%s: claims differ in %v, want %v", how, differ, want.claims)
		}
	}
	if again := r.idToken(t, a); verify(again) != nil {
		t.Error("a good token after the forged ones")
	}
}

func text(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}
