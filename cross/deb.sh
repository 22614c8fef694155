#!/usr/bin/env bash
# The Debian package of a release binary: build/release/vggse-agent_ARCH.deb. The same commit makes the same bytes.
#
#   cross/deb.sh amd64|arm64
. "$(dirname "$0")/lib.sh"

[ -f "$binary" ] || die "$binary is missing: make release"
native=$root/build/release/$(dpkg --print-architecture)/vggse-agent
from=$root/cross/debian
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"
umask 022

# version is the tag, 1.2.3; beyond it, or before there is one, it grows with every commit.
version() {
	local tag
	tag=$(git describe --tags --match 'v[0-9]*' --abbrev=0 2>/dev/null || echo v0.0.0)
	[ "$(git rev-parse "$tag^{commit}" 2>/dev/null)" = "$(git rev-parse HEAD)" ] && echo "${tag#v}" && return
	echo "${tag#v}+git$(git rev-list --count HEAD).$(git rev-parse --short=8 HEAD)"
}

# put MODE FILE… FOLDER: into the package.
put() {
	local mode=$1 folder=$tree${*: -1}
	mkdir -p "$folder"
	install -m "$mode" "${@:2:$#-2}" "$folder"
}
# as MODE FILE PLACE: under another name.
as() {
	mkdir -p "$tree$(dirname "$3")"
	install -m "$1" "$2" "$tree$3"
}

program() {
	put 755 "$binary" /usr/bin
	put 644 "$shim" /usr/lib/vggse-agent
	put 644 systemd/vggse-agent.service systemd/vggse-agent@.service systemd/vggse-agent-clocks.service /lib/systemd/system
	as 644 systemd/vggse-agent.sysusers /usr/lib/sysusers.d/vggse-agent.conf
	as 644 systemd/vggse-agent.tmpfiles /usr/lib/tmpfiles.d/vggse-agent.conf
	as 644 systemd/vggse-agent.rules /lib/udev/rules.d/70-vggse-agent.rules
	as 644 configs/default.yaml /etc/vggse-agent/vggse-agent.yaml
	put 644 demo/bundle/* /usr/share/vggse-agent/demo
}

documents() {
	local doc=/usr/share/doc/vggse-agent manual=$tree/manual
	"$native" man --out "$manual"
	put 644 "$manual"/man1/* /usr/share/man/man1
	put 644 "$manual"/man5/* /usr/share/man/man5
	gzip -9n "$tree"/usr/share/man/man[15]/*
	as 644 "$manual/completions/vggse-agent.bash" /usr/share/bash-completion/completions/vggse-agent
	put 644 "$manual/completions/_vggse-agent" /usr/share/zsh/vendor-completions
	put 644 "$manual/completions/vggse-agent.fish" /usr/share/fish/vendor_completions.d
	rm -rf "$manual"
	put 644 "$from/copyright" docs/operations.md $doc
	scripts/licences | gzip -9n >"$tree$doc/licences.gz"
	gzip -9n <CHANGELOG.md >"$tree$doc/NEWS.gz"
	gzip -9n >"$tree$doc/changelog.gz" <<-EOF
		vggse-agent ($(version)) unstable; urgency=medium

		  * What changed is in NEWS.gz.

		 -- $(sed -n 's/^Maintainer: //p' "$from/control")  $(date -uRd "@$SOURCE_DATE_EPOCH")
	EOF
	put 644 systemd/drop-ins/* $doc/examples/drop-ins
	put 644 configs/grafana/* configs/prometheus/* $doc/examples/monitoring
	as 644 "$from/lintian-overrides" /usr/share/lintian/overrides/vggse-agent
}

control() {
	mkdir "$tree/DEBIAN"
	install -m 755 "$from"/{preinst,postinst,prerm,postrm} "$tree/DEBIAN"
	echo /etc/vggse-agent/vggse-agent.yaml >"$tree/DEBIAN/conffiles"
	(cd "$tree" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
	sed -e "s/@VERSION@/$(version)/" -e "s/@ARCH@/$arch/" -e "s/@SIZE@/$(du -sk --apparent-size --exclude=DEBIAN "$tree" | cut -f 1)/" "$from/control" >"$tree/DEBIAN/control"
	chmod 644 "$tree"/DEBIAN/{conffiles,md5sums,control}
}

program
documents
control
dpkg-deb --root-owner-group -Zxz --build "$tree" "$package" >/dev/null
lintian --fail-on error,warning --tag-display-limit 0 "$package" >&2 || die "lintian finds fault with $package"
say "$package: version $(dpkg-deb -f "$package" Version), $(stat -c %s "$package") bytes, lintian clean"
