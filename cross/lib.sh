# Sourced by the scripts beside it: where things are, for $arch. Everything comes from distribution
# packages of the mirror that this machine's apt uses, and lies under build/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$PWD # cgo runs the compiler elsewhere: paths are absolute
build=$root/build/cross
arch=${1:-}
case $arch in
amd64) triplet=x86_64-linux-gnu processor=x86_64 platform=linux/amd64 ;;
arm64) triplet=aarch64-linux-gnu processor=aarch64 platform=linux/arm64 ;;
*) echo "usage: $0 amd64|arm64" >&2; exit 2 ;;
esac
sysroot=$build/sysroot-$arch
opencv=$build/opencv-$arch/opt/vggse/opencv
binary=$root/build/release/$arch/vggse-agent
shim=$root/build/release/$arch/libvggse-ort-shim.so
package=$root/build/release/vggse-agent_$arch.deb

# Times that land in a file are the commit's: the same commit makes the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C

say() { echo "$(basename "$0" .sh) $arch: $*" >&2; }
die() { say "$@"; exit 1; }

# as_root CMD...: makes roots and mounts in them, which only root may.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo --preserve-env=SOURCE_DATE_EPOCH,LC_ALL "$@"; fi; }

# mirror is where this machine's apt takes Debian from; DEB_MIRROR=URL is another one.
mirror() {
	local uri=${DEB_MIRROR:-$(apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 2>/dev/null |
		awk '$2 == "Debian" {print $1; exit}')}
	[ -n "$uri" ] || die "apt on this machine knows no Debian mirror: set DEB_MIRROR=URL"
	echo "${uri%/}"
}

# fresh DIR TEXT: DIR was finished by this very recipe. done_with DIR TEXT says so.
fresh() { [ -f "$1/.recipe" ] && [ "$(cat "$1/.recipe")" = "$2" ]; }
done_with() { echo "$2" >"$1/.recipe"; }
recipe() { cat "$@" | sha256sum | cut -d' ' -f1; }
