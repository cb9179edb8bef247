#!/bin/sh
# The file system of the image, into a folder: layout.sh BINARY FOLDER
#
# The binary with the libraries that it is linked to, root certificates, the shipped configuration, and a folder for the admin socket.
# deploy/Dockerfile runs it, and a test starts the sidecar from what it makes.
set -eu
[ $# = 2 ] || { echo "usage: layout.sh BINARY FOLDER" >&2; exit 2; }
binary=$1 folder=$2 project=$(dirname "$0")/..

mkdir -p "$folder/usr/bin" "$folder/etc/edge-sidecar" "$folder/etc/ssl/certs" "$folder/run/edge-sidecar"
cp "$binary" "$folder/usr/bin/edge-sidecar"
cp "$project/config/sidecar.yaml" "$project/config/rules.yaml" "$folder/etc/edge-sidecar/"
cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/"
echo 'nonroot:x:65532:65532::/:/sbin/nologin' >"$folder/etc/passwd"
ldd "$binary" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) .*/\1/p' | while read -r library; do
  mkdir -p "$folder$(dirname "$library")"
  cp -L "$library" "$folder$library"
done
chmod -R a+rX "$folder"
