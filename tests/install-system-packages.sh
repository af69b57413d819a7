#!/bin/sh
# Installs what the tests drive and pip cannot bring: Chromium for the page, and the studio's synthesisers.
# Where it may not (no apt, not root), the tests that need them say so.
set -eu
missing=no
for program in chromium espeak-ng flite festival; do command -v "$program" >/dev/null 2>&1 || missing=yes; done
voices=/usr/share/festival/voices
for voice in italian/lp_diphone finnish/suo_fi_lj_diphone czech/czech_dita catalan/upc_ca_ona_hts; do
  [ -d "$voices/$voice" ] || missing=yes
done
[ "$missing" = no ] && exit 0
command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || {
  echo "chromium, espeak-ng, flite, festival or a voice is missing; install them to run every test" >&2
  exit 0
}
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium espeak-ng flite \
  festival festvox-italp16k festvox-suopuhe-lj festvox-czech-dita festvox-ca-ona-hts
