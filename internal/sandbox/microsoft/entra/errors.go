package entra

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"rollcall/internal/sandbox/microsoft/wire"
)

// known are the refusals of the sign-in service (documented, "Microsoft Entra
// authentication and authorization error codes").
var known = map[int]struct {
	status int
	err    string
	text   string
}{
	50011:   {400, "invalid_request", "The redirect URI specified in the request does not match the redirect URIs configured for the application."},
	50012:   {401, "invalid_client", "Authentication failed."},
	50020:   {400, "invalid_grant", "The user account does not exist in the tenant and cannot access the application in that tenant."},
	50027:   {400, "invalid_request", "Invalid JWT token."},
	50033:   {503, "temporarily_unavailable", "A transient error has occurred. Please try again."},
	50194:   {400, "invalid_request", "The application is not configured as a multi-tenant application. Usage of the endpoint for all tenants is not supported for such apps. Use a tenant-specific endpoint."},
	50105:   {400, "invalid_grant", "The signed in user is not assigned to a role for the application."},
	50196:   {400, "invalid_grant", "The server terminated an operation because it encountered a client request loop."},
	53000:   {400, "invalid_grant", "Device is not in required device state. Conditional Access policy requires a compliant device, and the device is not compliant."},
	53001:   {400, "invalid_grant", "Device is not in required device state. Conditional Access policy requires a domain joined device, and the device is not domain joined."},
	53002:   {400, "invalid_grant", "The app used is not an approved app for Conditional Access."},
	53004:   {400, "invalid_grant", "User needs to complete the multi-factor authentication registration process before accessing this content."},
	53003:   {400, "invalid_grant", "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."},
	65004:   {400, "access_denied", "User declined to consent to access the app."},
	54005:   {400, "invalid_grant", "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token."},
	650056:  {400, "invalid_client", "Misconfigured application. The client has not listed any permissions for the resource, or the admin has not consented in the tenant."},
	650057:  {400, "invalid_resource", "The client has requested access to a resource which is not listed in the requested permissions in the client's application registration."},
	65001:   {400, "invalid_grant", "The user or administrator has not consented to use the application."},
	70000:   {400, "invalid_grant", "The provided grant is invalid or malformed."},
	70002:   {401, "invalid_client", "The application failed to be authenticated: its credentials are invalid."},
	70003:   {400, "unsupported_grant_type", "The app returned an unsupported grant type."},
	70008:   {400, "invalid_grant", "The provided authorization code or refresh token has expired due to inactivity."},
	70011:   {400, "invalid_scope", "The provided value for the input parameter 'scope' isn't valid."},
	70021:   {401, "invalid_client", "No matching federated identity record found for presented assertion."},
	90002:   {400, "invalid_request", "Tenant not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."},
	90012:   {503, "temporarily_unavailable", "The request has timed out."},
	90024:   {503, "temporarily_unavailable", "Request budget exceeded. A transient error has occurred."},
	90033:   {503, "temporarily_unavailable", "A transient error has occurred. Please try again."},
	90006:   {503, "temporarily_unavailable", "The service is temporarily unavailable. Please retry later."},
	90090:   {503, "temporarily_unavailable", "GraphRetryableError - The service is temporarily unavailable."},
	500011:  {400, "invalid_resource", "The resource principal was not found in the tenant. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant."},
	500022:  {400, "access_denied", "Access to the tenant is denied by a proxy policy: the tenant restriction header is not valid."},
	500021:  {400, "access_denied", "Access to the tenant is denied by a proxy policy."},
	500112:  {400, "invalid_grant", "The reply address does not match the reply address provided when requesting the authorization code."},
	500202:  {400, "invalid_request", "User accounts of this type are not supported by the application."},
	501481:  {400, "invalid_grant", "The Code_Verifier does not match the code_challenge supplied in the authorization request."},
	700011:  {400, "unauthorized_client", "Application was not found in the directory."},
	700016:  {400, "unauthorized_client", "Application was not found in the directory. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant."},
	700024:  {401, "invalid_client", "Client assertion is not within its valid time range."},
	700027:  {401, "invalid_client", "Client assertion failed signature validation."},
	700030:  {401, "invalid_client", "Invalid certificate."},
	700211:  {401, "invalid_client", "No matching federated identity record found for presented assertion issuer."},
	700212:  {401, "invalid_client", "No matching federated identity record found for presented assertion audience."},
	700213:  {401, "invalid_client", "No matching federated identity record found for presented assertion subject."},
	90038:   {400, "invalid_request", "The tenant belongs to a national cloud: the request is to be sent to its own authority."},
	900382:  {400, "invalid_request", "Confidential Client is not supported in Cross Cloud request."},
	900432:  {400, "invalid_request", "Confidential Client is not supported in Cross Cloud request."},
	900144:  {400, "invalid_request", "The request body must contain a parameter that is missing."},
	7000112: {401, "unauthorized_client", "Application is disabled."},
	7000215: {401, "invalid_client", "Invalid client secret provided."},
	7000218: {401, "invalid_client", "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."},
	7000222: {401, "invalid_client", "The provided client secret keys for the app are expired."},
	7000229: {401, "invalid_client", "The client application is missing service principal in the tenant."},
	9002313: {400, "invalid_request", "Invalid request. Request is malformed or invalid."},
}

// refusal is an AADSTS error with what it is about.
type refusal struct {
	code   int
	detail string
}

func (e *refusal) Error() string {
	text := known[e.code].text
	if text == "" {
		text = "The request was refused."
	}
	if e.detail != "" {
		text += " " + e.detail
	}
	return fmt.Sprintf("AADSTS%d: %s", e.code, text)
}

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code: code, detail: fmt.Sprintf(format, args...)}
}

// describe is the error description with the lines that Entra adds to it.
func (s *Server) describe(e *refusal, trace, correlation string) string {
	return fmt.Sprintf("%s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s", e.Error(), trace, correlation, s.stamp())
}

func (s *Server) stamp() string { return s.Now().UTC().Format("2006-01-02 15:04:05Z") }

// document is the token endpoint's error document. An unlisted code, which
// only a fault can ask for, is a 400 invalid_request.
func (s *Server) document(r *http.Request, e *refusal) wire.Reply {
	k, ok := known[e.code]
	if !ok {
		k.status, k.err = http.StatusBadRequest, "invalid_request"
	}
	trace, correlation := uuid.NewString(), r.Header.Get("client-request-id")
	if correlation == "" {
		correlation = uuid.NewString()
	}
	rep := wire.JSON(k.status, map[string]any{
		"error":             k.err,
		"error_description": s.describe(e, trace, correlation),
		"error_codes":       []int{e.code},
		"timestamp":         s.stamp(),
		"trace_id":          trace,
		"correlation_id":    correlation,
		"error_uri":         s.Authority + "/error?code=" + strconv.Itoa(e.code),
	})
	rep.Header.Set("Cache-Control", "no-store")
	rep.Header.Set("x-ms-request-id", trace)
	return rep
}
