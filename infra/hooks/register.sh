#!/bin/sh
# Makes the app registrations that customers consent to, or brings them up to
# date, and remembers their IDs in azd's environment. Calling it again changes
# nothing that is right already. It runs before the resources exist, for the
# IDs, and after, for the address and the identity that only then are known:
# ROLLCALL_REDIRECT_URI and ROLLCALL_IDENTITY_PRINCIPAL_ID, both or neither.
set -eu

out=$(mktemp)
trap 'rm -f "$out"' EXIT

set -- register-app
if [ -n "${ROLLCALL_REDIRECT_URI:-}" ] && [ -n "${ROLLCALL_IDENTITY_PRINCIPAL_ID:-}" ]; then
  set -- "$@" -redirect-uri "$ROLLCALL_REDIRECT_URI" -identity "$ROLLCALL_IDENTITY_PRINCIPAL_ID"
fi
go run ./handler "$@" >"$out"

# Lines such as ENTRA_APP_ID=<GUID>: the settings that name the apps.
while IFS='=' read -r name value; do
  case "$name" in
    # Not from the lines that are read here.
    ENTRA_APP_ID | ENTRA_APPS) azd env set "ROLLCALL_$name" "$value" </dev/null ;;
  esac
done <"$out"
