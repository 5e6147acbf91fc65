#!/usr/bin/env bash
# Builds and packs the package, installs the tarball into an empty project, type-checks and runs code there.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$root"
rm -rf dist
npm run --silent build
npx publint --strict
npm pack --silent --pack-destination "$work"

cd "$work"
cp "$root/.npmrc" "$root"/test/package/{use.ts,missing.mjs} .
cat > package.json <<'JSON'
{ "name": "empty-project", "private": true, "type": "module" }
JSON
cat > tsconfig.json <<'JSON'
{
  "compilerOptions": {
    "target": "ES2022",
    "module": "NodeNext",
    "strict": true,
    "exactOptionalPropertyTypes": true,
    "skipLibCheck": true,
    "types": ["node"]
  }
}
JSON
version() { node -p "require('$root/package.json').devDependencies['$1']"; }
add() { for name in "$@"; do echo "$name@$(version "$name")"; done | xargs npm install --silent; }
npm install --silent ./effect-rpc-retry-*.tgz "effect@$(version effect)" "@effect/platform@$(version @effect/platform)"
node missing.mjs Grpc:@grpc/grpc-js Connect:@connectrpc/connect ConnectNode:@connectrpc/connect-node \
  EffectRpc:@effect/rpc Thrift:@effect/platform-node GoRpc:@effect/platform-node HttpPool:@effect/platform-node
add @effect/platform-node typescript @types/node
node missing.mjs Grpc:@grpc/grpc-js Connect:@connectrpc/connect Thrift:thrift
add @effect/rpc @grpc/grpc-js @connectrpc/connect @connectrpc/connect-node @bufbuild/protobuf thrift
npx tsc
node use.js
