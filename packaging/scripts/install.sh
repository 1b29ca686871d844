#!/bin/sh
# Installs, upgrades and removes the Farol of this folder on a machine that has
# systemd and neither dpkg nor rpm. What happens before and after the files go is
# the packages' own preinst, postinst, prerm and postrm, in scripts/: the same
# first start, the same way back from an upgrade that does not come up.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
list=/etc/farol/installed # what this script put where, the prefix first
oldest=239                # systemd: what the units say of the sandbox is known from here on

usage() {
	cat <<-USAGE
		usage: ./install.sh [--prefix FOLDER]   install, or upgrade what is installed
		       ./install.sh --remove            remove the program; data and keys stay
		       ./install.sh --purge             the configuration too; archive and host key stay
		--prefix: where the program goes when /usr cannot be written, say /volume1/farol;
		units then lie in /etc/systemd/system.
	USAGE
	exit 2
}
refuse() {
	printf 'install.sh: %s\n' "$*" >&2
	exit 1
}

able() { # to do anything at all on this machine
	[ "$(id -u)" = 0 ] || refuse "this needs root: sudo ./install.sh"
	[ -d /run/systemd/system ] || refuse "systemd does not run this machine. Where containers can be had, oci/README says how."
	for p in systemctl systemd-sysusers systemd-tmpfiles; do
		command -v $p >/dev/null || refuse "$p is missing: this systemd is not whole enough"
	done
	has=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
	[ "${has:-0}" -ge $oldest ] || refuse "systemd $has is too old, the service needs $oldest. Where containers can be had, oci/README says how."
}

alone() { # no package has put a Farol here
	state=$(dpkg-query -W -f '${db:Status-Status}' farol 2>/dev/null) || state=
	case $state in
	'' | not-installed | config-files) ;;
	*) refuse "the .deb is installed here. Upgrade with the .deb, or first: dpkg --remove farol (the data stays)." ;;
	esac
	if rpm -q farol >/dev/null 2>&1; then
		refuse "the .rpm is installed here. Upgrade with the .rpm, or first: rpm -e farol (the data stays)."
	fi
}

fits() { # the machine is what this was built for
	case $(uname -m) in
	x86_64) machine=amd64 ;;
	aarch64) machine=arm64 ;;
	*) machine=$(uname -m) ;;
	esac
	[ "$machine" = "$(cat "$here/arch")" ] || refuse "this is for $(cat "$here/arch"), the machine is $machine: take the other file"
}

writable() { # FOLDER
	mkdir -p "$1" 2>/dev/null && (: >"$1/.farol-$$") 2>/dev/null && rm -f "$1/.farol-$$"
}

# settle decides where the program lies: where it did, or where it is told to.
settle() {
	was=$(sed -n '1s/^prefix //p' "$list" 2>/dev/null) || was=
	prefix=${asked:-${was:-/usr}}
	[ -z "$was" ] || [ "$prefix" = "$was" ] || refuse "it is installed below $was. To move it: ./install.sh --remove (the data stays), then install again."
	case $prefix in
	*[!A-Za-z0-9/._-]* | [!/]* | */ | *//* | */../* | */..) refuse "--prefix must be a plain path from the root: $prefix" ;;
	/home | /home/* | /root | /root/* | /run | /run/* | /tmp | /tmp/* | /var/tmp | /var/tmp/* | /dev/* | /proc/* | /sys/*)
		refuse "the service does not see programs below $prefix: take a folder of a data volume" ;;
	esac
	[ "$mode" = install ] || return 0
	if ! writable "$prefix/bin" || ! writable "$prefix/lib"; then
		refuse "$prefix cannot be written on this machine. Name a folder of a data volume that can: ./install.sh --prefix /volume1/farol"
	fi
	writable /etc/systemd/system || refuse "/etc/systemd/system cannot be written: no service can be installed here"
	writable /var/lib || refuse "/var/lib cannot be written: the service keeps its databases there"
}

# to is where a file of usr/ goes. Below a prefix only the program does: systemd
# reads what is its own from /etc.
to() {
	if [ "$prefix" = /usr ]; then
		echo "/$1"
		return
	fi
	case $1 in
	usr/lib/systemd/* | usr/lib/sysusers.d/* | usr/lib/tmpfiles.d/*) echo "/etc/${1#usr/lib/}" ;;
	*) echo "$prefix/${1#usr/}" ;;
	esac
}

# ours turns the packages' paths into those of the prefix.
ours() { sed "s|/usr/lib/farol|$prefix/lib/farol|g; s|/usr/bin/farol|$prefix/bin/farol|g; s|^\[Unit\]\$|&\nRequiresMountsFor=$prefix|" "$1"; }

put() { # FROM TO: whole or not there, whatever happens
	mkdir -p "$(dirname "$2")"
	case $1 in
	*/bin/farol) cp "$1" "$2.tmp" ;;
	*/lib/farol/* | *.service)
		if [ "$prefix" = /usr ]; then cp "$1" "$2.tmp"; else ours "$1" >"$2.tmp"; fi
		;;
	*) cp "$1" "$2.tmp" ;;
	esac
	if [ -x "$1" ]; then chmod 755 "$2.tmp"; else chmod 644 "$2.tmp"; fi
	chown 0:0 "$2.tmp"
	sync "$2.tmp"
	mv -f "$2.tmp" "$2"
}

script() { # NAME ARGUMENT: as the packages run it
	ours "$here/scripts/$1" >"$work/$1"
	PATH=$prefix/bin:/usr/sbin:/usr/bin:/sbin:/bin FAROL_AGAIN="./install.sh" sh "$work/$1" "$2"
}

# files of this folder, and of the version before where it is another.
files() { (cd "$here" && find usr -type f | sort); }

remember() {
	mkdir -p /etc/farol
	{
		echo "prefix $prefix"
		{
			sed 1d "$list" 2>/dev/null || true
			files | while read -r f; do to "$f"; done
		} | sort -u
	} >"$list.tmp"
	sync "$list.tmp"
	mv -f "$list.tmp" "$list"
}

install_it() {
	fits
	"$here/usr/bin/farol" --version >/dev/null || refuse "the program does not run on this machine, or nothing may be run from $here (noexec)"
	how=upgrade
	if [ ! -x "$prefix/bin/farol" ] || [ -e "$prefix/lib/farol/new" ]; then how=install; fi
	script preinst $how
	remember
	files | while read -r f; do put "$here/$f" "$(to "$f")"; done
	[ -e /etc/farol/farol.yaml ] || put "$here/etc/farol/farol.yaml" /etc/farol/farol.yaml
	sync
	script postinst configure
	[ "$prefix" = /usr ] || echo "farol: the program is $prefix/bin/farol"
}

remove_it() {
	if [ ! -e "$list" ]; then
		[ "$mode" = purge ] || refuse "nothing that this script installed is here"
		return 0
	fi
	script prerm remove
	sed 1d "$list" | while read -r f; do rm -f "$f"; done
	# Folders that are empty now were Farol's, the deepest first.
	sed 1d "$list" | while read -r f; do
		d=$(dirname "$f")
		while rmdir "$d" 2>/dev/null; do d=$(dirname "$d"); done
	done
	rm -f "$list"
	script postrm remove
	rmdir "$prefix/lib" "$prefix" 2>/dev/null || true
}

mode=install
asked=
while [ $# -gt 0 ]; do
	case $1 in
	--prefix)
		[ $# -gt 1 ] || usage
		asked=$2
		shift
		;;
	--prefix=*) asked=${1#*=} ;;
	--remove) mode=remove ;;
	--purge) mode=purge ;;
	*) usage ;;
	esac
	shift
done

able
alone
settle
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $mode in
install) install_it ;;
remove) remove_it ;;
purge)
	remove_it
	script postrm purge
	;;
esac
