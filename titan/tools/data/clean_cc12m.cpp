#include "titan/tools/data/clean_cc12m.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "titan/base/log.h"
#include "titan/base/outcome.h"
#include "titan/base/printable.h"
#include "titan/data/webdataset_fields.h"
#include "titan/io/atomic_folder.h"
#include "titan/io/image_decode.h"
#include "titan/io/saved_folder_writer.h"
#include "titan/tools/data/action.h"
#include "titan/tools/data/cc12m_row.h"
#include "titan/tools/data/image_rows.h"
#include "titan/tools/data/ordered_work.h"
#include "titan/tools/data/row_list.h"
#include "titan/tools/data/stored_png.h"

namespace titan::tools {
namespace {

constexpr const char* kCleanCc12mHelp =
    "titan convert-data clean-cc12m INPUT OUTPUT [options]\n"
    "Makes the training samples of the Flux job: from cc12m's tars (INPUT, sorted by name) drops\n"
    "the listed rows and images with a side below 256, takes the first 1,099,776, adds the\n"
    "column png (256 x 256) and writes cc12m_disk, a folder of save_to_disk. OUTPUT must not\n"
    "exist; it appears whole or not at all.\n"
    "  --filter FILE     rows to drop, one a line (the 141 published ones; `none`: no row)\n"
    "  --output-size N   side of the pictures (256)\n"
    "  --subset-size N   rows to take (1099776)\n"
    "  --bad-rows stop|drop  what an unreadable row that is not listed does (stop)\n"
    "  --file-mb N       size of a file in millions of bytes (500)\n"
    "  --threads N       workers (one a core)\n";

constexpr int64_t kMega = 1'000'000;

/// What became of a row.
struct Outcome {
  enum class Kind : std::uint8_t { kKept, kListed, kSmall, kBad };
  Kind kind = Kind::kKept;
  std::unique_ptr<CleanRow> row = {};  ///< of a kept one
  std::string problem = {};            ///< of a bad one, with its name
};

StatusOr<std::vector<int64_t>> rows_to_drop(const std::string& filter) {
  if (filter == "none") return std::vector<int64_t>();
  if (!filter.empty()) return read_row_list(filter);
  const std::span<const int64_t> published = cc12m_problematic_indices();
  return std::vector<int64_t>(published.begin(), published.end());
}

class Cleaner {
 public:
  Cleaner(const ImageRows& rows, const CleanColumns& columns, std::vector<int64_t> listed, int size)
      : rows_(rows), columns_(columns), listed_(std::move(listed)), size_(size) {}

  /// Decodes, tests and resizes row `i`; nothing behind the last one.
  StatusOr<std::optional<Outcome>> make(int64_t i) const {
    if (std::binary_search(listed_.begin(), listed_.end(), i)) {
      // It must exist, or the end would not be noticed.
      TITAN_ASSIGN_OR_RETURN(const std::optional<ImageRow> row, rows_.read(i));
      if (!row) return std::nullopt;
      return Outcome{Outcome::Kind::kListed};
    }
    auto row = std::make_unique<CleanRow>();
    TITAN_ASSIGN_OR_RETURN(std::optional<ImageRow> stored, rows_.read(i));
    if (!stored) return std::nullopt;
    row->row = *std::move(stored);
    const StatusOr<bool> large = fill(*row);
    if (!large.ok())
      return Outcome{Outcome::Kind::kBad,
                     {},
                     str_cat("row ", i, " (", printable(row->row.name(), 200),
                             "): ", message_of(large.status()))};
    if (!*large) return Outcome{Outcome::Kind::kSmall};
    return Outcome{Outcome::Kind::kKept, std::move(row)};
  }

 private:
  /// False for an image that is too small.
  StatusOr<bool> fill(CleanRow& row) const {
    const ImageRow& stored = row.row;
    if (!stored.damage.empty()) return data_loss(stored.damage);
    if (!stored.image) return data_loss("no image");
    if (stored.txt && !is_utf8(*stored.txt)) return data_loss("member txt is not UTF-8");
    if (!is_utf8(stored.key)) return data_loss("the key is not UTF-8");
    TITAN_ASSIGN_OR_RETURN(
        const Image image,
        decode_image(
            {reinterpret_cast<const std::uint8_t*>(stored.image->data()), stored.image->size()}));
    if (image.width < size_ || image.height < size_) return false;
    TITAN_ASSIGN_OR_RETURN(row.png, encode_stored_png(clean_image(image, size_)));
    row.image_path =
        std::filesystem::path(stored.key).filename().string() + "." + stored.image_extension;
    TITAN_RETURN_IF_ERROR(columns_.set_json(row));
    return true;
  }

  const ImageRows& rows_;
  const CleanColumns& columns_;
  std::vector<int64_t> listed_;
  int size_;
};

/// The datasets library takes keys and types from the first five samples.
StatusOr<CleanColumns> infer_columns(const ImageRows& rows, const std::string& input) {
  constexpr int64_t kLooked = 5;
  std::vector<ImageRow> first;
  for (int64_t i = 0; i < kLooked; ++i) {
    TITAN_ASSIGN_OR_RETURN(std::optional<ImageRow> row, rows.read(i));
    if (row) first.push_back(*std::move(row));
  }
  if (first.empty()) return invalid_argument("[clean-cc12m] ", input, " holds no samples");
  return CleanColumns::infer(first);
}

struct Counts {
  int64_t read = 0, listed = 0, small = 0, bad = 0, dropped_values = 0;
};

void log_counts(const Counts& counts, const SavedFolderWriter& out,
                const CleanCc12mOptions& options, double seconds) {
  if (counts.dropped_values > 0)
    TITAN_LOG(WARNING) << "[clean-cc12m] " << counts.dropped_values
                       << " values of json are null now: their type is not that of the first rows";
  if (out.num_rows() < options.subset_size)
    TITAN_LOG(WARNING) << "[clean-cc12m] " << options.input << " has only " << out.num_rows()
                       << " such rows (" << options.subset_size << " asked)";
  TITAN_LOG(INFO) << "[clean-cc12m] " << out.num_rows() << " of " << counts.read << " rows in "
                  << out.num_files() << " files of " << options.output
                  << " (left out: " << counts.listed << " listed, " << counts.small
                  << " smaller than " << options.output_size << ", " << counts.bad
                  << " unreadable), " << seconds << " s";
}

}  // namespace

Status clean_cc12m(const CleanCc12mOptions& options) {
  TITAN_ASSIGN_OR_RETURN(std::vector<int64_t> listed, rows_to_drop(options.filter));
  TITAN_ASSIGN_OR_RETURN(const std::unique_ptr<ImageRows> rows,
                         open_tar_rows(options.input, "clean-cc12m"));
  TITAN_ASSIGN_OR_RETURN(const CleanColumns columns, infer_columns(*rows, options.input));
  TITAN_ASSIGN_OR_RETURN(AtomicFolder folder, AtomicFolder::create(options.output));
  SavedFolderWriter out(folder.path(), columns.columns(), options.bytes_per_file);
  const Cleaner cleaner(*rows, columns, std::move(listed), static_cast<int>(options.output_size));
  ActionProgress progress("clean-cc12m", "rows");
  Counts counts;
  const auto use = [&](int64_t i, const Outcome& outcome) -> StatusOr<bool> {
    ++counts.read;
    switch (outcome.kind) {
      case Outcome::Kind::kListed:
        ++counts.listed;
        break;
      case Outcome::Kind::kSmall:
        ++counts.small;
        break;
      case Outcome::Kind::kBad:
        if (!options.drop_bad)
          return data_loss("[clean-cc12m] ", outcome.problem,
                           ". List such rows by `titan convert-data find-bad` and give the list as "
                           "--filter, or leave them out by --bad-rows=drop");
        ++counts.bad;
        TITAN_LOG(WARNING) << "[clean-cc12m] left out: " << outcome.problem;
        break;
      case Outcome::Kind::kKept:
        TITAN_RETURN_IF_ERROR(out.append(columns.values(*outcome.row)));
        counts.dropped_values += outcome.row->dropped_values;
        break;
    }
    const double taken =
        static_cast<double>(out.num_rows()) / static_cast<double>(options.subset_size);
    progress.tell(i + 1, std::max(taken, rows->share_before(i + 1)));
    return out.num_rows() < options.subset_size;
  };
  TITAN_RETURN_IF_ERROR(ordered_work<Outcome>(
      0, num_workers(options.num_threads), [&](int64_t i) { return cleaner.make(i); }, use));
  if (out.num_rows() == 0)
    return invalid_argument("[clean-cc12m] none of the ", counts.read, " rows of ", options.input,
                            " is left (", counts.listed, " listed, ", counts.small,
                            " smaller than ", options.output_size, ", ", counts.bad,
                            " unreadable)");
  TITAN_RETURN_IF_ERROR(out.finish("train"));
  TITAN_RETURN_IF_ERROR(folder.commit());
  log_counts(counts, out, options, progress.seconds());
  return ok_status();
}

int clean_cc12m_main(const std::vector<std::string>& args) {
  const auto parsed =
      parse_action("clean-cc12m", args,
                   {"filter", "output-size", "subset-size", "bad-rows", "file-mb", "threads"}, 2);
  if (!parsed.ok()) return exit_with(parsed.status());
  if (parsed->has("help")) {
    std::fputs(kCleanCc12mHelp, stdout);
    return 0;
  }
  const auto run = [&]() -> Status {
    CleanCc12mOptions options{.input = parsed->words()[0],
                              .output = parsed->words()[1],
                              .filter = parsed->text("filter", "")};
    const std::string bad_rows = parsed->text("bad-rows", "stop");
    if (bad_rows != "stop" && bad_rows != "drop")
      return invalid_argument("[clean-cc12m] --bad-rows must be stop or drop (", bad_rows, ")");
    options.drop_bad = bad_rows == "drop";
    TITAN_ASSIGN_OR_RETURN(options.output_size,
                           parsed->integer("output-size", options.output_size, 1, 1 << 14));
    TITAN_ASSIGN_OR_RETURN(options.subset_size,
                           parsed->integer("subset-size", options.subset_size, 1, INT64_MAX));
    TITAN_ASSIGN_OR_RETURN(
        const int64_t megabytes,
        parsed->integer("file-mb", options.bytes_per_file / kMega, 1, 1'000'000));
    options.bytes_per_file = megabytes * kMega;
    TITAN_ASSIGN_OR_RETURN(options.num_threads, parsed->integer("threads", 0, 1, 4096));
    return clean_cc12m(options);
  };
  return exit_with(run());
}

}  // namespace titan::tools
