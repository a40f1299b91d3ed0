// models: the plug-ins. Single-device code: nothing of parallel, train or optim is included here.
//
// builtin.h: titan's own models.
#pragma once

#include "titan/base/status.h"

namespace titan::models {

/// Registers titan's own models in the table; calling again changes nothing.
Status register_builtin_models();

}  // namespace titan::models
