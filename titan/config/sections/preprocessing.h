// preprocessing.h: settings of the job that encodes a data set once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "titan/config/fields.h"

namespace titan {

struct PreprocessingSection {
  std::string output_dataset_path = "/datasets/preprocessed";
  std::string format = "arrow";
  int64_t file_mb = 0;
  std::optional<std::string> empty_encodings_path;
};
template <class V>
void visit_fields(PreprocessingSection& c, V&& v) {
  v("output_dataset_path", c.output_dataset_path,
    "folder of encoded samples; an unfinished one of the same job is gone on with");
  v("format", c.format,
    "arrow = the reference's save_to_disk folder; rows = titan's shards: captions that repeat are "
    "stored once, without their padding",
    rule::one_of({"arrow", "rows"}));
  v("file_mb", c.file_mb,
    "size of a file in millions of bytes; 0 = the format's own (arrow 500, rows 4000)",
    rule::at_least(0));
  v("empty_encodings_path", c.empty_encodings_path,
    "folder for the encodings of the empty prompt; unset = empty_encodings beside the output");
}

}  // namespace titan
