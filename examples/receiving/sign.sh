#!/bin/sh
# Prints the signature of a body: WEBHOOK_SECRET=whsec_… sh sign.sh ID TIMESTAMP BODY_FILE
# For trying things out: the key is among openssl's arguments, which other users of the machine can see.
set -eu
key=$(printf %s "${WEBHOOK_SECRET#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
signature=$({ printf '%s.%s.' "$1" "$2"; cat "$3"; } |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)
echo "v1,$signature"
