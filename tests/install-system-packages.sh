#!/bin/sh
# Installs what the tests drive and pip cannot bring: Chromium for the page, espeak-ng and flite for the studio.
# Where it may not (no apt, not root), the tests that need them say so.
set -eu
command -v chromium >/dev/null 2>&1 && command -v espeak-ng >/dev/null 2>&1 && command -v flite >/dev/null 2>&1 && exit 0
command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || {
  echo "chromium, espeak-ng or flite is missing; install them to run every test" >&2
  exit 0
}
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium espeak-ng flite
