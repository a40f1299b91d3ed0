// What load_cuda_library() calls once the library is in. Kernels need no call: they are dispatcher
// ops.
#include "titan/parallel/backend_registry.h"
#include "titan/parallel/cuda/cuda_services.h"
#include "titan/parallel/cuda/nccl_backend.h"

extern "C" void titan_cuda_register() {
  titan::parallel::register_backend(at::kCUDA, titan::parallel::make_nccl_backend);
  titan::parallel::register_device_services(titan::parallel::make_cuda_services());
}
