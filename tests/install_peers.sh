#!/bin/sh
# Peers that the system tests talk to: mosquitto, Chromium, and the WebSocket library `ws` of Node.js in
# ${XDG_CACHE_HOME:-~/.cache}/flowbus-tests. Without them their tests are skipped, and say so.

mosquitto_is_there() {
    command -v mosquitto >/dev/null 2>&1 || [ -x /usr/sbin/mosquitto ] || return 1
    command -v mosquitto_sub >/dev/null 2>&1
}

chromium_is_there() {
    command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1
}

apt_install() {
    command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || return 1
    echo "installing $* for the system tests"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "$@"; } >/dev/null 2>&1
}

node_ws=${XDG_CACHE_HOME:-$HOME/.cache}/flowbus-tests/ws

install_node_ws() {
    command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || return 1
    echo "installing ws for the system tests, in $node_ws"
    mkdir -p "$node_ws" && cd "$node_ws" || return 1
    [ -e package.json ] || echo '{"private": true}' > package.json
    npm install --no-package-lock --no-audit --no-fund --omit=dev ws@8 >/dev/null 2>&1
}

mosquitto_is_there || apt_install mosquitto mosquitto-clients || {
    echo "mosquitto is not installed and cannot be installed from here; the tests that need it are skipped."
    echo "To run them: apt-get install mosquitto mosquitto-clients (as root), then make test again."
}
chromium_is_there || apt_install chromium || {
    echo "Chromium is not installed and cannot be installed from here; the tests that need it are skipped."
    echo "To run them: apt-get install --no-install-recommends chromium (as root), then make test again."
}
[ -e "$node_ws/node_modules/ws/package.json" ] || (install_node_ws) || {
    echo "Node.js or its package ws cannot be installed from here; the tests that need it are skipped."
}
exit 0
