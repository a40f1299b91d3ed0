// batch_device.h: a batch on the device that computes with it.
#pragma once

#include "titan/data/batch.h"

namespace titan {

/// Moves every tensor. A copy from pinned memory (BatchBuilder) does not make the host wait, and
/// LibTorch keeps that memory until it is done; one from ordinary memory makes it wait.
inline void move_to(Batch& batch, at::Device device) {
  for (NamedTensors::Entry& field : batch.fields)
    field.second = field.second.to(device, /*non_blocking=*/true);
  batch.sample = batch.sample.to(device, /*non_blocking=*/true);
  batch.epoch = batch.epoch.to(device, /*non_blocking=*/true);
}

}  // namespace titan
