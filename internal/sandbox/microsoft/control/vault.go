package control

import (
	"net/http"
	"slices"

	"rollcall/internal/sandbox/microsoft/vault"
)

// vaultSecrets lists the names, never the values.
func (a api) vaultSecrets(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{"names": slices.Concat([]string{}, a.Vault.Names())}, nil
}

func (a api) setVaultSecret(r *http.Request) (int, any, error) {
	var body struct {
		Value string `json:"value"`
		vault.Options
	}
	if err := read(r, &body); err != nil {
		return 0, nil, err
	}
	version, err := a.Vault.Set(r.PathValue("name"), body.Value, body.Options)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, map[string]string{"version": version}, nil
}

func (a api) purgeVaultSecret(r *http.Request) (int, any, error) {
	a.Vault.Purge(r.PathValue("name"))
	return http.StatusNoContent, nil, nil
}

func (a api) setVaultRole(r *http.Request) (int, any, error) {
	role := vault.Role(r.PathValue("role"))
	if !slices.Contains([]vault.Role{vault.None, vault.User, vault.Officer}, role) {
		return 0, nil, invalid("role: want none, user or officer")
	}
	a.Vault.SetRole(role)
	return http.StatusNoContent, nil, nil
}
