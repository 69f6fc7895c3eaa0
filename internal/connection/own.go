package connection

// Why a connection's own app registration cannot be read from the Key Vault,
// as the codes of faults.
const (
	// OwnNoVault: no Key Vault is set up. OwnUnreachable: it does not answer.
	// OwnForbidden: it refuses Rollcall. OwnMissing: it holds no such secret, or
	// no version of it that is in use.
	OwnNoVault     = "no_vault"
	OwnUnreachable = "vault_unreachable"
	OwnForbidden   = "vault_forbidden"
	OwnMissing     = "own_app_missing"
	// OwnNotJSON: the secret is no JSON object of the documented members.
	// OwnNoApp: its appId is no client ID. OwnNoProof: it does not hold just one
	// of a client secret and a certificate. OwnBadCertificate: that cannot be
	// used. OwnExpired: what it holds has ended.
	OwnNotJSON        = "own_app_not_json"
	OwnNoApp          = "own_app_no_id"
	OwnNoProof        = "own_app_no_proof"
	OwnBadCertificate = "own_app_bad_certificate"
	OwnExpired        = "own_app_expired"
)
