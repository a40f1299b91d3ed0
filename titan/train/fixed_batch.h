// fixed_batch.h: the inputs of recorded work (parallel/device_services.h): batches in memory whose
// address stays, into which others of the same form are copied.
#pragma once

#include "titan/data/batch.h"

namespace titan {

/// Whether the tensors of both have the same names, shapes, dtypes and devices.
bool same_form(const Batch& a, const Batch& b);
/// The tensors of a batch in memory of their own.
Batch fixed_copy(const Batch& batch);
/// Copies the tensors of `batch`, which has the form of `fixed`, into those of `fixed`.
void copy_into(const Batch& fixed, const Batch& batch);

}  // namespace titan
