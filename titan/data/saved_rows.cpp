// Preprocessed samples in a folder of save_to_disk: every column a binary that holds a whole npy
// array of uint16, the bits of bfloat16 values.
#include <filesystem>
#include <utility>

#include "titan/data/encoded_rows.h"
#include "titan/data/sample_parts.h"
#include "titan/io/npy.h"
#include "titan/io/saved_folder.h"

namespace titan {
namespace {

constexpr const char* kType = "<u2";  // NumPy has no bfloat16: its bits, little-endian

/// Indices of the columns in one file.
struct Columns {
  int key = -1;  ///< -1: absent
  std::array<int, kNumEncodedFields> fields = {};
  int timestep = -1;  ///< -1: absent
};

StatusOr<Columns> find_columns(const ArrowStreamFile& file, const std::string& speaker) {
  const auto refuse = [&](const auto&... why) {
    return invalid_argument("[", speaker, "] ", file.path(), ": ", why...);
  };
  const auto kind = [&](int column) { return file.fields()[static_cast<std::size_t>(column)]; };
  Columns columns;
  for (std::size_t i = 0; i < kNumEncodedFields; ++i) {
    const int column = file.find(kEncodedFields[i]);
    if (column < 0)
      return refuse("no column '", kEncodedFields[i], "' (it has ", file.column_names(), ")");
    if (kind(column).kind != ArrowKind::kBytes)
      return refuse("column '", kEncodedFields[i], "' has type ", kind(column).type,
                    ", not binary (npy arrays)");
    columns.fields[i] = column;
  }
  columns.key = file.find("__key__");
  if (columns.key >= 0 && kind(columns.key).kind != ArrowKind::kText)
    return refuse("column '__key__' has type ", kind(columns.key).type, ", not string");
  columns.timestep = file.find("timestep");
  if (columns.timestep >= 0 && kind(columns.timestep).kind != ArrowKind::kInteger &&
      kind(columns.timestep).kind != ArrowKind::kNull)
    return refuse("column 'timestep' has type ", kind(columns.timestep).type, ", not an integer");
  return columns;
}

class SavedRows : public EncodedRows {
 public:
  SavedRows(SavedFolder folder, std::vector<Columns> columns, std::string speaker)
      : folder_(std::move(folder)), columns_(std::move(columns)), speaker_(std::move(speaker)) {}

  int64_t size() const override { return folder_.num_rows(); }
  std::string describe(int64_t index) const override { return folder_.describe(index); }

  StatusOr<EncodedRow> read(int64_t index) const override {
    const auto [at, row] = folder_.find(index);
    const ArrowStreamFile& file = folder_.files()[at];
    const Columns& columns = columns_[at];
    EncodedRow out;
    Status status = read_tag(file, columns, row, out);
    // The disk reads all columns at once; faults would fetch one small piece after the other.
    for (const int column : columns.fields)
      if (const auto blob = file.bytes(column, row); blob.ok() && *blob) file.prefetch(**blob);
    for (std::size_t field = 0; status.ok() && field < kNumEncodedFields; ++field)
      status = annotate(read_field(file, columns.fields[field], row, field, out),
                        str_cat("column '", kEncodedFields[field], "'"));
    if (!status.ok()) return annotate(status, str_cat("[", speaker_, "] ", describe(index)));
    return out;
  }

  StatusOr<EncodedTag> tag(int64_t index) const override {
    const auto [at, row] = folder_.find(index);
    EncodedTag out;
    const Status status = read_tag(folder_.files()[at], columns_[at], row, out);
    if (!status.ok()) return annotate(status, str_cat("[", speaker_, "] ", describe(index)));
    return out;
  }

  std::string fingerprint() const override {
    Fingerprint fingerprint;
    for (const ArrowStreamFile& file : folder_.files())
      fingerprint.add(std::filesystem::path(file.path()).filename().string(), " ",
                      file.size_bytes(), " ", file.num_rows());
    return fingerprint.hex();
  }

 private:
  static Status read_tag(const ArrowStreamFile& file, const Columns& columns, int64_t row,
                         EncodedTag& out) {
    if (columns.key >= 0) {
      TITAN_ASSIGN_OR_RETURN(const auto key, file.bytes(columns.key, row));
      if (!key) return data_loss("column '__key__' is null");
      out.key = {reinterpret_cast<const char*>(key->data()), key->size()};
    }
    if (columns.timestep >= 0) {
      TITAN_ASSIGN_OR_RETURN(out.timestep, file.integer(columns.timestep, row));
    }
    return ok_status();
  }

  static Status read_field(const ArrowStreamFile& file, int column, int64_t row, std::size_t field,
                           EncodedRow& out) {
    TITAN_ASSIGN_OR_RETURN(const auto blob, file.bytes(column, row));
    if (!blob) return data_loss("is null");
    TITAN_RETURN_IF_ERROR(file.populate(*blob));
    TITAN_ASSIGN_OR_RETURN(NpyHeader header, parse_npy(*blob));
    if (header.type != kType)
      return data_loss("has dtype '", header.type, "', not '", kType, "' (bits of bfloat16)");
    out.values[field] = blob->subspan(header.data_offset, header.data_bytes);
    if (header.fortran_order && header.shape.size() > 1) {
      const auto values = std::make_shared<std::vector<std::byte>>(header.data_bytes);
      npy_to_c_order(header, out.values[field].data(), values->data());
      out.values[field] = *values;
      out.keep.push_back(values);
    }
    out.shapes[field] = std::move(header.shape);
    return ok_status();
  }

  SavedFolder folder_;
  std::vector<Columns> columns_;
  std::string speaker_;
};

}  // namespace

StatusOr<std::unique_ptr<EncodedRows>> open_saved_rows(const std::string& folder,
                                                       const std::string& speaker) {
  TITAN_ASSIGN_OR_RETURN(SavedFolder saved, SavedFolder::open(folder));
  std::vector<Columns> columns;
  for (const ArrowStreamFile& file : saved.files()) {
    TITAN_ASSIGN_OR_RETURN(const Columns found, find_columns(file, speaker));
    columns.push_back(found);
  }
  if (saved.num_rows() == 0)
    return invalid_argument("[", speaker, "] no rows in ", folder, " (", saved.files().size(),
                            saved.files().size() == 1 ? " file, " : " files, ", "the first ",
                            saved.files().front().path(), ")");
  return std::make_unique<SavedRows>(std::move(saved), std::move(columns), speaker);
}

}  // namespace titan
