"""What must be set before jax starts, for compiling without a device."""

# Without these libtpu asks the cloud which machine this is, waits for an
# answer, and lets no other process compile.
ENVIRONMENT = {
  "TPU_SKIP_MDS_QUERY": "1",
  "TPU_WORKER_HOSTNAMES": "localhost",
  "TPU_ACCELERATOR_TYPE": "v5litepod-4",
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
  "JAX_PLATFORMS": "cpu",
  # A program from the cache would not be proof of this compiler.
  "JAX_ENABLE_COMPILATION_CACHE": "false",
}
