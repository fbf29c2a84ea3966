#!/bin/sh
# image_root.sh PROGRAM DIR: makes DIR the root of a container image that holds the program, the
# libraries that it is linked to with their copyright notes, a user, and nothing else: no shell, no
# package manager. On Debian; as root the program's file gets the capability to bind port 53.
set -eu
[ $# -eq 2 ] || {
    echo "usage: image_root.sh PROGRAM DIR" >&2
    exit 2
}
program=$1 root=$2
mkdir -p "$root/usr/bin" "$root/etc/signpost" "$root/etc/ssl/certs" "$root/tmp" "$root/usr/share/doc"
install -m 755 "$program" "$root/usr/bin/signpost"

# Each line of ldd: "name => /path (address)" or "/path (address)". Libraries that the C library
# opens by itself for host names are part of it in Debian 12.
ldd "$program" | sed -n 's/^.*[[:space:]]\(\/[^ ]*\) (.*$/\1/p' | while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
    real=$(readlink -f "$library")
    package=$(dpkg-query -S "$real" "/usr$real" "${real#/usr}" 2>/dev/null | sed -n '1s/:.*//p') || true
    if [ -f "/usr/share/doc/$package/copyright" ]; then
        install -D -m 644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
    fi
done

printf 'root:x:0:0:root:/:/sbin/nologin\nsignpost:x:65532:65532:signpost:/:/sbin/nologin\n' \
    >"$root/etc/passwd"
printf 'root:x:0:\nsignpost:x:65532:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    install -m 644 /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi
chmod 1777 "$root/tmp"
if [ "$(id -u)" = 0 ]; then
    setcap cap_net_bind_service=+ep "$root/usr/bin/signpost"
fi
