package tablestore

import "github.com/Azure/azure-sdk-for-go/sdk/azcore"

// Credential is one that the store accepts, for tests of a single package that
// have no identity provider. It does not pass an Authorize of the sandbox.
func (s *Server) Credential() azcore.TokenCredential { return staticToken(s.token) }
