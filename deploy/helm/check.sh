#!/usr/bin/env bash
# Tries the chart: Helm's lint, what Helm makes of it decoded strictly into the types of Kubernetes, wrong values, and its settings
# read by AGENT (bin/vggse-agent). With IMAGE=FILE, as 'make image' wrote it, podman runs the chart's pod as it stands, as root: it
# must become ready, without rights, and a kubelet's questions must be answered.
set -euo pipefail
cd "$(dirname "$0")"
die() { echo "helm check: $*" >&2; exit 1; }
AGENT=$(realpath "${AGENT:-../../bin/vggse-agent}")
export AGENT
(cd .. && go vet ./... && go test -count=1 ./helm) || die "the chart is wrong"
echo "helm check: lint, strict decoding, wrong values, settings: ok"
[ -n "${IMAGE:-}" ] || exit 0

dir=$(mktemp -d)
export CONTAINERS_CONF=$dir/containers.conf
files=$(ulimit -Hn) processes=4096
echo "[containers]
default_ulimits=[\"nofile=$files:$files\",\"nproc=$processes:$processes\"]" >"$CONTAINERS_CONF"
run() { podman ${RUNTIME:+--runtime "$RUNTIME"} "$@"; } # RUNTIME=runc where crun does not take this machine's cgroups
trap 'run pod rm -f edge >/dev/null 2>&1; rm -rf "$dir"' EXIT
image=$(run pull -q "oci-archive:$(cd ../.. && realpath "$IMAGE")")
run tag "$image" localhost/vggse-agent:check
"$AGENT" release keygen --out "$dir/factory" --no-password >/dev/null 2>&1
cat >"$dir/values.yaml" <<END
image: {repository: localhost/vggse-agent, tag: check, pullPolicy: Never}
state: $dir/state
cache: $dir/cache
config: {mqtt: {broker: embedded}, cameras: [{name: demo, source: "demo://parts?fps=5"}]}
trust:
  factory.pub: |
$(sed 's/^/    /' "$dir/factory.pub")
END
(cd .. && VALUES=$dir/values.yaml go test ./helm -count=1 -run 'TestPod$' -pod "$dir/pod.yaml" >/dev/null)
run pod rm -f edge >/dev/null 2>&1 || true
run play kube "$dir/pod.yaml" >"$dir/out" 2>&1 || { cat "$dir/out" >&2; die "podman does not run the pod"; }
in_pod() { run exec edge-agent "$@"; }
address=$(in_pod hostname -I | cut -d ' ' -f 1)
ready() { curl -sf -o "$dir/answer" "http://$address:9108/$1"; }
for _ in $(seq 120); do ready readyz && break; sleep 1; done
ready readyz && ready healthz || { run logs edge-agent >&2; die "it does not become ready"; }
[ "$(curl -s -o /dev/null -w '%{http_code}' "http://$address:9108/metrics")" = 401 ] || die "who has no token sees too much"
in_pod grep -q '^CapBnd:.0*$' /proc/1/status || die "it has capabilities"
in_pod grep -q '^NoNewPrivs:.1$' /proc/1/status || die "it may gain privileges"
in_pod sh -c 'tr "\0" "\n" </proc/1/environ' | grep -qx 'VGGSE_DEVICE_ID=node-example' || die "it is not named as its node"
! in_pod touch /etc/vggse-agent/trust/other.pub 2>/dev/null || die "it can trust other keys"
in_pod vggse-agent doctor >"$dir/doctor" || true
grep -q '^ok *trust' "$dir/doctor" && grep -q '^ok *sandbox' "$dir/doctor" || { cat "$dir/doctor" >&2; die "doctor finds fault"; }
echo "helm check: the pod runs, ready, without capabilities, trust and sandbox as on a device: ok"
