# manypose on a CPU: the service, and every verb of the command line.
#
#   docker build -t manypose .
#   docker run --rm -p 8000:8000 -e MANYPOSE_TOKEN=a-long-secret manypose                    # the service: docs/service.md
#   docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" manypose predict photos --out found   # files of this folder
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src src
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheels

FROM python:3.12-slim
# Without PyTorch: the models default and fast run on ONNX Runtime. All verbs and models: docker build --build-arg EXTRAS=all .
ARG EXTRAS=serve,video
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir "$(ls /wheels/*.whl)[$EXTRAS]" --extra-index-url https://download.pytorch.org/whl/cpu && rm -r /wheels \
    && useradd --create-home manypose && mkdir /data && chown manypose /data
USER manypose
WORKDIR /data
ENV MPLCONFIGDIR=/tmp/matplotlib
EXPOSE 8000
HEALTHCHECK CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health', timeout=3)"
ENTRYPOINT ["manypose"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
