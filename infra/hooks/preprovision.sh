#!/bin/sh
# Before azd provision: the preview feature is on, and the app registration
# exists, because the app is told its ID.
set -eu

sh infra/hooks/preview.sh

# azd puts the value into main.parameters.json as it is.
case "${ROLLCALL_PRODUCT_NAME:-}" in
  *[\"\\]*)
    echo 'ROLLCALL_PRODUCT_NAME must have neither a quotation mark " nor a backslash: azd cannot hand them in. Typographic ones can be: azd env set ROLLCALL_PRODUCT_NAME <name>' >&2
    exit 1
    ;;
esac

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
