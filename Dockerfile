# Everything but Chromium and real tokenizers: `docker build -t rlready . && docker run rlready` runs the demo.
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends gcc git libc6-dev make && rm -rf /var/lib/apt/lists/*
ENV OMP_WAIT_POLICY=PASSIVE
WORKDIR /rlready
COPY . .
RUN make .venv/.ready
CMD ["make", "demo"]
