#!/bin/sh
# Before azd provision: the preview feature is on, and the app registration
# exists, because the app is told its ID.
set -eu

sh infra/hooks/preview.sh

if [ -n "${ROLLCALL_ENTRA_APP_ID:-}" ]; then
  exit 0
fi
if ! sh infra/hooks/register.sh; then
  cat >&2 <<'TEXT'
The app registration was not made. Whoever may register apps in your tenant can run
  go run ./handler register-app
or make it by hand. Then set its client ID and run azd again:
  azd env set ROLLCALL_ENTRA_APP_ID <client ID>
TEXT
  exit 1
fi
