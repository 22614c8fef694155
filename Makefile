# `make` alone prints what there is. Every target that needs something installs it first: see scripts/deps.

TAGS    := gocv,gocv_specific_modules,gocv_videoio
VERSION ?= $(or $(shell git describe --tags --always --dirty 2>/dev/null),dev)
COMMIT  ?= $(or $(shell git rev-parse --short=12 HEAD 2>/dev/null),unknown)
# The agent loads OpenCV where it is needed, by these names: docs/decisions/019.
OPENCV_LIBS = $(shell for m in videoio imgcodecs; do objdump -p $$(pkg-config --variable=libdir opencv4)/libopencv_$$m.so | sed -n 's/ *SONAME *//p'; done)
GO_BUILD = CGO_CXXFLAGS="--std=c++11 -O2 -DNDEBUG $$(pkg-config --cflags opencv4)" go build -tags $(TAGS),customenv,lateopencv -trimpath \
	-ldflags "-X main.version=$(VERSION) -X main.commit=$(COMMIT) -X 'github.com/vggse/vggse-agent/camera.libraries=$(OPENCV_LIBS)' \
	-extldflags -Wl,-z,lazy"

SOAK     = go test -tags $(TAGS) -count=1 -v -timeout 4h

BENCH_PAGE = go test -tags $(TAGS),pagefigures -count=1 -v -timeout 30m ./cmd/vggse-agent -run TestPageFigures \
	-figures $(CURDIR)/bench/results/live-page.md $(BENCHFLAGS)

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 20s

export BUNDLE SOURCE BROKER ARCH ORT_LIB

.DEFAULT_GOAL := help
.PHONY: help deps deps-test openvino build run watch test screenshots race soak lint fuzz bench man release deb test-arm64 test-deb test-systemd test-ha test-recipes image test-vivid gpu-check measure reproduce clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install what building and running need (ARCH=arm64: that ONNX Runtime; ORT_LIB=FILE: this one)
	@scripts/deps

deps-test:
	@scripts/deps test

openvino: ## fetch ONNX Runtime with OpenVINO, for x86-64, and say how to install it
	@scripts/deps openvino

build: deps bin/libvggse-ort-shim.so ## write bin/vggse-agent, and the shim for an ONNX Runtime older than 1.24
	$(GO_BUILD) -o bin/vggse-agent ./cmd/vggse-agent

bin/libvggse-ort-shim.so: infer/shim/shim.c
	@mkdir -p bin
	$(or $(CC),cc) -shared -fPIC -O2 -Wall -Wextra -Werror -fvisibility=hidden -o $@ $<

run: build ## the demo, or BUNDLE=dir SOURCE=uri BROKER=url ARGS='--set key=value'
	@bin/vggse-agent run $${BUNDLE:+--bundle "$$BUNDLE"} $${SOURCE:+--source "$$SOURCE"} $${BROKER:+--broker "$$BROKER"} $(ARGS)

watch: build ## live table of what the broker carries (BROKER=url ARGS=…)
	@bin/vggse-agent watch $${BROKER:+--broker "$$BROKER"} $(ARGS)

test: deps-test ## all tests (TESTFLAGS=…)
	go test -timeout 30m -tags $(TAGS) $(TESTFLAGS) ./...

screenshots: deps-test ## pictures of the live page into docs/images/, 2 minutes
	go test -tags $(TAGS),screenshots -count=1 -timeout 10m ./cmd/vggse-agent -run 'Test(Teach)?Screenshots$$'

race: deps-test ## all tests under the race detector
	go test -race -timeout 60m -tags $(TAGS) $(TESTFLAGS) ./...

soak: deps-test ## the long tests, about six hours: kills, crashes, damage, outages, attacks, an hour of fuzzing
	$(SOAK) ./cmd/vggse-agent -run 'TestKilledAgent|TestKilledOnTrial|TestTroubleDropsNothing' -lives 50 -trouble 30s
	$(SOAK) ./cmd/vggse-agent -run TestDamagedStates -states 200
	$(SOAK) ./cmd/vggse-agent -run TestHostilePeers -hostile 1h
	go test -tags $(TAGS),pagefigures -count=1 -v -timeout 1h ./cmd/vggse-agent -run TestWatched
	$(SOAK) ./camera/worker -run 'TestKilledChildren|TestGarbageBeside|TestOpenings' -kills 1000 -cameras 8 -network 16 -openings 1000 -whole
	$(SOAK) ./camera/worker -run TestMutatedStreams -hostile 1h
	$(SOAK) ./agent/pipeline -run 'TestFaults|TestLostCamera' -faults 500 -whole
	go test -tags $(TAGS),matprofile -count=1 -v -timeout 1h ./camera -run TestNothingLeaks -cycles 1000
	$(SOAK) ./mqtt/spool -run 'TestPowerCuts|TestDamage|TestFailingDisk' -schedules 50000 -damages 20000
	$(SOAK) ./mqtt -run 'TestOutage|TestReconnects|TestBrokerBack|TestHostile|TestDeadPeer' -whole
	$(SOAK) ./mqtt -run TestPeers -peers ../bench/results/mqtt-peers.md
	$(SOAK) ./mqtt -run TestKillCycles -cycles 10000
	$(SOAK) ./mqtt/spool -run '^$$' -bench Outage -benchtime 2000x
	$(SOAK) ./agent -run 'TestFleet$$' -fleet 10000 -fleet-kills 100
	$(SOAK) ./agent -run 'TestBadCandidates|TestGoodCandidates|TestShadow$$' -candidates 100
	$(SOAK) ./importer -run TestMutatedNetworks -mutants 10000
	$(SOAK) ./release -soak -run 'TestKilledPulls|TestMutants|TestPasswords' -kills 1000 -mutants 10000
	$(MAKE) fuzz FUZZTIME=10m FUZZ=mqtt

lint: deps ## gofmt, go vet and staticcheck, with and without OpenCV
	@files=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$files" ] || { echo "not formatted (gofmt -w cures it):"; echo "$$files"; exit 1; }
	go vet -tags $(TAGS),vivid,screenshots,pagefigures ./...
	go vet ./...
	go run $(STATICCHECK) -tags $(TAGS),vivid ./...

fuzz: deps ## every fuzz test for FUZZTIME (20s), or those in the folders FUZZ
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' $(or $(FUZZ),.) | xargs -r -n1 dirname | sort -u); do \
		for f in $$(grep -h -o '^func Fuzz[A-Za-z0-9_]*' $$p/*_test.go | cut -c6-); do \
			echo "$$p $$f"; go test -tags $(TAGS) -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) ./$$p || exit 1; \
		done; done

bench: $(if $(filter page,$(BENCH)),deps-test,build $(if $(filter engines,$(BENCH)),openvino build/bench/engines,build/bench/venv) $(if $(filter teach prune,$(BENCH)),build/train/.bench)) ## speed against the bare runtime and a Python script, into bench/results/ (BENCH=ring, peer, trouble or cameras: a part of it; BENCH=int8: what calibrate makes; release: what travels; BENCH=pull: a pull beside the pipeline; BENCH=teach: teach against the heads of others, BENCH=teach-cost: its time and memory; BENCH=prune: prune against others' choices of channels; BENCH=engines: the same weights in other engines; BENCH=page: the live page)
	$(if $(filter page,$(BENCH)),$(BENCH_PAGE),go run -tags $(TAGS) ./bench $(BENCHFLAGS) $(or $(BENCH),all))

build/bench/engines: bench/peer/requirements-engines.txt
build/bench/venv: bench/peer/requirements.txt
build/bench/engines build/bench/venv:
	@scripts/deps bench
	python3 -m venv $@
	$@/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

build/train/.bench: train/requirements.txt bench/teach/requirements.txt bench/prune/requirements.txt
	python3 -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(addprefix -r ,$^)
	@touch $@

man: build ## man pages and shell completions into build/manual/
	rm -rf build/manual
	bin/vggse-agent man --out build/manual

release: ## build/release/{amd64,arm64}/vggse-agent for Debian 11, JetPack 5 and newer, checked; arm64 is run under qemu
	@scripts/deps cross
	@for a in amd64 arm64; do cross/link.sh $$a && cross/check.sh $$a || exit 1; done
	@cross/emulate.sh

test-arm64: release ## on arm64 under qemu: calibrate gives the same files as on amd64, or ranges within 1e-4; teach the same coefficients
	@cross/calibrate.sh
	@cross/teach.sh

deb: release ## build/release/vggse-agent_{amd64,arm64}.deb, held against lintian
	@cross/deb.sh amd64 & cross/deb.sh arm64 && wait $$!

image: deb ## build/release/vggse-agent.oci.tar, an OCI image for amd64 and arm64, made without Docker. As root
	@for a in amd64 arm64; do cross/image.sh $$a || exit 1; done
	cd deploy && go run ./image --out ../build/release/vggse-agent.oci.tar --name vggse-agent:$(VERSION) --version $(VERSION) \
		--epoch $$(git log -1 --format=%ct) amd64=../build/release/image-amd64 arm64=../build/release/image-arm64

test-deb: deb ## try the packages in Debian 11 to 13 and Ubuntu 20.04 to 24.04 (arm64 in Debian 11 under qemu). As root
	@for on in 'amd64 bullseye' 'amd64 bookworm' 'amd64 trixie' 'amd64 focal' 'amd64 jammy' 'amd64 noble' 'arm64 bullseye'; do cross/install.sh $$on || exit 1; done

test-systemd: deb ## boot Debian 12 with systemd-nspawn and try the service in it. As root
	@scripts/deps systemd
	@cross/boot.sh

test-ha: build ## discovery, states and recorder of a live Home Assistant, 5 minutes (SECONDS_LIVE=…; Python 3.13)
	@scripts/ha-check

test-recipes: build ## try the Ansible role with ansible-core from PyPI, and the Helm chart (IMAGE=FILE of 'make image': run its pod with podman)
	@deploy/ansible/check.sh
	@deploy/helm/check.sh

test-vivid: ## capture, unplug, busy, stall of a V4L2 camera, the kernel's virtual one, in an emulated machine (Debian, amd64)
	@scripts/vivid

gpu-check: deps ## build/gpu-check.tar.gz: what to run, offline, on a machine with an NVIDIA GPU, to see what holds there
	@scripts/deps cross
	@cross/gpu-check.sh

measure: deps ## start to READY, memory beyond the model, CPU on a still scene, of the release build
	@scripts/deps cross
	@cross/link.sh amd64 && cross/measure.py build/release/amd64/vggse-agent

reproduce: release ## build the commit twice and compare the bytes (minutes)
	@for a in amd64 arm64; do cross/reproduce.sh $$a || exit 1; done

clean: ## remove bin/ and build/, the ONNX Runtime with it
	rm -rf bin build
