#!/usr/bin/env bash
# Makes what a rehearsal mesh needs and no repository holds: two authorities, certificates, signing keys, the registry that
# pins them, tokens of rehearsal persons, and a profile for the command line. Needs bash and OpenSSL 3.
#
#   rehearsal.sh FOLDER && kubectl apply -f FOLDER/secrets.yaml
#
# Everything is valid for 30 days and of no worth beyond this rehearsal: the exchanges' wallets are the well-known
# accounts of development chains. What is in FOLDER already is kept, so that logs go on after a second run.
set -euo pipefail
umask 077

[ "$#" -eq 1 ] || { sed -n '2,9p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$folder"

namespace=haetae
# Bitcoin's regtest.
bitcoin=bip122:0f9188f13cb7b2c71f2a335e3a4fc328
mesh=spiffe://haetae.test
exchanges=(upbit bithumb coinone korbit gopax binance)
declare -A names=([upbit]=Upbit [bithumb]=Bithumb [coinone]=Coinone [korbit]=Korbit [gopax]=Gopax [binance]=Binance)
# The accounts 1 to 6 that every development chain funds (mnemonic "test test … junk").
wallets=(
    59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d
    5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a
    7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6
    47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a
    8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba
    92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e
)

authority() { # NAME WORDS
    mkdir -p "authorities/$1"
    [ -s "authorities/$1/ca.crt" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
        -subj "/CN=$2" -keyout "authorities/$1/ca.key" -out "authorities/$1/ca.crt" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2> /dev/null
}

certificate() { # NAME AUTHORITY SPIFFE-ID DNS-NAME...
    local at=certificates/$1 of=authorities/$2 names="URI:$3" name
    mkdir -p "$at"
    [ ! -s "$at/tls.crt" ] || return 0
    for name in "${@:4}"; do names+=",DNS:$name"; done
    openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$at/tls.key"
    openssl req -new -key "$at/tls.key" -subj "/CN=$1" -out "$at/request.pem"
    openssl x509 -req -in "$at/request.pem" -CA "$of/ca.crt" -CAkey "$of/ca.key" -days 30 -out "$at/tls.crt" \
        -extfile <(printf 'subjectAltName=%s\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=critical,CA:FALSE\n' "$names") 2> /dev/null
    cp "$of/ca.crt" "$at/ca.crt"
    rm "$at/request.pem"
}

hosts() { # SERVICE: the names of a Service in the cluster
    echo "haetae-$1 haetae-$1.$namespace haetae-$1.$namespace.svc haetae-$1.$namespace.svc.cluster.local"
}

authority mesh "Haetae rehearsal mesh"
authority exchanges "Rehearsal exchanges"
for service in intake tracking freeze; do
    # shellcheck disable=SC2046 # several names
    certificate "$service" mesh "$mesh/$service" $(hosts "$service") localhost
done
certificate helm-test mesh "$mesh/auditor/helm-test"
certificate inspector mesh "$mesh/auditor/inspector"
certificate ops mesh "$mesh/operator/ops"
certificate knp-portal mesh "$mesh/agency/knp-portal"
certificate fss-portal mesh "$mesh/agency/fss-portal"
for exchange in "${exchanges[@]}"; do
    # shellcheck disable=SC2046
    {
        certificate "connector-$exchange" mesh "$mesh/connector/$exchange" $(hosts "connector-$exchange")
        certificate "sandbox-$exchange-control" mesh "$mesh/sandbox/$exchange" $(hosts "sandbox-$exchange") localhost
        certificate "sandbox-$exchange" exchanges "spiffe://exchanges.test/$exchange" $(hosts "sandbox-$exchange")
    }
    certificate "at-$exchange" exchanges "spiffe://exchanges.test/clients/$exchange"
done

# Signing keys and the mesh's part of the registry, as in production.
"$here/../../../helm/haetae/examples/keys.sh" keys haetae.test "${exchanges[@]}" > pinned.yaml
pinned() { # PATTERN: the rest of the line
    sed -n "s/^$1 //p" pinned.yaml
}
pem() { # FILE: as a text of TOML
    awk 'BEGIN { printf "\"" } { printf "%s\\n", $0 } END { printf "\"" }'
}

for place in "${!exchanges[@]}"; do
    exchange=${exchanges[$place]} at=keys/sandbox-${exchanges[$place]}
    mkdir -p "$at"
    # Exchanges choose their algorithm; both kinds take part.
    if [ ! -s "$at/log.pem" ]; then
        if [ "$exchange" = binance ]; then
            openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$at/log.pem"
        else
            openssl genpkey -algorithm ed25519 -out "$at/log.pem"
        fi
    fi
    printf '%s' "${wallets[$place]}" > "$at/wallet"
    [ -s "$at/seed" ] || openssl rand -hex 32 | tr -d '\n' > "$at/seed"
done

mkdir -p registry
{
    for entry in authorise:intake arrive:tracking confirm:tracking freeze:freeze; do
        printf '[[agency.key]]\npurpose = "%s"\npublic_key = %s\n\n' "${entry%%:*}" \
            "$(openssl pkey -in "keys/${entry##*:}/${entry%%:*}.pem" -pubout | pem)"
    done
    for service in intake tracking freeze; do
        printf '[[agency.log]]\nservice = "%s"\nverifier = "%s"\n\n' "$service" "$(pinned "      $service:")"
    done
    for exchange in "${exchanges[@]}"; do
        printf '[[agency.log]]\nservice = "connector/%s"\nverifier = "%s"\n\n' "$exchange" "$(pinned "#   $exchange:")"
    done
    for exchange in "${exchanges[@]}"; do
        host=haetae-sandbox-$exchange.$namespace.svc.cluster.local
        printf '[[exchange]]\nid = "%s"\ndisplay_name = "%s"\nendpoints = ["https://%s:8443"]\nserver_name = "%s"\n' \
            "$exchange" "${names[$exchange]}" "$host" "$host"
        printf 'ca = "ca-%s.crt"\nconfirm_within = "2s"\nfreeze_within = "2s"\nchains = ["eip155:31337", "%s"]\n' "$exchange" "$bitcoin"
        printf '\n[[exchange.key]]\npublic_key = %s\n\n' "$(openssl pkey -in "keys/sandbox-$exchange/log.pem" -pubout | pem)"
        cp authorities/exchanges/ca.crt "registry/ca-$exchange.crt"
    done
} > registry/exchanges.toml

# Persons: an issuer with an Ed25519 key (EdDSA), and a token for each, valid for 30 days.
base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
mkdir -p persons tokens
[ -s persons/issuer.pem ] || openssl genpkey -algorithm ed25519 -out persons/issuer.pem
printf '{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":"rehearsal","x":"%s"}]}\n' \
    "$(openssl pkey -in persons/issuer.pem -pubout -outform DER | tail -c 32 | base64url)" > persons/jwks.json
token() { # FILE NAME AGENCY UNIT ROLES
    local now said
    now=$(date +%s)
    said=$(printf '{"alg":"EdDSA","typ":"JWT","kid":"rehearsal"}' | base64url).$(
        printf '{"iss":"https://login.police.test","aud":"haetae","iat":%d,"exp":%d,"sub":"%s-%s","name":"%s","agency":"%s","unit":"%s","roles":%s,"on_duty":true}' \
            "$now" $((now + 30 * 86400)) "$3" "$1" "$2" "$3" "$4" "$5" | base64url)
    printf '%s' "$said" > tokens/said
    printf '%s.%s\n' "$said" "$(openssl pkeyutl -sign -rawin -inkey persons/issuer.pem -in tokens/said | base64url)" > "tokens/$1"
    rm tokens/said
}
token ji-woo 김지우 knp cyber-1 '["investigator","approver"]'
token min-jun 이민준 knp cyber-1 '["investigator","approver","operator"]'

# The profile of the command line, for ports forwarded to this machine.
tls() { printf 'tls = { cert = "certificates/%s/tls.crt", key = "certificates/%s/tls.key", ca = "authorities/mesh/ca.crt" }\n' "$1" "$1"; }
{
    printf 'purpose = "rehearsal"\nchain = "eip155:31337"\nregistry = "registry/exchanges.toml"\n'
    printf 'default_person = "ji-woo"\ndefault_case = "2026-cyber-00412"\n\n[token_files]\nji-woo = "tokens/ji-woo"\nmin-jun = "tokens/min-jun"\n\n'
    printf '[intake]\nendpoints = ["https://localhost:8443"]\nserver_name = "%s/intake"\n' "$mesh"
    tls knp-portal
    printf '\n[officer]\nname = "Kim Ji-woo"\ntitle = "Inspector"\naddress = "1 Example-ro, Jung-gu, Seoul"\nemail = "ji-woo.kim@police.example"\nphone = "+82 2 0000 0000"\n'
    printf '\n[brake]\ncase_number = "operations"\nlegal_basis = "operations"\n'
    printf '\n[[case]]\nnumber = "2026-cyber-00412"\nlegal_basis = "information-request"\nsummary = "A rehearsal."\n'
    printf '\n[case.confidentiality]\ncustomer_may_be_told = false\ndeferral_ground = "A rehearsal."\nnotice_due = %s\n' "$(date -u -d '+30 days' +%FT00:00:00Z)"
    printf '\n[[asset]]\nid = "eip155:31337/slip44:60"\nsymbol = "ETH"\ndecimals = 18\n'
    printf '\n[[asset]]\nid = "%s/slip44:1"\nsymbol = "rBTC"\ndecimals = 8\n' "$bitcoin"
    printf '\n[[log]]\nservice = "intake"\nendpoints = ["https://localhost:8443"]\nserver_name = "%s/intake"\n' "$mesh"
    tls inspector
} > profile.toml

# Passwords: of the database, one for each service, and of the Bitcoin node, with where it is.
mkdir -p passwords
services=(intake tracking freeze)
for exchange in "${exchanges[@]}"; do services+=("connector-$exchange" "sandbox-$exchange"); done
for service in "${services[@]}"; do
    [ -s "passwords/$service" ] || openssl rand -hex 16 | tr -d '\n' > "passwords/$service"
done
for other in postgres bitcoin; do
    [ -s "passwords/$other" ] || openssl rand -hex 16 | tr -d '\n' > "passwords/$other"
done
mkdir -p nodes
node=bitcoin.$namespace.svc.cluster.local:18443
printf 'http://%s' "$node" > nodes/bitcoin
printf 'http://rehearsal:%s@%s' "$(cat passwords/bitcoin)" "$node" > nodes/bitcoin-of-exchanges

object() { # KIND NAME KEY=FILE...
    local entry
    printf -- '---\napiVersion: v1\nkind: %s\nmetadata: { name: %s, namespace: %s }\n' "$1" "$2" "$namespace"
    if [ "$1" = Secret ]; then echo "type: Opaque"; echo "data:"; else echo "binaryData:"; fi
    for entry in "${@:3}"; do printf '  %s: %s\n' "${entry%%=*}" "$(openssl base64 -A -in "${entry#*=}")"; done
}
{
    printf -- '---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n  labels: { pod-security.kubernetes.io/enforce: restricted }\n' "$namespace"
    for at in certificates/*; do
        object Secret "haetae-${at##*/}-tls" "tls.crt=$at/tls.crt" "tls.key=$at/tls.key" "ca.crt=$at/ca.crt"
    done
    for at in keys/*; do
        files=()
        for file in "$at"/*; do files+=("${file##*/}=$file"); done
        object Secret "haetae-${at##*/}-keys" "${files[@]}"
    done
    for service in "${services[@]}"; do object Secret "haetae-$service-db" "password=passwords/$service"; done
    roles=()
    for service in "${services[@]}"; do roles+=("haetae_${service//-/_}=passwords/$service"); done
    object Secret postgres "password=passwords/postgres"
    object Secret bitcoin-node http=nodes/bitcoin password=passwords/bitcoin
    object Secret bitcoin-node-of-exchanges http=nodes/bitcoin-of-exchanges
    object Secret postgres-roles "${roles[@]}"
    files=()
    for file in registry/*; do files+=("${file##*/}=$file"); done
    object ConfigMap haetae-registry "${files[@]}"
    object ConfigMap haetae-persons "jwks.json=persons/jwks.json"
} > secrets.yaml
echo "Made $(grep -c '^kind: Secret' secrets.yaml) Secrets and $(grep -c '^kind: ConfigMap' secrets.yaml) ConfigMaps: kubectl apply -f $folder/secrets.yaml" >&2
