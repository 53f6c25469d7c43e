#!/bin/sh
# build.sh - build/rematd_VERSION_ARCH.deb from bin/ and build/man: build.sh VERSION
#
# With dpkg-dev the dependencies are what the programs are linked to; without it, and without dpkg-deb, it says so.
set -eu
cd "$(dirname "$0")/../.."
version=$1
for tool in dpkg-deb dpkg-shlibdeps; do
  command -v $tool >/dev/null || {
    echo "deb: left out: no $tool here (apt-get install dpkg-dev)" >&2
    exit 0
  }
done
arch=$(dpkg --print-architecture)
top=build/deb
tree=$top/debian/rematd
rm -rf $top
umask 022
mkdir -p $tree/DEBIAN

put() { # MODE FROM TO
  install -D -m "$1" "$2" "$tree/$3"
}
put 755 bin/rematd usr/bin/rematd
put 755 bin/rematctl usr/bin/rematctl
strip --remove-section=.comment --remove-section=.note $tree/usr/bin/rematd $tree/usr/bin/rematctl
put 644 deploy/rematd.service usr/lib/systemd/system/rematd.service
put 644 deploy/rematd.ini etc/rematd/rematd.ini
put 644 deploy/alerts.yml usr/share/doc/rematd/examples/alerts.yml
put 644 deploy/grafana.json usr/share/doc/rematd/examples/grafana.json
for text in operations protocol memory-model; do
  put 644 docs/$text.md usr/share/doc/rematd/$text.md
done
for page in rematd rematctl; do
  put 644 build/man/$page.1 usr/share/man/man1/$page.1
  gzip -9n $tree/usr/share/man/man1/$page.1
done
bin/rematctl completion bash >$top/bash
bin/rematctl completion zsh >$top/zsh
bin/rematctl completion fish >$top/fish
put 644 $top/bash usr/share/bash-completion/completions/rematctl
put 644 $top/zsh usr/share/zsh/vendor-completions/_rematctl
put 644 $top/fish usr/share/fish/vendor_completions.d/rematctl.fish

# The time of the last commit: the same sources give the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
{
  printf 'rematd (%s) stable; urgency=medium\n\n  * Version %s.\n\n' "$version" "$version"
  printf ' -- rematd <maintainers@rematd.invalid>  %s\n' "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} >$top/changelog
put 644 $top/changelog usr/share/doc/rematd/changelog
gzip -9n $tree/usr/share/doc/rematd/changelog
{
  printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: rematd\n\n'
  printf 'Files: *\nCopyright: %s\nLicense: Expat\n' "$(sed -n 's/^Copyright *//p' LICENSE | head -n 1)"
  sed '1,/^Permission/{/^Permission/!d}; s/^$/./; s/^/ /' LICENSE
} >$top/copyright
put 644 $top/copyright usr/share/doc/rematd/copyright

# dpkg-shlibdeps wants the sources' control file where it is called.
printf 'Source: rematd\n\nPackage: rematd\nArchitecture: any\nDescription: x\n' >$top/debian/control
depends=$(cd $top && dpkg-shlibdeps -O debian/rematd/usr/bin/rematd debian/rematd/usr/bin/rematctl 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ]
sed -e "s/@version@/$version/" -e "s/@arch@/$arch/" -e "s/@depends@/$depends/" \
  -e "s/@size@/$(du -sk --exclude=DEBIAN $tree | cut -f1)/" deploy/deb/control.in >$tree/DEBIAN/control
echo /etc/rematd/rematd.ini >$tree/DEBIAN/conffiles
for script in postinst prerm postrm; do
  install -m 755 deploy/deb/$script $tree/DEBIAN/$script
done
(cd $tree && find usr -type f | LC_ALL=C sort | xargs md5sum) >$tree/DEBIAN/md5sums
package=build/rematd_${version}_$arch.deb
dpkg-deb --root-owner-group -Zxz --build $tree "$package" >/dev/null
echo "$package: $(stat -c %s "$package") bytes"
if command -v lintian >/dev/null; then
  lintian --fail-on error,warning --suppress-tags initial-upload-closes-no-bugs "$package"
else
  echo "deb: not looked at by lintian, which is not here" >&2
fi
