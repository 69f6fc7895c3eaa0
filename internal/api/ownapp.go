package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// Apps reads the app registrations that connections bring themselves.
type Apps interface {
	// OwnApp returns the client ID that the Key Vault secret holds. It returns
	// [fault.NotFound] if there is no such secret, and [fault.Invalid] if it
	// holds no app.
	OwnApp(ctx context.Context, secret string) (clientID string, err error)
}

// ownSecret names the Key Vault secret with a connection's own app. It is made
// of the connection's ID, so that none can ever use another's.
func ownSecret(id string) string { return "rollcall-app-" + id }

type ownAppRequest struct {
	Caller
	Target
}

// Resolve refuses a body: who sends the app's secret here would find it
// ignored, and it has been where it does not belong.
func (*ownAppRequest) Resolve(ctx huma.Context) []error {
	_ = ctx.SetReadDeadline(time.Now().Add(bodyTime)) // best effort: a wrapper may not offer it
	const most = 64
	b, err := io.ReadAll(io.LimitReader(ctx.BodyReader(), most))
	if text := string(bytes.TrimSpace(b)); err == nil && len(b) < most && (text == "" || text == "{}") {
		return nil
	}
	return []error{&huma.ErrorDetail{Location: "body", Message: "expected none: the app's ID and secret belong in the Key Vault, never in a request"}}
}

// ownAppInWords tells what a change of the app leads to.
const ownAppInWords = " Before consent, the link then leads to consent to that app. A connection that has its tenant becomes failed until the tenant has consented to the app: " +
	"by a new link, or in Microsoft Entra itself, in which case the next sync mends it, an hour later by itself or at once by POST …/sync. What is stored stays as it is. While consent is being verified, or the connection is paused, the app cannot be changed."

func (a *API) ownAppRoutes() {
	secret := func(in *ownAppRequest) map[string]string { return map[string]string{"secret": ownSecret(in.ID)} }
	change(a, huma.Operation{
		OperationID: "set-app", Method: http.MethodPut, Path: "/v1/connections/{id}/app",
		Tags: []string{tagConnections}, Summary: "Use an app registration of the connection's own",
		Description: "In place of the service's app, the connection uses the one that the Key Vault secret rollcall-app-<connection ID> holds, as JSON: " + ownShape + ". " +
			"Put it there first: " + ownCommand("<vault>", "<connection ID>") + ". The request has no body. Repeat it when another app is put there; a new secret or certificate of the same app needs no call." + ownAppInWords,
		Errors: []int{404, 409},
	}, audited("app.set", secret), a.setApp)
	change(a, huma.Operation{
		OperationID: "clear-app", Method: http.MethodDelete, Path: "/v1/connections/{id}/app",
		DefaultStatus: http.StatusOK, Tags: []string{tagConnections}, Summary: "Return to the service's app",
		Description: "The connection uses the service's app again; if it does already, nothing changes. The secret in the Key Vault is left alone: delete it there." + ownAppInWords,
		Errors:      []int{404, 409},
	}, audited("app.clear", secret), func(ctx context.Context, in *ownAppRequest) (*one[Connection], error) {
		return a.useApp(ctx, in.ID, connection.App{})
	})
}

// ownShape is what the secret holds.
const ownShape = `{"appId": "<client ID>", "secret": "<client secret>"} or {"appId": "<client ID>", "certificate": "<PEM of the certificate and its private key>"}`

// ownCommand is how the secret gets there.
func ownCommand(vault, id string) string {
	return fmt.Sprintf("az keyvault secret set --vault-name %s --name %s --file app.json", vault, ownSecret(id))
}

func (a *API) setApp(ctx context.Context, in *ownAppRequest) (*one[Connection], error) {
	app := connection.App{Own: ownSecret(in.ID)}
	var err error
	if app.ID, err = a.Apps.OwnApp(ctx, app.Own); err == nil {
		return a.useApp(ctx, in.ID, app)
	}
	return nil, a.noApp(ctx, err, in.ID)
}

// ownTroubles say why a connection's own app cannot be read, by the fault's code.
var ownTroubles = map[string]string{
	connection.OwnNoVault:        "No Key Vault is set up.",
	connection.OwnUnreachable:    "The Key Vault does not answer.",
	connection.OwnForbidden:      "The Key Vault refuses Rollcall's managed identity.",
	connection.OwnMissing:        "The Key Vault holds no secret %s that is in use.",
	connection.OwnNotJSON:        "The Key Vault secret %s is no JSON object of appId and secret or certificate.",
	connection.OwnNoApp:          "The appId in the Key Vault secret %s is no client ID, which is a GUID.",
	connection.OwnNoProof:        "The Key Vault secret %s does not hold just one of a client secret's value and a certificate.",
	connection.OwnBadCertificate: "The certificate in the Key Vault secret %s cannot be used: it takes PEM of the certificate and of its RSA private key, of 2048 bits or more and without a password.",
	connection.OwnExpired:        "What the Key Vault secret %s holds has expired.",
}

// noApp is the problem of an own app that cannot be read. What is wrong with
// the secret is the caller's to mend, what is wrong with the vault is not.
func (a *API) noApp(ctx context.Context, err error, id string) error {
	e := fault.Of(err)
	detail, known := strings.ReplaceAll(ownTroubles[e.Code], "%s", ownSecret(id)), ownTroubles[e.Code] != ""
	switch e.Kind {
	case fault.NotFound, fault.Invalid:
		if !known {
			detail = "The Key Vault secret " + ownSecret(id) + " cannot be used as an app."
		}
		remedy := "Write " + ownShape + " to the file app.json, run " + ownCommand(vaultName(a.Service.Vault), id) + ", delete the file, and send the request again."
		if a.Service.Vault == "" {
			remedy = "Name a Key Vault in the setting KEY_VAULT_URL first. Then: " + remedy
		}
		return problem(codeValidation, "%s", detail).withRemedy(remedy)
	}
	p := answer(ctx, a.Log, "set-app", err)
	if known {
		p.Detail = detail
	}
	return p
}

// vaultName is the name of the vault with this URL.
func vaultName(vault string) string {
	u, err := url.Parse(vault)
	if err != nil || u.Hostname() == "" {
		return "<vault>"
	}
	name, _, _ := strings.Cut(u.Hostname(), ".")
	return name
}

// useApp makes the connection use an app registration of its own, or the
// service's for none.
func (a *API) useApp(ctx context.Context, id string, app connection.App) (*one[Connection], error) {
	now := a.Now().UTC().Truncate(time.Second)
	c, err := a.update(ctx, id, func(c *connection.Connection) error {
		switch {
		case c.Status == connection.Paused:
			return idle(c)
		case c.Status == connection.Consenting:
			return problem(codeVerifying, "%s", samples[codeVerifying])
		case c.OwnApp == app.Own && (c.Tenant == "" || c.App == app.ID || app.Own == ""):
			return nil
		}
		c.OwnApp = app.Own
		if app.Own == "" {
			if err := a.coverable(c); err != nil {
				return err
			}
		}
		if c.Tenant == "" {
			return nil // the consent to come is to this app
		}
		// What the tenant consented to is another app. Until it consents to this
		// one syncs fail, unless its administrator has done so in Microsoft Entra.
		c.App, c.Profile, c.Health = app.ID, "", connection.Health{}
		if !c.WasVerified() {
			return nil
		}
		if err := c.Move(connection.Failed); err != nil {
			return err
		}
		c.Problem = &connection.Problem{
			Code:    "app_changed",
			Message: "The connection was made to use another app registration, to which the tenant has not consented yet.",
			Remedy:  "Send the company's administrator a new link. If they have consented in Microsoft Entra already, ask for a sync.",
			At:      now, Consent: true,
		}
		c.Hasten(now.Add(connection.SettingsDelay))
		return nil
	})
	return a.governed(ctx, &c, err)
}
