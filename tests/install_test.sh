#!/usr/bin/env bash
# What is installed is enough: the examples compile with one pkg-config line each against an empty prefix, and the one
# in C runs.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(dirname "${FUSEE_BIN_DIR:-build/dev/bin}")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

DESTDIR='' cmake --install "$build" --prefix "$dir/prefix" >"$dir/install.log" || { cat "$dir/install.log"; exit 1; }
"$build/bin/fusee" build examples/digits/digits.onnx --shape-profile image:1x1x8x8,8x1x8x8,32x1x8x8 --save-plan "$dir/digits.plan" >"$dir/build.log" || { cat "$dir/build.log"; exit 1; }
pc=$(dirname "$(find "$dir/prefix" -name fusee.pc)")
export PKG_CONFIG_PATH=$pc
# shellcheck disable=SC2046 # the words of pkg-config are meant to be split
cc -std=c11 -Wall -Wextra -Werror -pedantic examples/c/*.c -o "$dir/example" $(pkg-config --cflags --libs fusee)
LD_LIBRARY_PATH=$(pkg-config --variable=libdir fusee) "$dir/example" "$dir/digits.plan"
# shellcheck disable=SC2046
c++ -std=c++17 -Wall -Wextra -Werror examples/magika/magika.cc -o "$dir/magika" $(pkg-config --cflags --libs fusee RapidJSON)
