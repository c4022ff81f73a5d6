#!/usr/bin/env bash
# Makes the manifests that are rendered from the chart: everything below this folder that says so in its first line.
#
#   render.sh [FOLDER]
#
# FOLDER   where they are written, k8s itself unless given. HELM names the helm to use.
set -euo pipefail
k8s=$(cd "$(dirname "$0")" && pwd)
chart=$k8s/../helm/haetae
to=${1:-$k8s}

render() { # FILE OPTION...
    mkdir -p "$(dirname "$to/$1")"
    {
        echo "# Rendered from helm/haetae by k8s/render.sh; changes belong there."
        "${HELM:-helm}" template haetae "$chart" --namespace haetae --kube-version 1.32 "${@:2}"
    } > "$to/$1"
}

render base/mesh.yaml --values "$chart/values-ha.yaml" --values "$k8s/base/values.yaml"
render components/monitoring/monitoring.yaml --values "$chart/values-ha.yaml" --show-only templates/monitoring.yaml
render overlays/laptop/mesh.yaml --values "$chart/values-rehearsal.yaml" --values "$k8s/overlays/laptop/values.yaml"
