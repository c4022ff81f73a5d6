#!/usr/bin/env bash
# Makes the signing keys of a mesh, one for each purpose, and prints what others pin: a part of the chart's values.
#
#   keys.sh FOLDER ORIGIN EXCHANGE... > pinned.yaml
#
# FOLDER   where the private keys are written, one folder for each Secret: intake, tracking, freeze, connector-EXCHANGE
# ORIGIN   the value `logOrigin`, or `trustDomain` where that is empty
#
# A key that is there already is kept. The folder belongs on an encrypted disk, and nowhere once the Secrets are made.
set -euo pipefail
umask 077

if [ "$#" -lt 2 ]; then
    sed -n '2,9p' "$0" >&2
    exit 2
fi
folder=$1 origin=$2
shift 2

key() { # FILE
    mkdir -p "$(dirname "$1")"
    [ -s "$1" ] || openssl genpkey -algorithm ed25519 -out "$1"
}

# C2SP signed note: origin+hash+key, the hash being the first four bytes of SHA-256(origin ‖ newline ‖ 0x01 ‖ key).
verifier() { # FILE ORIGIN
    local raw hash
    raw=$(mktemp)
    { printf '\001'; openssl pkey -in "$1" -pubout -outform DER | tail -c 32; } > "$raw"
    hash=$({ printf '%s\n' "$2"; cat "$raw"; } | openssl dgst -sha256 -r | cut -c1-8)
    printf '%s+%s+%s' "$2" "$hash" "$(openssl base64 -A -in "$raw")"
    rm -f "$raw"
}

echo "registry:"
echo "  agency:"
echo "    keys:"
for entry in authorise:intake arrive:tracking confirm:tracking freeze:freeze; do
    purpose=${entry%%:*} file=$folder/${entry##*:}/${entry%%:*}.pem
    key "$file"
    echo "      $purpose:"
    echo "        - |"
    openssl pkey -in "$file" -pubout | sed 's/^/          /'
done
echo "    logs:"
for service in intake tracking freeze; do
    key "$folder/$service/log.pem"
    echo "      $service: $(verifier "$folder/$service/log.pem" "$origin/$service")"
done
if [ "$#" -gt 0 ]; then
    echo "# Put each beside its exchange, as logVerifier:"
fi
for exchange in "$@"; do
    key "$folder/connector-$exchange/log.pem"
    echo "#   $exchange: $(verifier "$folder/connector-$exchange/log.pem" "$origin/connector/$exchange")"
done
