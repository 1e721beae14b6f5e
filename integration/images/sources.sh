# The images that are compared; sourced by run and by the benchmark.

# essential_files: names of all files of the essential packages of this Debian and of what they depend on.
essential_files() {
  local merged=
  # Where /bin is a link, packages still call their files /bin/name.
  if [ -L /bin ]; then merged='s#^(bin|s?bin|lib[0-9x]*)/#usr/\1/#'; fi
  dpkg-query --show --showformat '${Package}:${Architecture} ${Essential} ${Priority}\n' |
    awk '$2 == "yes" || $3 == "required" { sub(":all$", "", $1); print $1 }' | xargs dpkg-query --listfiles |
    sed -n 's|^/||p' | grep -Ev '^(\.|proc|sys|dev|run)(/|$)' | sed -E "$merged" | sort -u | while read -r name; do if [ -e "/$name" ] || [ -L "/$name" ]; then echo "$name"; fi; done
}

# debian_image LAYOUT NAME: a base, changes by umoci, and a layer on top by GNU tar with its sparse files.
debian_image() {
  local rootfs=umoci/rootfs
  [ -d "$1" ] || umoci init --layout "$1"
  umoci new --image "$1:$2"
  essential_files >names
  tar --create --file base.tar --format posix --numeric-owner --xattrs --no-recursion --directory / --files-from names
  umoci raw add-layer --image "$1:$2" base.tar
  umoci unpack --image "$1:$2" umoci >/dev/null
  changes umoci/rootfs
  umoci repack --image "$1:$2" --refresh-bundle umoci >/dev/null
  rm -r umoci
  mkdir -p top/srv
  oddities top/srv
  tar --create --file top.tar --format posix --sparse --numeric-owner --directory top srv
  umoci raw add-layer --image "$1:$2" top.tar
  rm -r top top.tar base.tar names
}

# changes DIR: to files and directories that the layer below has.
changes() {
  # umoci writes no entry for a directory that only has changes further down; its mode and time are lost then.
  touch "$1/usr"
  rm "$1/etc/debian_version" "$1/bin/tar"
  rm -r "$1/usr/share/doc"
  mkdir "$1/usr/share/doc"
  echo new >"$1/usr/share/doc/opaque"
  echo changed >>"$1/etc/issue"
  chmod 700 "$1/etc/issue.net"
  chown 7:8 "$1/etc/host.conf"
  rm "$1/bin/cat"
  mkdir "$1/bin/cat"
  echo 'a directory now' >"$1/bin/cat/file"
  rm -r "$1/usr/share/base-files"
  echo 'a file now' >"$1/usr/share/base-files"
  ln -f "$1/bin/ls" "$1/bin/hard"
  mkdir -p "$1/opt/empty"
  chmod 1777 "$1/opt/empty"
  setfattr --name user.note --value 'a note' "$1/etc/issue"
  setfattr --name trusted.note --value 'another' "$1/etc/issue.net"
  cp "$1/bin/true" "$1/opt/capable"
  setcap cap_net_raw+ep "$1/opt/capable"
  chmod 4755 "$1/bin/echo"
  # Not before 1970: podman takes all that to be 1970.
  touch --date '1970-01-01 00:00:01 UTC' "$1/opt/old"
  touch --date '2038-01-20 00:00:00.123456789 UTC' "$1/opt/new"
}

# oddities DIR: names, kinds and sizes that formats of tars have special forms for.
oddities() {
  truncate --size 64M "$1/sparse"
  echo middle | dd of="$1/sparse" bs=1 seek=32M conv=notrunc status=none
  for index in $(seq 0 40); do
    echo piece | dd of="$1/pieces" bs=1 seek="$((index * 100000))" conv=notrunc status=none
  done
  touch "$1/$(printf 'n%.0s' $(seq 150))" "$1/with space" "$1/with"$'\t'"tab" "$1/ünïcode"
  mkdir -p "$1/$(printf 'd%.0s' $(seq 120))/$(printf 'e%.0s' $(seq 120))"
  ln -s "$(printf 't%.0s' $(seq 200))" "$1/long-target"
  ln -s ../../../etc/passwd "$1/upwards"
  mkfifo "$1/fifo"
  mknod "$1/null" c 1 3
  mknod "$1/block" b 7 200
  chmod 0 "$1/with space"
  chown 4000000:3000000 "$1/ünïcode"
}

# busybox_image LAYOUT NAME: one program and its links, as Alpine has it.
busybox_image() {
  mkdir -p small/bin small/etc small/tmp
  cp "$(command -v busybox)" small/bin/busybox
  busybox --list | while read -r name; do [ "$name" = busybox ] || ln -s /bin/busybox "small/bin/$name"; done
  echo 'root:x:0:0:root:/root:/bin/sh' >small/etc/passwd
  chmod 1777 small/tmp
  [ -d "$1" ] || umoci init --layout "$1"
  umoci new --image "$1:$2"
  tar --create --file small.tar --numeric-owner --directory small .
  umoci raw add-layer --image "$1:$2" small.tar
  rm -r small small.tar
}

# split_image LAYOUT NAME COUNT: the base of debian_image in so many layers.
split_image() {
  local part
  umoci init --layout "$1"
  umoci new --image "$1:$2"
  essential_files >names
  split --number "l/$3" names names.
  for part in names.*; do
    tar --create --file base.tar --format posix --numeric-owner --no-recursion --directory / --files-from "$part"
    umoci raw add-layer --image "$1:$2" base.tar
  done
  rm base.tar names names.*
}
