package connection

// Identity is a person as an identity provider proved them: by a signed
// token, never by anything that a browser carried in its address.
type Identity struct {
	// Tenant and Object are the person's tenant and object ID, lower-case GUIDs.
	Tenant, Object string
	// Roles are the template IDs of the directory roles that the person holds,
	// lower-case GUIDs; empty if the token names none.
	Roles []string
}
