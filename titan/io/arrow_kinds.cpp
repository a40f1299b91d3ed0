#include "titan/io/arrow_kinds.h"

namespace titan {

ArrowFieldKind arrow_kind_of(ArrowType type) {
  switch (type) {
    case NANOARROW_TYPE_NA:
      return {ArrowKind::kNull};
    case NANOARROW_TYPE_STRUCT:
      return {ArrowKind::kStruct};
    case NANOARROW_TYPE_BINARY:
      return {ArrowKind::kBytes, 4};
    case NANOARROW_TYPE_LARGE_BINARY:
      return {ArrowKind::kBytes, 8};
    case NANOARROW_TYPE_STRING:
      return {ArrowKind::kText, 4};
    case NANOARROW_TYPE_LARGE_STRING:
      return {ArrowKind::kText, 8};
    case NANOARROW_TYPE_INT8:
      return {ArrowKind::kInteger, 1};
    case NANOARROW_TYPE_INT16:
      return {ArrowKind::kInteger, 2};
    case NANOARROW_TYPE_INT32:
      return {ArrowKind::kInteger, 4};
    case NANOARROW_TYPE_INT64:
      return {ArrowKind::kInteger, 8};
    case NANOARROW_TYPE_UINT8:
      return {ArrowKind::kInteger, 1, true};
    case NANOARROW_TYPE_UINT16:
      return {ArrowKind::kInteger, 2, true};
    case NANOARROW_TYPE_UINT32:
      return {ArrowKind::kInteger, 4, true};
    default:
      return {};
  }
}

}  // namespace titan
