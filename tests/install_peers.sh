#!/bin/sh
# Peers that tests talk to: mosquitto, Chromium, of Node.js the WebSocket library `ws` and the ADS clients
# `ads-client` and `node-ads`, and for Python 3.13 the ADS client CATio, these in ${XDG_CACHE_HOME:-~/.cache}/flowbus-tests.
# Without them their tests are skipped, and say so.

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

cache=${XDG_CACHE_HOME:-$HOME/.cache}/flowbus-tests

# npm_install NAME PACKAGE@VERSION: into the folder NAME of the cache.
npm_install() {
    [ -d "$cache/$1/node_modules/${2%@*}" ] && return 0
    command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || return 1
    echo "installing $2 for the system tests, in $cache/$1"
    mkdir -p "$cache/$1" && cd "$cache/$1" || return 1
    [ -e package.json ] || echo '{"private": true}' > package.json
    npm install --no-package-lock --no-audit --no-fund --omit=dev "$2" >/dev/null 2>&1
}

# CATio, which introspects TwinCAT systems; its constants need the enum of Python 3.13.
catio_install() {
    [ -x "$cache/catio/bin/python" ] && return 0
    command -v python3.13 >/dev/null 2>&1 || return 1
    echo "installing fastcs-catio for the tests, in $cache/catio"
    mkdir -p "$cache" && python3.13 -m venv "$cache/catio" >/dev/null 2>&1 &&
        "$cache/catio/bin/pip" install -q fastcs-catio==1.1a3 >/dev/null 2>&1 && return 0
    rm -rf "$cache/catio"
    return 1
}

mosquitto_is_there || apt_install mosquitto mosquitto-clients || {
    echo "mosquitto is not installed and cannot be installed from here; the tests that need it are skipped."
    echo "To run them: apt-get install mosquitto mosquitto-clients (as root), then make test again."
}
chromium_is_there || apt_install chromium || {
    echo "Chromium is not installed and cannot be installed from here; the tests that need it are skipped."
    echo "To run them: apt-get install --no-install-recommends chromium (as root), then make test again."
}
for peer in "ws ws@8" "ads ads-client@2.1.0" "node-ads node-ads@1.5.1"; do
    # shellcheck disable=SC2086  the two words are the two arguments
    (npm_install $peer) || {
        echo "Node.js or its package ${peer#* } cannot be installed from here; the tests that need it are skipped."
    }
done
catio_install || {
    echo "Python 3.13 or its package fastcs-catio cannot be had here; the test that needs it is skipped."
}
exit 0
