package credential

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"rollcall/internal/connection"
	"rollcall/internal/fault"
)

// token asks the sign-in service for a tenant's token with the newest
// credential that it takes.
func (c *Credentials) token(ctx context.Context, a connection.Access, o policy.TokenRequestOptions) (t azcore.AccessToken, err error) {
	err = c.with(ctx, connection.App{ID: a.App, Own: a.Own}, func(app string, p proof) error {
		w := &witness{client: c.client}
		cred, err := c.credential(a.Tenant, app, p, w)
		if err != nil {
			return fault.New(fault.Invalid, "token: credential of app %s", app) // the SDK's text may quote the key
		}
		if t, err = cred.GetToken(ctx, o); err != nil {
			return refusal(a.Own, classify(err, w.err, c.now()))
		}
		return nil
	})
	return t, err
}

// credential is one for a single request: the SDK's own cache would keep a
// token until five minutes before its end.
func (c *Credentials) credential(tenant, app string, p proof, w *witness) (azcore.TokenCredential, error) {
	options := azcore.ClientOptions{
		Cloud:     cloud.Configuration{ActiveDirectoryAuthorityHost: c.authority},
		Transport: w,
		// Retries belong to the queue: a worker does not wait.
		Retry: policy.RetryOptions{MaxRetries: -1},
	}
	// The authority is the vendor's setting, never a customer's input, so there
	// is nothing to ask login.microsoftonline.com about it.
	const noDiscovery = true
	switch {
	case p.key != nil:
		return azidentity.NewClientCertificateCredential(tenant, app, p.certs, p.key, &azidentity.ClientCertificateCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: noDiscovery})
	case p.secret != "":
		return azidentity.NewClientSecretCredential(tenant, app, p.secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: noDiscovery})
	default:
		signed := func(context.Context) (string, error) { return p.assertion, nil }
		return azidentity.NewClientAssertionCredential(tenant, app, signed, &azidentity.ClientAssertionCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: noDiscovery})
	}
}

// notTaken are the codes by which the sign-in service says that it does not
// take this version of a credential, and may take another (documented, see
// [classify]): no such key or none any more, wrong secret, expired secret,
// failed authentication, invalid certificate.
var notTaken = []string{"AADSTS700027", "AADSTS7000215", "AADSTS7000222", "AADSTS50012", "AADSTS700030"}

// with calls use with each proof of the app in turn, until it succeeds or
// fails for another reason than that Microsoft does not take the proof. If it
// takes none, the source is read again, since a newer one may have come.
func (c *Credentials) with(ctx context.Context, app connection.App, use func(app string, p proof) error) error {
	s, err := c.source(&app)
	if err != nil {
		return unavailable(app.Own, err)
	}
	if s == nil {
		a, err := c.assertion(ctx)
		if err != nil {
			return err
		}
		return use(app.ID, proof{assertion: a})
	}
	var first error
	var tried []proof
	for _, maxAge := range []time.Duration{proofLife, proofRest} {
		id, ps, err := s.proven(ctx, app.ID, maxAge)
		if err != nil {
			if first == nil {
				first = unavailable(app.Own, err)
			}
			break
		}
		for _, p := range untried(ps, tried) {
			err := use(id, p)
			if err == nil || !slices.Contains(notTaken, fault.Of(err).Code) {
				return err
			}
			tried = append(tried, p)
			c.refused(ctx, s, id, p.version, fault.Of(err).Code)
			if first == nil {
				first = err
			}
		}
	}
	return first
}

// refused notes that Microsoft does not take a version, and logs it if that is
// news.
func (c *Credentials) refused(ctx context.Context, s *source, app, version, code string) {
	if s.refuse(app, version) {
		c.log.WarnContext(ctx, "credential version refused", "name", s.name, "version", version, "app", app, "code", code)
	}
}

// source is where the app's credential is read; nil if it is the managed
// identity. It fills in the ID of the vendor's app that is meant by none.
func (c *Credentials) source(app *connection.App) (*source, error) {
	if app.Own != "" {
		return c.ownSource(app.Own)
	}
	if app.ID == "" {
		app.ID = c.apps.Widest()
	}
	switch {
	case c.kind == Federated:
		return nil, nil
	case c.files != nil:
		return c.files, nil
	case c.kind == Certificate:
		return c.inVault(c.names.Certificate, parseCertificate), nil
	}
	for profile, id := range c.apps {
		switch {
		case id != app.ID:
		case id == c.apps.Widest():
			return c.inVault(c.names.Secret, parseSecret), nil
		default:
			return c.inVault(c.names.Secret+"-"+profile, parseSecret), nil
		}
	}
	return nil, fault.New(fault.Invalid, "app %s is none of the vendor's", app.ID).WithRemedy(
		"The app that this customer consented to is not among ENTRA_APP_ID and ENTRA_APPS. Add it again, or send the customer's administrator a new link.")
}

// unavailable is the fault of a credential that cannot be had. Nothing that
// the vault lacks or refuses may look like something that a tenant does. But
// what the secret of an own app lacks is its owner's to mend, whom nobody tells
// unless the connection does.
func unavailable(own string, err error) error {
	e := *fault.Of(err)
	switch e.Kind {
	case fault.NotFound, fault.Invalid:
		if own != "" {
			e.Kind, e.Class = fault.Denied, fault.Policy
			e.Remedy = fmt.Sprintf("The connection's own app registration, in the Key Vault secret %s, cannot be used. %s", own, e.Remedy)
			break
		}
		e.Kind, e.Class = fault.Unknown, fault.Ours
	case fault.Denied, fault.Expired, fault.Conflict:
		e.Kind, e.Class = fault.Unknown, fault.Ours
	default:
		e.Class = cmp.Or(e.Class, fault.Transient)
	}
	return &e
}

// refusal is Microsoft's of a token: where the app is the connection's own, what
// else were the vendor's to mend is its owner's.
func refusal(own string, e *fault.Error) *fault.Error {
	if own != "" && e.Class == fault.Ours {
		e.Kind, e.Class, e.Remedy = fault.Denied, fault.Policy, fmt.Sprintf(ownRefusedRemedy, own)
	}
	return e
}

// witness carries a credential's requests. It keeps the error of the way,
// since the SDK hides it in a text that may also quote what was received.
type witness struct {
	client *http.Client
	err    error
}

// maxAnswer bounds an answer of the sign-in service in bytes; a token response
// has about 3 KiB.
const maxAnswer = 1 << 20

// Do implements policy.Transporter.
func (w *witness) Do(r *http.Request) (*http.Response, error) {
	resp, err := w.client.Do(r)
	if err != nil {
		w.err = err
		if ue, ok := errors.AsType[*url.Error](err); ok { // its address names the tenant
			w.err = ue.Err
		}
		return nil, err
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	return resp, nil
}
