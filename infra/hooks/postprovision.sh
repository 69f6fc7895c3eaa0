#!/bin/sh
# After azd provision: the app registration learns the app's address and trusts
# its identity. A failure is told, and stops nothing: the app can be deployed,
# but nobody can consent yet.
set -eu

# A vault is brought back once: Azure refuses to recover one that is there.
case "${ROLLCALL_RECOVER_VAULT:-}" in
  1 | t | T | true | TRUE | True) azd env set ROLLCALL_RECOVER_VAULT false ;;
esac

if ! sh infra/hooks/register.sh; then
  cat >&2 <<TEXT
The app registration was not brought up to date. Until it is, no customer can consent. Whoever may change it can run
  go run ./handler register-app -redirect-uri $ROLLCALL_REDIRECT_URI -identity $ROLLCALL_IDENTITY_PRINCIPAL_ID
or add by hand
  the redirect URI         $ROLLCALL_REDIRECT_URI
  a federated credential   of the managed identity with object ID $ROLLCALL_IDENTITY_PRINCIPAL_ID
TEXT
fi
