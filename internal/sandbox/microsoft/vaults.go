package microsoft

import (
	"strings"

	"rollcall/internal/sandbox/microsoft/vault"
)

// VaultSecret is what a version of a secret holds besides its value.
type VaultSecret = vault.Options

// VaultURL is the Key Vault's name, for KEY_VAULT_URL; VaultAddr is where it is
// reached, for KEY_VAULT_CUSTOM_ENDPOINT.
func (s *Server) VaultURL() string { return vault.URL }

// VaultAddr is the host and port of the Key Vault on loopback.
func (s *Server) VaultAddr() string { return strings.TrimPrefix(s.urls[keyVault], "https://") }

// SetVaultSecret makes a new version of a secret and returns its ID.
func (s *Server) SetVaultSecret(name, value string, o VaultSecret) (version string, err error) {
	return s.vault.Set(name, value, o)
}

// UpdateVaultSecret changes a version's attributes, the newest one's if version
// is empty.
func (s *Server) UpdateVaultSecret(name, version string, o VaultSecret) error {
	return s.vault.Update(name, version, o)
}

// DeleteVaultSecret removes a secret with all its versions, for good.
func (s *Server) DeleteVaultSecret(name string) { s.vault.Purge(name) }

// SetVaultRole says what the managed identity may do with secrets: nothing,
// read them, or all. It may read them at first.
func (s *Server) SetVaultRole(r vault.Role) { s.vault.SetRole(r) }
