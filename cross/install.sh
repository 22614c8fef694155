#!/usr/bin/env bash
# Tries the package in a fresh Debian or Ubuntu: install, doctor and classify as the service's user, upgrade with the state kept,
# remove, purge. The arm64 one runs under qemu.
#
#   cross/install.sh amd64|arm64 bullseye|bookworm|trixie|focal|jammy|noble      (the last three are what JetPack 5, 6 and 7 are made of)
. "$(dirname "$0")/lib.sh"

release=${2:?a release of Debian or Ubuntu}
[ -f "$package" ] || die "$package is missing: make deb"
root_dir=$(cross/root.sh $arch "$release")
ARCH=$arch scripts/deps
cp "$package" "$root_dir/tmp/new.deb"
cp "$root/build/onnxruntime/linux-$arch/libonnxruntime.so" "$root_dir/usr/lib/$triplet/libonnxruntime.so.1"
cp -r demo/testdata/classes.png "$root_dir/tmp/"

# The package of yesterday: the same files, an older version.
old=$(mktemp -d)
trap 'rm -rf "$old"' EXIT
dpkg-deb -R "$package" "$old"
sed -i 's/^Version: .*/Version: 0.0.0~old/' "$old/DEBIAN/control"
dpkg-deb --root-owner-group --build "$old" "$root_dir/tmp/old.deb" >/dev/null

cat >"$root_dir/tmp/try" <<'EOF'
set -eu
fail() { echo "FAIL: $*" >&2; exit 1; }
as_service() { runuser -u vggse-agent -- "$@"; }
state=/var/lib/vggse-agent

dpkg -i /tmp/old.deb || fail "install"
id vggse-agent | grep -q video && id vggse-agent | grep -q render || fail "groups: $(id vggse-agent)"
[ "$(stat -c '%a %G' /etc/vggse-agent)" = "750 vggse-agent" ] || fail "folder of the settings"
as_service vggse-agent check-config >/dev/null || fail "check-config"
as_service vggse-agent version | grep -q '^ONNX Runtime [0-9]' || fail "version: $(vggse-agent version)"
as_service vggse-agent classify --bundle /usr/share/vggse-agent/demo --json /tmp/classes.png | grep -q '"top":' || fail "classify"

install -d -o vggse-agent -g vggse-agent -m 700 $state # as systemd does at the first start
sum=$(vggse-agent bundle pack /usr/share/vggse-agent/demo --out /tmp/demo.vggse | cut -d ' ' -f 1)
vggse-agent model install /tmp/demo.vggse >/dev/null
vggse-agent model activate "$sum" --no-verify >/dev/null
[ "$(stat -c %U $state/models/"$sum"/model.yaml)" = vggse-agent ] || fail "root's model is not the service's"
echo "log: {level: debug}" >>/etc/vggse-agent/vggse-agent.yaml && sed -i '/^log:$/,/^  format/d' /etc/vggse-agent/vggse-agent.yaml

dpkg --force-confold -i /tmp/new.deb || fail "upgrade"
as_service vggse-agent check-config | grep -q "$state/models/$sum" || fail "the upgrade lost the active model"
grep -q 'level: debug' /etc/vggse-agent/vggse-agent.yaml || fail "the upgrade lost the settings"
[ ! -e /var/backups/vggse-agent ] || fail "the old binary was left behind"

dpkg -r vggse-agent || fail "remove"
[ ! -e /usr/bin/vggse-agent ] && [ -d $state/models ] && [ -f /etc/vggse-agent/vggse-agent.yaml ] || fail "remove took too much, or too little"
dpkg -P vggse-agent || fail "purge"
for left in /etc/vggse-agent $state /var/cache/vggse-agent /usr/share/vggse-agent /usr/share/doc/vggse-agent; do
	[ ! -e $left ] || fail "purge left $left"
done

mkdir -p /etc && echo '# R32 (release), REVISION: 7.4, GCID: 0' >/etc/nv_tegra_release
! said=$(dpkg -i /tmp/new.deb 2>&1) || fail "installed on JetPack 4"
echo "$said" | grep -q 'JetPack 4 is not supported' || fail "JetPack 4: $said"
rm /etc/nv_tegra_release
dpkg -P vggse-agent 2>/dev/null || true
EOF
cross/in-root.sh "$root_dir" bash /tmp/try >"$build/install-$arch-$release.log" 2>&1 || {
	tail -n 20 "$build/install-$arch-$release.log" >&2
	die "the package fails in $release: see $build/install-$arch-$release.log"
}
say "$release: installed, upgraded with its state, removed, purged; JetPack 4 refused"
