// device_kernels.h: whether titan's own CUDA kernels run on this process's GPU. They are built for
// some compute capability and newer ones; on an older device every op takes its reference.
#pragma once

namespace titan::ops {

/// True unless set otherwise; parallel/cuda_library.h does so when it chooses a device.
bool device_kernels();
void set_device_kernels(bool usable);

}  // namespace titan::ops
