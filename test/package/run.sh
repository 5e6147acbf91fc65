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
# the build has four files for each source, and nothing else
stems() { tar tzf "$work"/effect-rpc-retry-*.tgz | sed -nE "s#^package/$1#\1#p" | sort; }
for end in js js.map d.ts d.ts.map; do
  diff <(stems "src/(.*)\.ts$") <(stems "dist/(.*)\.$end$" | grep -v '\.d$')
done
test "$(stems 'dist/(.*)$' | wc -l)" = "$((4 * $(stems 'src/(.*)\.ts$' | wc -l)))"
# from ESM, as `import` and bundlers resolve it: the package has no CommonJS
entries=$(node -p "Object.keys(require('./package.json').exports).filter((path) => /^\.(\/[A-Z]\w*)?$/.test(path)).join(' ')")
npx --yes @arethetypeswrong/cli@0.18.5 "$work"/effect-rpc-retry-*.tgz --profile esm-only --quiet \
  --entrypoints $entries ./RpcRetry ./RetryPolicy ./testing/Faults ./testing/FlakyServer
echo "types: every entry point resolves under node16 and bundler"

node --import tsx test/package/adopt.ts "$work"/effect-rpc-retry-*.tgz

cd "$work"
cp "$root/.npmrc" "$root"/test/package/{use.ts,missing.mjs,licenses.mjs} .
cat > package.json <<'JSON'
{ "name": "empty-project", "version": "0.0.0", "private": true, "type": "module" }
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
npm install --silent ./effect-rpc-retry-*.tgz "effect@$(version effect)"
node missing.mjs HttpRpc:@effect/platform JsonRpc:@effect/platform Kubernetes:@effect/platform
add @effect/platform
node missing.mjs Grpc:@grpc/grpc-js Connect:@connectrpc/connect ConnectNode:@connectrpc/connect-node \
  EffectRpc:@effect/rpc Thrift:@effect/platform-node GoRpc:@effect/platform-node HttpPool:@effect/platform-node
add @effect/platform-node typescript @types/node
node missing.mjs Grpc:@grpc/grpc-js Connect:@connectrpc/connect Thrift:thrift
add @effect/rpc @grpc/grpc-js @connectrpc/connect @connectrpc/connect-node @bufbuild/protobuf thrift
for typescript in 5.9.3 6.0.3 7.0.2; do
  npm install --silent --no-save "typescript-$typescript@npm:typescript@$typescript"
  for resolution in NodeNext Bundler; do
    module=$([ "$resolution" = Bundler ] && echo ESNext || echo NodeNext)
    node "node_modules/typescript-$typescript/bin/tsc" --noEmit --module "$module" --moduleResolution "$resolution"
    echo "types: TypeScript $typescript, $resolution"
  done
done
npx tsc
node use.js
npm prune --silent
npm sbom --sbom-format cyclonedx --omit dev > sbom.json
node licenses.mjs < sbom.json
