// row_shards.h: our own format for preprocessed samples. Version 1, made by `titan convert-data`:
// one record of fixed size a row, so that a row is one contiguous read with nothing to parse.
//
// A folder holds rows.json and rows-00000-of-00012.safetensors, ... Each file is an ordinary
// safetensors file with
//
//   rows         U8  [n, stride]  t5_encodings | clip_encodings | mean | logvar, bfloat16, then
//   zeros
//                                 up to a multiple of 64 bytes
//   timesteps    I32 [n]          -1 where the sample has none
//   key_ends     I64 [n]          end of each key within `keys`
//   keys         U8  [bytes]      the keys, one after the other
//
// and rows.json says {"format": "titan-rows", "version": 1, "fields": {name: shape}, "files":
// [{"name", "rows"}]}. The writer refuses values that are not finite, so a reader need not look for
// them.
//
// Version 2, made by the preprocessing job (encoded_file.h), has instead of `rows`
//
//   data         U8  [bytes]  records at multiples of 64 bytes: texts (t5_encodings, coded as in
//                             text_coding.h where that is smaller, then clip_encodings) and latents
//                             (mean, then logvar)
//   places       I64 [n, 3]   of each row: where its text begins in `data`, the text's bytes, where
//                             its latents begin
//
// so that rows of the same text share it. t5_encodings are coded exactly where the text's bytes are
// fewer than those of the values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "titan/base/status.h"
#include "titan/data/encoded_rows.h"

namespace titan {

inline constexpr const char* kRowShardsIndex = "rows.json";
inline constexpr const char* kRowShardsFormat = "titan-rows";
inline constexpr int kRowShardsVersion = 1;
inline constexpr int kCodedRowShardsVersion = 2;
inline constexpr std::size_t kRowAlignment = 64;
inline constexpr std::int32_t kNoTimestep = -1;

/// Bytes of a record.
std::size_t row_stride(const EncodedShapes& shapes);

bool looks_like_row_shards(const std::string& folder);

/// Opens the folder: rows.json and every header, no row.
StatusOr<std::unique_ptr<EncodedRows>> open_row_shards(const std::string& folder,
                                                       const std::string& speaker);

/// Writes all of `rows`, reading each once, into `folder`, which must exist and be empty.
/// `progress` hears the number of rows done. A row of another shape, with values that are not
/// finite or a timestep out of range, is an error that names it.
Status write_row_shards(const EncodedRows& rows, const std::string& folder, int64_t rows_per_file,
                        const std::function<void(int64_t)>& progress);

}  // namespace titan
