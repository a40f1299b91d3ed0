// aten_shapes.h: ATen operations that LibTorch runs on the device meta from Python only.
#pragma once

namespace titan::plan {

/// Teaches LibTorch the shapes of those that models and objectives here use, where it does not know
/// them. Calling again changes nothing.
void complete_aten_shapes();

}  // namespace titan::plan
