#!/usr/bin/env bash
# The Makefile only forwards, and the images are made by the steps of a machine without containers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
die() { echo "FAILED: $*"; exit 1; }
same() { [[ $1 == "$2" ]] || die "$3: '$1', not '$2'"; }

if command -v make >/dev/null; then
  same "$(make -n setup ARGS=--with-cuda)" "scripts/setup.sh --with-cuda" setup
  same "$(make -n build)" "bash -c 'source scripts/ready.sh && titan_ready release programs'" build
  same "$(make -n test ARGS='-L unit')" "./run_tests.sh -L unit" test
  same "$(make -n lint)" "scripts/lint.sh " lint
  same "$(make -n launch ARGS=--training.steps=3)" "./run_train.sh --training.steps=3" launch
  same "$(make -n submit)" "sbatch run.sub " submit
  same "$(make -n assets ARGS='coco DIR')" "scripts/download.sh coco DIR" assets
  verbs=$(sed -n 's/^\.PHONY: //p' Makefile)
  for verb in $verbs; do make help | grep -q "make $verb " || die "make help does not name $verb"; done
  for script in $(grep -oE '^	(scripts/[a-z_]+\.sh|\./run_[a-z]+\.sh)' Makefile); do [[ -x $script ]] || die "$script is not there"; done
fi

# Both recipes, cut down to what they run.
docker=$(sed -n 's/^RUN //p' containers/Dockerfile | grep -v '^mkdir')
apptainer=$(sed -n '/^%post/,/^%environment/p' containers/titan.def | sed -n 's/^  //p' | grep -vE '^(export|cd) ')
same "$docker" "$apptainer" "containers/titan.def and containers/Dockerfile differ"
grep -q '^scripts/setup.sh ' <<<"$docker" || die "the image is not set up by setup.sh"
for option in $(grep -oE -- '--with-[a-z]+' <<<"$docker"); do
  grep -q -- "    $option)" scripts/setup.sh || die "setup.sh does not know $option"
done
echo "front door: forwards; images: the steps of setup.sh"
