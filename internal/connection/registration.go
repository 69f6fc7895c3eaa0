package connection

// Registration is an app registration in the vendor's own tenant, as far as
// customers' consent and Rollcall's tokens depend on it.
type Registration struct {
	// Object is the ID of the registration itself, Client the client ID by which
	// everybody else knows the app. Both are empty if there is none.
	Object, Client string
	// Name is what customers' administrators read.
	Name string
	// Audience says whose accounts the app serves: signInAudience.
	Audience string
	// Claims says what of people's groups and roles goes into their tokens:
	// groupMembershipClaims.
	Claims string
	// Redirects are the redirect URIs of the platform Web.
	Redirects []string
	// Permissions are what the app asks for.
	Permissions []Permission
	// Trusts are its federated credentials.
	Trusts []Trust
	// Principal is true if the app has an enterprise application in the vendor's
	// own tenant.
	Principal bool
}

// The types of permissions: of an app by itself, and of one in a person's name.
const (
	AppRole   = "Role"
	Delegated = "Scope"
)

// Permission is one that a registration can ask for.
type Permission struct {
	// Resource is the client ID of the API, ID the permission's own.
	Resource, ID string
	Type         string // [AppRole] or [Delegated]
	// Value is its name, such as User.Read.All; empty where nobody looked it up.
	Value string
}

// Trust is a federated credential: tokens of this issuer, for this subject and
// audience, stand for the app.
type Trust struct {
	Name, Issuer, Subject string
	Audiences             []string
}
