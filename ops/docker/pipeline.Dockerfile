# syntax=docker/dockerfile:1
# The example pipeline (examples/python-pipeline) in a container: watches /documents, and reports to the hub.
#
# What may come in: a folder of documents, and RAGPULSE_URL; the token from the file named by RAGPULSE_TOKEN_FILE.
# What it never does: run as root, or write to the documents.

FROM python:3.12-slim-bookworm
WORKDIR /pipeline
COPY examples/python-pipeline/requirements.txt requirements.txt
RUN pip install --no-cache-dir --requirement requirements.txt
COPY bindings/python /package
RUN pip install --no-cache-dir --no-deps /package
COPY examples/python-pipeline/pipeline.py pipeline.py
COPY examples/python-pipeline/ingest ingest
COPY ops/docker/with-token /usr/local/bin/with-token
RUN useradd --uid 8104 --no-create-home --shell /usr/sbin/nologin pipeline \
 && install --directory --owner=pipeline /var/lib/pipeline
USER 8104
ENV HOME=/tmp
VOLUME /var/lib/pipeline
ENTRYPOINT ["with-token", "python", "pipeline.py"]
CMD ["ingest", "/documents", "--store", "/var/lib/pipeline/index.sqlite3", "--pipeline-id", "example"]
