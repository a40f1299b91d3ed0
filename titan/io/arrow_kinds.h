// arrow_kinds.h: how the values of an Arrow type are read.
#pragma once

#include <nanoarrow/nanoarrow.h>

#include "titan/io/arrow_stream.h"

namespace titan {

struct ArrowFieldKind {
  ArrowKind kind = ArrowKind::kOther;
  int width = 0;  ///< bytes of an offset or an integer
  bool is_unsigned = false;
};

/// kOther for types that cannot be read.
ArrowFieldKind arrow_kind_of(ArrowType type);

}  // namespace titan
