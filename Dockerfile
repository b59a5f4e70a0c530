# PrefRoute in one image: the app (default), or a worker (`python cli.py worker`).
#   docker build -t prefroute .
#   docker build --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu -t prefroute .   (no CUDA: some GB smaller)
ARG BASE=python:3.11-slim
FROM ${BASE}

# pip reads this variable by itself while the image is built; empty means PyPI alone.
ARG PIP_EXTRA_INDEX_URL=""

# A fixed uid, so that files in a mounted /data keep their owner from one image to the next.
RUN useradd --uid 10001 --user-group --create-home --shell /usr/sbin/nologin prefroute \
    && install -d -o prefroute -g prefroute /data

# A virtual environment, as the base may be a plain Debian whose own Python must not be touched.
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

WORKDIR /app
# Before the code: a change of code does not install the packages anew.
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .

# HF_HUB_OFFLINE: the bundled encoder needs no download; set it to 0 to use another by name.
ENV DATABASE_URL=sqlite:////data/prefroute.db \
    PREFROUTE_HOST=0.0.0.0 \
    PREFROUTE_PORT=8501 \
    HF_HUB_OFFLINE=1

USER 10001
VOLUME /data
EXPOSE 8501

# Without proxies: an http_proxy of the container must not be asked for our own port.
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PREFROUTE_PORT'] + '/_stcore/health', timeout=4)"]

CMD ["python", "cli.py", "run"]
