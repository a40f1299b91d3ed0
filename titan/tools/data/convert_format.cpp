#include "titan/tools/data/convert_format.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/data/encoded_rows.h"
#include "titan/data/row_shards.h"
#include "titan/io/atomic_folder.h"
#include "titan/tools/data/action.h"

namespace titan::tools {
namespace {

constexpr const char* kConvertFormatHelp =
    "titan convert-data [format] INPUT OUTPUT [options]\n"
    "Turns preprocessed samples (cc12m_preprocessed, coco_preprocessed) into the other of two\n"
    "formats; training reads both. INPUT is a folder of Hugging Face's save_to_disk or of row\n"
    "shards. OUTPUT must not exist; it appears whole or not at all.\n"
    "  --to rows|arrow    row shards (a fixed-size record a row, values checked once) or a folder\n"
    "                     of save_to_disk; without it the one that INPUT is not\n"
    "  --file-mb N        size of a file in millions of bytes (rows: 4000, arrow: 500)\n";

constexpr int64_t kMega = 1'000'000;

std::size_t bytes_of(const EncodedShapes& shapes) {
  std::size_t bytes = 0;
  for (const auto& shape : shapes) bytes += encoded_bytes(shape);
  return bytes;
}

}  // namespace

Status convert_format(const ConvertFormatOptions& options) {
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<EncodedRows> rows,
                         open_encoded_rows(options.input, "convert-data"));
  const std::string other = looks_like_row_shards(options.input) ? "arrow" : "rows";
  const std::string format = options.format.empty() ? other : options.format;
  if (format != "rows" && format != "arrow")
    return invalid_argument("[convert-data] --to must be rows or arrow (", format, ")");
  TITAN_ASSIGN_OR_RETURN(const EncodedRow first, first_readable_row(*rows));
  const std::size_t row_bytes = bytes_of(first.shapes);
  TITAN_ASSIGN_OR_RETURN(AtomicFolder folder, AtomicFolder::create(options.output));
  TITAN_LOG(INFO) << "[convert-data] " << rows->size() << " rows of " << options.input << " to "
                  << format << ", " << rows->size() * static_cast<int64_t>(row_bytes) / kMega
                  << " MB";
  ActionProgress progress("convert-data", "rows");
  const auto tell = [&](int64_t done) {
    progress.tell(done, static_cast<double>(done) / static_cast<double>(rows->size()));
  };
  const int64_t wanted = options.bytes_per_file;
  if (format == "rows") {
    const int64_t bytes = wanted > 0 ? wanted : 4000 * kMega;
    const int64_t per_file = std::max<int64_t>(1, bytes / static_cast<int64_t>(row_bytes));
    TITAN_RETURN_IF_ERROR(write_row_shards(*rows, folder.path(), per_file, tell));
  } else {
    TITAN_RETURN_IF_ERROR(
        write_saved_rows(*rows, folder.path(), wanted > 0 ? wanted : 500 * kMega, tell));
  }
  TITAN_RETURN_IF_ERROR(folder.commit());
  TITAN_LOG(INFO) << "[convert-data] " << rows->size() << " rows in " << options.output << ", "
                  << progress.seconds() << " s";
  return ok_status();
}

int convert_format_main(const std::vector<std::string>& args) {
  const auto parsed = parse_action("format", args, {"to", "file-mb"}, 2);
  if (!parsed.ok()) return exit_with(parsed.status());
  if (parsed->has("help")) {
    std::fputs(kConvertFormatHelp, stdout);
    return 0;
  }
  const auto megabytes = parsed->integer("file-mb", 0, 1, 1'000'000);
  if (!megabytes.ok()) return exit_with(annotate(megabytes.status(), "convert-data"));
  return exit_with(convert_format({.input = parsed->words()[0],
                                   .output = parsed->words()[1],
                                   .format = parsed->text("to", ""),
                                   .bytes_per_file = *megabytes * kMega}));
}

}  // namespace titan::tools
