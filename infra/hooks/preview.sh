#!/bin/sh
# Stops azd with what to type if its preview feature "language: custom" is off.
# Without it, azd stops or breaks at the service in azure.yaml, and does not
# say how to go on. azd takes the variable before its own configuration.
set -eu

case "${AZD_ALPHA_ENABLE_LANGUAGE_CUSTOM:-}" in
  1 | t | T | true | TRUE | True) exit 0 ;;
  '')
    for key in alpha.language.custom alpha.all; do
      case "$(azd config get "$key" 2>/dev/null || true)" in
        *on*) exit 0 ;;
      esac
    done
    ;;
esac

echo 'azd must be told that Rollcall brings its own binary. Run: AZD_ALPHA_ENABLE_LANGUAGE_CUSTOM=true azd up' >&2
exit 1
