#!/usr/bin/env bash
# Try the role with ansible-core from PyPI: its syntax, and on this machine, below a temporary folder, with the
# program AGENT (bin/vggse-agent): once for real, once more to see that nothing changes, in check mode, and with
# settings that are wrong.
set -euo pipefail
cd "$(dirname "$0")/../.."
die() { echo "ansible check: $*" >&2; exit 1; }
agent=$(realpath "${AGENT:-bin/vggse-agent}")
venv=${VENV:-build/ansible/venv}
if [ ! -x "$venv/bin/ansible-playbook" ]; then
	python3 -m venv "$venv"
	"$venv/bin/pip" install -q 'ansible-core>=2.14,<2.20'
fi
playbook=$(realpath "$venv/bin/ansible-playbook")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp -r demo/bundle "$dir/parts"
"$agent" release keygen --out "$dir/factory" --no-password 2>/dev/null >&2
"$agent" release sign "$dir/parts" --release 7 --key "$dir/factory.key" --with-pictures --out "$dir/stick" 2>/dev/null >&2

cd deploy/ansible
export ANSIBLE_NOCOWS=1 ANSIBLE_LOCALHOST_WARNING=false ANSIBLE_INVENTORY_UNPARSED_WARNING=false ANSIBLE_HOME=$dir/home
"$playbook" -i inventory.yml site.yml --syntax-check >/dev/null || die "the syntax is wrong"
cat >"$dir/vars.yml" <<END
vggse_agent_program: $agent
vggse_agent_config_file: $dir/etc/vggse-agent.yaml
vggse_agent_trust_folder: $dir/etc/trust
vggse_agent_service: ""
vggse_agent_owner: $(id -un)
vggse_agent_trust: [$dir/factory.pub]
vggse_agent_release: $dir/stick
vggse_agent_config:
  state_dir: $dir/state
  cache_dir: $dir/cache
  infer: {providers: [cpu]}
  model: {trust: $dir/etc/trust}
END
play() { # what is wanted of the recap, and more arguments
	local want=$1
	shift
	"$playbook" -i localhost, -c local site.yml -e "{hosts: all}" -e @"$dir/vars.yml" -e ansible_become=false \
		-e ansible_python_interpreter="$(command -v python3)" "$@" >"$dir/out" 2>&1 || true
	grep -qE "$want" "$dir/out" || { cat "$dir/out"; die "no '$want'"; }
}
sed 's/^  hosts: edge/  hosts: all/' site.yml >"$dir/site.yml"
mkdir "$dir/roles" && cp -r roles/vggse_agent "$dir/roles/" && cd "$dir"
play 'ok=[5-9] +changed=4 .* failed=0'
"$agent" release status --config "$dir/etc/vggse-agent.yaml" | grep -q '^active *parts 7' || die "the release does not run"
play 'ok=[5-9] +changed=0 .* failed=0'
play 'ok=[4-9] +changed=0 .* failed=0' --check
play 'mqtt.qos' -e '{vggse_agent_config: {mqtt: {qos: 7}}}'
grep -q 'state_dir' "$dir/etc/vggse-agent.yaml" || die "wrong settings have replaced the good ones"
echo "ansible check: syntax, installation, again without a change, check mode and wrong settings: ok"
