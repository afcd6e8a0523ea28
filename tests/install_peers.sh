#!/bin/sh
# mosquitto is the broker that the system tests talk to. Without it they are skipped, and say so.
command -v mosquitto >/dev/null 2>&1 && command -v mosquitto_sub >/dev/null 2>&1 && exit 0
[ -x /usr/sbin/mosquitto ] && command -v mosquitto_sub >/dev/null 2>&1 && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "installing mosquitto for the system tests"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        mosquitto mosquitto-clients; } >/dev/null 2>&1 && exit 0
fi
echo "mosquitto is not installed and cannot be installed from here; the tests that need it are skipped."
echo "To run them: apt-get install mosquitto mosquitto-clients (as root), then make test again."
exit 0
