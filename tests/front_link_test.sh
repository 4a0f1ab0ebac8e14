#!/usr/bin/env bash
# fusee-front holds no kernel, no runtime, no compiler and no CUDA: what it is linked from proves it.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${FUSEE_BIN_DIR:-build/dev/bin}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

forbidden='fusee::(ops|runtime|compiler|passes|ir|onnx|worker)::|cuda|cudnn|cublas|dlopen'
nm --demangle "$bin/fusee-front" >"$dir/front"
nm --demangle "$bin/fusee-worker" >"$dir/worker"
[[ -s $dir/front ]] || { echo "fusee-front has no symbol table: build it unstripped"; exit 1; }
# The same search must find them where they are, or it proves nothing.
grep -qE 'fusee::ops::' "$dir/worker" && grep -qE 'fusee::runtime::' "$dir/worker" || { echo "the search finds no kernel in fusee-worker either"; exit 1; }
if grep -iE "$forbidden" "$dir/front" | head -20 | tee "$dir/found" | grep -q .; then
  echo "FAIL: fusee-front links what it must not:"
  cat "$dir/found"
  exit 1
fi
readelf --dynamic "$bin/fusee-front" | grep NEEDED | tee "$dir/needed"
if grep -iE 'cuda|cudnn|cublas|nvidia|onnxruntime|libfusee' "$dir/needed"; then
  echo "FAIL: fusee-front needs a library that it must not"
  exit 1
fi
echo "ok: $(wc -l <"$dir/front") symbols, none of a kernel, the runtime or CUDA"
