// sample_grids.h: a run's pictures, small enough for a page.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "titan/base/status.h"
#include "titan/io/file_descriptor.h"
#include "titan/io/image.h"

namespace titan::report {

/// A file samples/step-000100.png of a run.
struct GridFile {
  std::int64_t step = 0;
  std::string path;
};

/// The grids in `folder`, by step; files of other names are left out. No folder: none.
std::vector<GridFile> find_grids(const std::filesystem::path& folder);

/// At most `count` (>= 2) of them, evenly over the list, the first and the last among them.
std::vector<GridFile> thin_out(const std::vector<GridFile>& grids, std::size_t count);

/// A picture as WebP, or why there is none.
struct PackedGrid {
  std::int64_t step = 0;
  int width = 0;  ///< pixels of the page's picture
  int height = 0;
  std::vector<std::uint8_t> webp;  ///< empty: not readable
  std::string note;                ///< what is wrong with the file; empty = nothing
};

/// Encodes at the best quality and size that need at most `max_bytes`: quality goes down to 55
/// first, then the sides shrink. A picture of 64 pixels is as small as it gets.
StatusOr<PackedGrid> pack_image(const Image& image, std::size_t max_bytes);

/// Packs grids and remembers them: a page that is written again and again encodes new files only.
class GridPacker {
 public:
  /// Never fails: a file that cannot be read or is cut short has its note.
  const PackedGrid& pack(const GridFile& grid, std::size_t max_bytes);

 private:
  struct Kept {
    FileStamp stamp;
    std::size_t max_bytes = 0;
    PackedGrid grid;
  };
  std::map<std::string, Kept> kept_;
};

}  // namespace titan::report
