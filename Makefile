# The front door: each verb only forwards to the script that does it, so nothing is known here alone. `make help` lists them.
#
#   make launch NGPU=2 CONFIG=dit_cifar10 ARGS="--training.steps=10"
.DEFAULT_GOAL := help
.PHONY: help setup build test lint launch submit assets docs image clean
ARGS ?=
export NGPU CONFIG CONFIG_FILE LOG_RANK

help: ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

setup: ## prepare this machine: packages, LibTorch, git hooks (scripts/setup.sh)
	scripts/setup.sh $(ARGS)

build: ## set up if needed, configure once, build the programs (build/release/bin)
	bash -c 'source scripts/ready.sh && titan_ready release programs'

test: ## build and run the tests; ARGS="-L unit" goes to ctest (run_tests.sh)
	./run_tests.sh $(ARGS)

lint: ## formatting and layers (scripts/lint.sh)
	scripts/lint.sh $(ARGS)

launch: ## train here; NGPU, CONFIG, ARGS (run_train.sh)
	./run_train.sh $(ARGS)

submit: ## train on a SLURM cluster; DATAROOT, MODELROOT, LOGDIR, ARGS (run.sub)
	sbatch run.sub $(ARGS)

assets: ## fetch data and weights; ARGS="coco DIR" (scripts/download.sh; without ARGS: what there is)
	scripts/download.sh $(or $(ARGS),--help)

docs: ## the list of settings, docs/config.md
	build/release/bin/titan docs-config > docs/config.md

image: ## container image; ARGS="--build-arg WITH_CUDA=1" (containers/Dockerfile)
	docker build -t titan -f containers/Dockerfile $(ARGS) .

clean: ## remove what was built; caches stay
	rm -rf build/release
