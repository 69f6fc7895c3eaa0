package connection

import "time"

// Access is how a tenant's directory is reached. It can be compared, and is
// the identity under which tokens are kept: a token belongs to one app in one
// tenant.
type Access struct {
	// Tenant is the tenant's ID, a lower-case GUID.
	Tenant string
	// App is the client ID of the vendor's app registration that the tenant
	// consented to; empty for the one that asks for most.
	App string
	// Own is the name of the Key Vault secret that holds the connection's own
	// app registration, used in place of the vendor's; empty if it has none.
	Own string
}

// String is the tenant: what a log may hold.
func (a Access) String() string { return a.Tenant }

// Access is how the connection's tenant is reached.
func (c *Connection) Access() Access { return Access{Tenant: c.Tenant, App: c.App, Own: c.OwnApp} }

// App is one app registration: the vendor's, or a connection's own.
type App struct {
	// ID is its client ID.
	ID string
	// Own is the name of the Key Vault secret that proves it; empty for the
	// vendor's, which all share one credential.
	Own string
}

// Expiry is the end of a credential's life.
type Expiry struct {
	// What is "certificate" or "secret", Name which one, Connection whose own;
	// empty for the vendor's.
	What, Name, Connection string
	Expires                time.Time
}
