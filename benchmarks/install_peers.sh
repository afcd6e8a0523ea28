#!/bin/sh
# Install the peer that the benchmarks compare flowbus with: Node-RED, headless.
#
# Optional: without it `python -m benchmarks` measures flowbus alone.
# What it does: `npm install` of node-red (and of a Node of its own where the installed one is older
# than Node-RED 5 needs) into ${XDG_CACHE_HOME:-~/.cache}/flowbus-bench/node-red, about 120 MB for
# Node-RED and 190 MB for Node. Nothing is installed system-wide, nothing is written to this
# repository, and no lock file is made. Remove that folder to undo it.
#
# NODE_RED_VERSION and NODE_VERSION choose other versions.
set -eu

node_red=${NODE_RED_VERSION:-5.0.7}
node=${NODE_VERSION:-24}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/flowbus-bench/node-red

command -v npm >/dev/null || { echo "npm is not installed: install Node.js (with npm) first" >&2; exit 1; }

# Node-RED 5 needs Node 22.9 or later; anything older gets one from npm, beside Node-RED.
packages="node-red@$node_red"
if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 9) ? 0 : 1)'
then
    platform=$(node -p 'process.platform + "-" + process.arch')
    packages="$packages node-$platform@$node"
fi

mkdir -p "$cache"
cd "$cache"
[ -e package.json ] || echo '{"private": true}' > package.json
# shellcheck disable=SC2086  # several packages
npm install --no-package-lock --no-audit --no-fund --omit=dev $packages

bundled=$(find "$cache/node_modules" -path '*/node-*/bin/node' -type f | head -n 1)
"${bundled:-node}" --version
echo "Node-RED $(node -p "require('$cache/node_modules/node-red/package.json').version") is in $cache"
